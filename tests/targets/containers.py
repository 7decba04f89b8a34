"""Writes to containers, each from a line of its own, as it is told on its standard input.

It says where the sizes of its containers are, then answers each of these when it is done:
    run TIMES           so many additions to each container, and a quarter as many removals, in the main thread
    threads TIMES       the same in two new threads, one after the other
    hurry SECONDS       adds to the dict as fast as it can; says how often
    make TIMES          makes so many nodes, each in a cycle with itself
    pace SECONDS RATE   adds to the list so often a second; says how much other work it gets done meanwhile
"""

import sys
import threading
import time
from collections import deque

TABLE = {}
ROWS = []
NAMES = set()
QUEUE = deque()


def put_in(number):
    TABLE[number] = number  # adds to the dict
    ROWS.append(number)  # adds to the list
    NAMES.add(number)  # adds to the set
    QUEUE.append(number)  # adds to the deque


def take_out(number):
    del TABLE[number]  # removes from the dict
    ROWS.pop()  # removes from the list
    NAMES.discard(number)  # removes from the set
    QUEUE.popleft()  # removes from the deque


class Worker:
    def __init__(self, first):
        self.first = first

    def work(self, times):
        for number in range(self.first, self.first + times):
            put_in(number)
            if number % 4 == 3:
                take_out(number)


def run(first, times):
    Worker(first).work(times)


class Node:
    def __init__(self):
        self.next = self


class Other:
    pass


def make(times):
    for _ in range(times):
        Other()
        Node()  # makes a node


def hurry(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        TABLE[-number] = number
    return number


def pace(seconds, rate):
    """Work of a fixed size between additions; says how much of it a second of processor time is good for."""
    done, writes, began, used = 0, 0, time.monotonic(), time.process_time()
    while True:
        elapsed = time.monotonic() - began
        if elapsed >= seconds:
            return done / (time.process_time() - used)
        while writes < elapsed * rate:
            ROWS.append(writes)
            writes += 1
        sum(range(200))
        done += 1


def main():
    # A dict's and a list's size is their third word, a set's the fourth. Last comes a type.
    print(id(TABLE) + 16, id(ROWS) + 16, id(NAMES) + 24, id(QUEUE) + 16, id(Node), flush=True)
    first = 0
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "run":
            run(first, int(numbers[0]))
            first += int(numbers[0])
            print("done", flush=True)
        elif command == "threads":
            for _ in range(2):
                thread = threading.Thread(target=run, args=(first, int(numbers[0])))
                thread.start()
                thread.join()
                first += int(numbers[0])
            print("done", flush=True)
        elif command == "make":
            make(int(numbers[0]))
            print("done", flush=True)
        elif command == "hurry":
            print(hurry(float(numbers[0])), flush=True)
        elif command == "pace":
            print(pace(float(numbers[0]), float(numbers[1])), flush=True)


main()
