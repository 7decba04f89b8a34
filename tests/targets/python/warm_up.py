"""Healthy: a catalogue that is read in as it is asked for, and complete after some ten seconds."""

from __future__ import annotations

from dataclasses import dataclass

from pace import paced

TITLES = 15_000


@dataclass
class Book:
    number: int
    title: str
    shelf: str


CATALOGUE: dict[int, Book] = {}


def look_up(number: int) -> Book:
    book = CATALOGUE.get(number)
    if book is None:
        book = Book(number, f"Collected works, volume {number}", f"shelf {number % 40}")
        CATALOGUE[number] = book
    return book


def main() -> None:
    for number in paced():
        look_up(number % TITLES)


if __name__ == "__main__":
    main()
