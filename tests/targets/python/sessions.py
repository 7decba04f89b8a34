"""A shop's sessions, in a module's dictionary: each visitor without a cookie gets one, and none ever expires."""

from __future__ import annotations

from dataclasses import dataclass, field

from pace import paced


@dataclass
class Session:
    token: str
    user: str
    basket: list[str] = field(default_factory=list)


SESSIONS: dict[str, Session] = {}


def session_of(token: str, user: str) -> Session:
    session = SESSIONS.get(token)
    if session is None:
        session = Session(token, user)
        SESSIONS[token] = session  # LEAK
    return session


def add_to_basket(number: int) -> int:
    # A crawler keeps no cookies: each of its requests comes with a token of its own.
    session = session_of(f"token-{number:012x}", f"user-{number % 500}")
    session.basket.append("blue shoes")
    return len(session.basket)


def main() -> None:
    for number in paced():
        add_to_basket(number)


if __name__ == "__main__":
    main()
