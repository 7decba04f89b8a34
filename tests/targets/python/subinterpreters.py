"""An interpreter that has others beside it in its process, and keeps what passes through it."""

from __future__ import annotations

from pace import paced

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

SEEN: list[tuple[int, str]] = []


def note(number: int) -> None:
    SEEN.append((number, f"event {number}"))  # LEAK


def main() -> None:
    others = [interpreters.create() for _ in range(3)]
    for other in others:
        interpreters.run_string(other, "kept = [str(number) for number in range(1000)]")
    for number in paced():
        note(number)
    for other in others:
        interpreters.destroy(other)


if __name__ == "__main__":
    main()
