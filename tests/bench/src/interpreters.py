"""The benchmark's Python target for what leaktrace does to an interpreter beside its probes.

Says the address of the word that holds the size of a dict and the megabytes that it has filled, then obeys lines on
standard input:
  write DEPTH N   writes N entries into the dict, DEPTH calls deep: answers nanoseconds of an entry
  work MS         computes for so long and adds 1,700 entries a second meanwhile: answers loops a second
The end of the file ends it.
"""

import sys
import time

FILLED_MB = 200
RATE = 1700
filling = [float(number) for number in range(FILLED_MB * 1_000_000 // 32)]
entries = {}


def write(depth, count):
    if depth > 1:
        return write(depth - 1, count)
    entries.clear()
    # The table is large enough from the start, so that each write is alike.
    began = time.process_time_ns()
    for number in range(count):
        entries[number] = None
    return (time.process_time_ns() - began) / count


def work(milliseconds):
    entries.clear()
    added, loops, value = 0, 0, 1
    began = time.monotonic()
    while True:
        for _ in range(400):
            value = value * 31 % 65521
        loops += 1
        elapsed = time.monotonic() - began
        while added < elapsed * RATE:
            entries[added] = None
            added += 1
        if elapsed * 1000 >= milliseconds:
            return loops / elapsed


def main():
    sys.setrecursionlimit(1000)
    print(id(entries) + 16, FILLED_MB, flush=True)
    for line in sys.stdin:
        command, *numbers = line.split()
        answer = {"write": write, "work": work}[command](*map(int, numbers))
        print(f"{answer:.1f}", flush=True)


main()
