"""A hundred threads, a few of which keep what they have done, and threads that come later and do so too."""

from __future__ import annotations

import threading
import time

from pace import paced

THREADS = 100
DONE: dict[int, tuple[str, int]] = {}
WAKE = threading.Event()


def keep(number: int) -> None:
    DONE[number] = (threading.current_thread().name, number)  # LEAK


def work(first: int) -> None:
    number = first
    while not WAKE.wait(0.2):
        # One in ten works.
        for _ in range(20 if first % 10 == 0 else 0):
            keep(number)
            number += THREADS


def main() -> None:
    threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for number in paced(rate=20):
        late = threading.Thread(target=keep, args=(-number,))
        late.start()
        late.join()
    WAKE.set()
    time.sleep(0.3)


if __name__ == "__main__":
    main()
