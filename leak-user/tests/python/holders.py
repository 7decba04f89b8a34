"""Holds things in every way that there is, and more of them at each line of its input. Runs on 3.8 and later.

It says the addresses of its containers, one line of NAME ADDRESS each and a line `ready`, and after each line that it
reads, which is what to do, `done`: a number says how many entries each holder is to get.
"""
import collections
import functools
import gc
import sys
import threading
import weakref

import views
import store
from store import SHARED, Session  # noqa: F401, to have another module's things under its own names


class Registry:
    listeners = []
    known = set()

    def __init__(self):
        self.items = []
        self.by_name = {}


class Slotted:
    __slots__ = ("table", "__weakref__")

    def __init__(self):
        self.table = {}


class Child(Slotted):
    def __init__(self):
        super().__init__()
        self.queue = collections.deque()


class Table(dict):
    pass


class Node:
    def __init__(self):
        self.parent = None
        self.children = []


SESSIONS = {}
registry = Registry()
slotted = Slotted()
child = Child()
history = collections.deque()
counts = collections.Counter()
ordered = collections.OrderedDict()
grouped = collections.defaultdict(list)
table = Table()
nested = {"x": [0, 1, 2, Registry()], 7: {"deep": []}, (1, 2): []}
ERRORS = []
by_weak = weakref.WeakValueDictionary()
alive = []
per_thread = threading.local()
per_thread.cache = []
chain = None
ring = []
ring.append(ring)


@functools.lru_cache(maxsize=None)
def lookup(number):
    return Session(number)


@functools.lru_cache(maxsize=100)
def bounded(number):
    return Session(number)


def make():
    seen = []

    def inner(number):
        seen.append(Session(number))
        return seen

    return inner


keep = make()


def default(number, kept=[]):
    kept.append(number)
    return kept


def counter():
    pending = []
    while True:
        number = yield pending
        pending.append(Session(number))


generator = counter()
PENDING = id(next(generator))
method = Registry().items.append
partial = functools.partial(default, 1)


def fail(number):
    rows = [number] * 3
    raise ValueError("failure %d of %d" % (number, len(rows)))


def fail_with_a_cycle(number):
    try:
        fail(number)
    except ValueError as failure:
        kept = failure  # noqa: F841, closes a cycle through the frame


def grow(number, rows, first):
    for n in range(first, first + number):
        SESSIONS[n] = Session(n)
        SHARED.append(Session(n))
        views.view(n)
        Registry.listeners.append(Session(n))
        Registry.known.add(Session(n))
        registry.items.append(Session(n))
        registry.by_name["name %d" % n] = Session(n)
        slotted.table[n] = n
        child.queue.append(Session(n))
        history.append(Session(n))
        counts["key %d" % n] += 1
        ordered[n] = Session(n)
        grouped[n].append(n)
        table[n] = "text %d" % n
        nested["x"][3].items.append(Session(n))
        nested[7]["deep"].append(Session(n))
        nested[1, 2].append(Session(n))
        rows.append(Session(n))
        lookup(n)
        bounded(n)
        keep(n)
        default(n)
        generator.send(n)
        method(Session(n))
        alive.append(Session(n))
        by_weak[n] = alive[-1]
        per_thread.cache.append(Session(n))
        store.cache.hidden.append(Session(n))
        try:
            fail(n)
        except ValueError as failure:
            ERRORS.append(failure)
        node, leaf = Node(), Node()
        leaf.parent = node
        node.children.append(leaf)
        fail_with_a_cycle(n)


def lengthen(number):
    global chain
    for _ in range(number):
        chain = [chain]


def main():
    rows = []
    grow(100, rows, 0)
    places = {
        "SESSIONS": SESSIONS, "SHARED": SHARED, "recent": store.RECENT, "listeners": Registry.listeners, "known": Registry.known,
        "items": registry.items, "by_name": registry.by_name, "slotted": slotted.table, "queue": child.queue,
        "history": history, "counts": counts, "ordered": ordered, "grouped": grouped, "table": table,
        "nested_items": nested["x"][3].items, "nested_deep": nested[7]["deep"], "nested_tuple": nested[1, 2],
        "rows": rows, "seen": keep(0), "default": default(0), "method": method.__self__,
        "errors": ERRORS, "by_weak": by_weak.data, "alive": alive, "per_thread": per_thread.cache,
        "hidden": store.cache.hidden,
        "error_rows": ERRORS[0].__traceback__.tb_next.tb_frame.f_locals["rows"],
    }
    for name, wrapper in {"lookup": lookup, "bounded": bounded}.items():
        held = (of for of in gc.get_referents(wrapper) if isinstance(of, dict) and of is not wrapper.__dict__)
        places[name] = next(held)
    for name, place in places.items():
        print(name, hex(id(place)))
    print("pending", hex(PENDING))
    del places, name, place, wrapper, held
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    first = 100
    for line in sys.stdin:
        if line.startswith("chain"):
            lengthen(int(line.split()[1]))
        else:
            grow(int(line), rows, first)
            first += int(line)
        print("done", flush=True)


if __name__ == "__main__":
    main()
