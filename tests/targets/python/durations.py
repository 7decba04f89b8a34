"""A decorator that remembers how long each call took, in a list that only its closure holds."""

from __future__ import annotations

import functools
import time
from typing import Callable, TypeVar

from pace import paced

Result = TypeVar("Result")


def timed(function: Callable[..., Result]) -> Callable[..., Result]:
    durations: list[tuple[str, float]] = []

    @functools.wraps(function)
    def wrapper(*args: str) -> Result:
        began = time.perf_counter()
        try:
            return function(*args)
        finally:
            durations.append((f"{function.__name__}{args}", time.perf_counter() - began))  # LEAK

    return wrapper


@timed
def search(words: str) -> int:
    return sum(len(word) for word in words.split())


def main() -> None:
    for number in paced():
        search(f"shoes size {number % 50} in blue")


if __name__ == "__main__":
    main()
