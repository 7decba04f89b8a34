"""Does what healthy programs do, one turn for each line of its input. Runs on 3.8 and later.

A cache that lets go of its oldest, a queue that is emptied as fast as it is filled, tables that fill up and come to rest, a
batch that is gathered and let go of, results that are remembered up to a number, and lists that come and go at each
request.
"""
import collections
import functools
import random
import sys

random.seed(7)


class Session:
    def __init__(self, number):
        self.number = number


cache = collections.OrderedDict()
queue = collections.deque()
recent = collections.deque(maxlen=900)
routes = {}
names = set()
batch = []
live = {}


@functools.lru_cache(maxsize=900)
def remembered(number):
    return Session(number)


def answer(number):
    rows = [Session(n) for n in range(random.randrange(10, 500))]
    index = {row.number: row for row in rows}
    seen = {row.number for row in rows}
    return len(index) + len(seen)


def turn(first, batches):
    for n in range(first, first + 500):
        cache[n] = Session(n)
        if len(cache) > 700:
            cache.popitem(last=False)
        queue.append(Session(n))
        if len(queue) > 300 + random.randrange(100):
            while len(queue) > 250:
                queue.popleft()
        recent.append(n)
        routes[random.randrange(600)] = Session(n)
        names.add("name %d" % random.randrange(600))
        remembered(n)
        answer(n)
        # As many come as go, in no order.
        live[n] = Session(n)
        if len(live) > 400:
            del live[random.choice(list(live))]
        if batches % 4 == 3:
            batch.clear()
        else:
            batch.append(Session(n))


print("ready", flush=True)
first = 0
for batches, line in enumerate(sys.stdin):
    turn(first, batches)
    first += 500
    kept = [answer(n) for n in range(20)]
    print("done", flush=True)
