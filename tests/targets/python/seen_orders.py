"""A set on a class: the numbers of all orders ever seen, so that none is delivered twice."""

from __future__ import annotations

from pace import paced


class Delivery:
    # One for all instances, and for ever.
    seen: set[str] = set()

    def __init__(self, depot: str) -> None:
        self.depot = depot
        self.delivered = 0

    def deliver(self, order: str) -> bool:
        if order in self.seen:
            return False
        self.seen.add(order)  # LEAK
        self.delivered += 1
        return True


def main() -> None:
    depots = [Delivery(name) for name in ("north", "south")]
    for number in paced():
        order = f"2026-{number:010d}"
        depots[number % 2].deliver(order)
        depots[number % 2].deliver(order)


if __name__ == "__main__":
    main()
