"""A deque of "recent" events that has no greatest length. No module leads to it: a running function holds it."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from pace import paced


class Event(NamedTuple):
    at: float
    sensor: str
    celsius: float


class Monitor:
    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.recent: deque[Event] = deque()

    def note(self, sensor: str, celsius: float) -> None:
        self.recent.append(Event(time.monotonic(), sensor, celsius))  # LEAK

    def mean(self) -> float:
        # It looks at the last ones only, and leaves the others where they are.
        last = [self.recent[-1 - back].celsius for back in range(min(60, len(self.recent)))]
        return sum(last) / len(last)


def main() -> None:
    monitor = Monitor(window_s=60)
    for number in paced():
        monitor.note(f"sensor-{number % 12}", 20 + number % 7 / 2)
        if number % 100 == 0:
            monitor.mean()


if __name__ == "__main__":
    main()
