"""Exceptions kept for a status page: each holds its traceback, that holds frames, and those what they worked on."""

from __future__ import annotations

import json

from pace import paced

FAILURES: list[ValueError] = []


def parse(text: str) -> dict[str, object]:
    lines = [line.strip() for line in text.splitlines()]
    return json.loads("".join(lines))


def take(message: str) -> bool:
    try:
        parse(message)
    except ValueError as error:
        FAILURES.append(error)  # LEAK
        return False
    return True


def status() -> str:
    return f"{len(FAILURES)} failures, the last: {FAILURES[-1]}" if FAILURES else "all is well"


def main() -> None:
    for number in paced():
        # One in three is cut off.
        message = f'{{"order": {number},\n "items": ["shoes", "socks"]}}'
        take(message[:-1] if number % 3 == 0 else message)
        if number % 1_000 == 0:
            status()


if __name__ == "__main__":
    main()
