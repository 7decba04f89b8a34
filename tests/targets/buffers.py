"""Keeps buffers that C code allocates for Python, and says so.

Each line on its standard input is how many to keep, each way: called by Python, called by C code that Python calls, from a
generator, and in a new thread.
"""

import sys
import threading

KEPT = []


def keep(size):
    KEPT.append(bytearray(size))  # keeps a buffer
    return size


def called_by_python(count):
    for _ in range(count):
        keep(20_001)  # calls it from Python


def called_by_c(count):
    sorted([20_002] * count, key=keep)  # has C code call it


def generated(count):
    for _ in range(count):
        yield keep(20_003)  # calls it from a generator


class Consumer:
    def consume(self, count):
        return sum(generated(count))  # has C code run the generator


def in_a_thread(count):
    for _ in range(count):
        keep(20_004)  # calls it in a thread


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        called_by_python(count)
        called_by_c(count)
        Consumer().consume(count)
        thread = threading.Thread(target=in_a_thread, args=(count,))
        thread.start()
        thread.join()
        print("done", flush=True)


main()
