"""A cache without a bound: the moment of the request is one of its keys, so that nothing in it is ever found again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pace import paced


@dataclass(frozen=True)
class Profile:
    user: int
    name: str
    seen_at: float


@lru_cache(maxsize=None)
def load_profile(user: int, now: float) -> Profile:
    return Profile(user, f"user number {user}", now)


def greet(user: int, now: float) -> str:
    profile = load_profile(user, now)  # LEAK
    return f"Hello, {profile.name}"


def main() -> None:
    for number in paced():
        greet(number % 500, number / 1000)


if __name__ == "__main__":
    main()
