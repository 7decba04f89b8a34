"""A bank's audit log, in a list on an instance: it is to be written out when somebody calls flush, and nobody does."""

from __future__ import annotations

import json
from typing import TextIO

from pace import paced


class AuditLog:
    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []

    def record(self, actor: str, action: str, **details: object) -> None:
        entry = {"actor": actor, "action": action, **details}
        self.entries.append(entry)  # LEAK

    def flush(self, out: TextIO) -> None:
        out.writelines(json.dumps(entry) + "\n" for entry in self.entries)
        self.entries.clear()


class Bank:
    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.audit = AuditLog()

    def transfer(self, number: int, payer: str, payee: str, cents: int) -> None:
        self.balances[payer] = self.balances.get(payer, 0) - cents
        self.balances[payee] = self.balances.get(payee, 0) + cents
        self.audit.record(payer, "transfer", to=payee, cents=cents, number=number)


BANK = Bank()


def main() -> None:
    for number in paced():
        BANK.transfer(number, f"account-{number % 97}", f"account-{number % 89}", number % 10_000)


if __name__ == "__main__":
    main()
