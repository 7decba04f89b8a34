"""A list to which two functions add, one three times as often as the other: both are to be known."""

from __future__ import annotations

from typing import NamedTuple

from pace import paced


class Notice(NamedTuple):
    level: str
    text: str


class Notices:
    def __init__(self) -> None:
        self.kept: list[Notice] = []

    def inform(self, text: str) -> None:
        self.kept.append(Notice("info", text))  # LEAK

    def warn(self, text: str) -> None:
        self.kept.append(Notice("warning", text))  # LEAK

    def shown(self, count: int) -> list[Notice]:
        return self.kept[-count:]


NOTICES = Notices()


def main() -> None:
    for number in paced():
        if number % 4 == 0:
            NOTICES.warn(f"parcel {number} is late")
        else:
            NOTICES.inform(f"parcel {number} is on its way")
        if number % 500 == 0:
            NOTICES.shown(20)


if __name__ == "__main__":
    main()
