"""The benchmark's Python target: makes and drops typical objects.

Obeys lines on standard input:
  run MS   works for so long, then answers "loops N ns_per_loop X"
The end of the file ends it. A loop is a batch of records: instances with
dictionaries, lists and strings, which CPython serves from its own pools, and
byte strings above 512 bytes, text and growing lists, for which it calls malloc.
"""

import collections
import json
import sys
import time

# Records live for a while, as they do in a program that serves somebody.
recent = collections.deque(maxlen=20)


class Record:
    def __init__(self, number):
        self.number = number
        self.name = f"user-{number}"
        self.tags = [f"tag-{number % divisor}" for divisor in (3, 5, 7)]
        self.body = bytes(600 + number % 700)


def one_loop():
    records = [Record(number) for number in range(100)]
    recent.append(records)
    by_name = {record.name: record for record in records}
    names = sorted(by_name, reverse=True)
    text = json.dumps([{"name": name, "tags": by_name[name].tags} for name in names])
    return len(json.loads(text)) + len(b"".join(record.body for record in records))


def run(milliseconds):
    loops = 0
    began = time.perf_counter_ns()
    end = began + milliseconds * 1_000_000
    while True:
        one_loop()
        loops += 1
        now = time.perf_counter_ns()
        if now >= end:
            return loops, (now - began) / loops


for line in sys.stdin:
    command, milliseconds = line.split()
    if command == "run":
        loops, nanoseconds = run(int(milliseconds))
        print(f"loops {loops} ns_per_loop {nanoseconds:.2f}", flush=True)
