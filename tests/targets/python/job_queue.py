"""Healthy: threads that take from a queue as fast as another puts in."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass

from pace import paced


@dataclass
class Job:
    number: int
    recipient: str
    body: bytes


class Mailer:
    def __init__(self, workers: int) -> None:
        self.jobs: queue.Queue[Job] = queue.Queue(maxsize=1_000)
        self.sent = [0] * workers
        for worker in range(workers):
            threading.Thread(target=self.work, args=(worker,), daemon=True).start()

    def work(self, worker: int) -> None:
        while True:
            job = self.jobs.get()
            self.sent[worker] += len(job.body) > 0
            self.jobs.task_done()


def main() -> None:
    mailer = Mailer(workers=2)
    for number in paced():
        mailer.jobs.put(Job(number, f"user-{number}@shop.example", b"Your order is on its way. " * 10))


if __name__ == "__main__":
    main()
