"""A server with a thread for each request: every line of the log comes from a thread that is gone a moment later."""

from __future__ import annotations

import threading
import time

from pace import paced

LINES_A_REQUEST = 10


class AccessLog:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        with self.lock:
            self.lines.append(line)  # LEAK


LOG = AccessLog()


def answer(number: int) -> None:
    for part in range(LINES_A_REQUEST):
        LOG.add(f"{time.time():.6f} request {number}: part {part}")


def main() -> None:
    threads: list[threading.Thread] = []
    for number in paced(rate=100):
        threads = [thread for thread in threads if thread.is_alive()]
        threads.append(threading.Thread(target=answer, args=(number,)))
        threads[-1].start()


if __name__ == "__main__":
    main()
