"""A method with a cache, which is one for all instances: the key holds the instance, so that no report ever goes."""

from __future__ import annotations

from functools import lru_cache

from pace import paced


class Report:
    def __init__(self, customer: int, cents: list[int]) -> None:
        self.customer = customer
        self.cents = cents

    @lru_cache(maxsize=None)
    def total(self, with_tax: bool) -> int:
        total = sum(self.cents)
        return total * 119 // 100 if with_tax else total


def send(customer: int) -> str:
    report = Report(customer, [199, 1_299, 49 + customer % 100])
    total = report.total(True)  # LEAK
    return f"Customer {report.customer} owes {total / 100:.2f}"


def main() -> None:
    for number in paced():
        send(number % 800)


if __name__ == "__main__":
    main()
