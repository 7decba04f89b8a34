"""Makes objects of known numbers, says them, and waits for the end of its input. Runs on Python 3.8 and later."""
import collections
import fractions
import json
import sys


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = "plain"


class Slotted:
    __slots__ = ("one", "two", "three")


class Empty:
    pass


class Weak:
    __slots__ = ("one", "__weakref__")


class Outer:
    class Inner:
        __slots__ = ("value",)


class Counter(int):
    pass


class Label(str):
    pass


class Row(tuple):
    __slots__ = ()


class Table(dict):
    pass


class Stack(list):
    pass


class Failure(Exception):
    pass


class Meta(type):
    pass


class Made(metaclass=Meta):
    def __init__(self):
        self.value = None


Point = collections.namedtuple("Point", "x y")


def generator(value):
    yield value


known = {}
held = []


def make(name, number, one):
    held.append([one(n) for n in range(number)])
    known[name] = known.get(name, 0) + number


make("__main__.Plain", 20000, Plain)
make("__main__.Slotted", 20000, lambda n: Slotted())
make("__main__.Empty", 10000, lambda n: Empty())
make("__main__.Weak", 10000, lambda n: Weak())
make("__main__.Outer.Inner", 10000, lambda n: Outer.Inner())
make("__main__.Counter", 5000, Counter)
make("__main__.Label", 5000, lambda n: Label("label %d" % n))
make("__main__.Row", 5000, lambda n: Row((n, n)))
make("__main__.Table", 5000, lambda n: Table(one=n))
make("__main__.Stack", 5000, lambda n: Stack((n,)))
make("__main__.Failure", 5000, lambda n: Failure("failure", n))
make("__main__.Made", 5000, lambda n: Made())
make("__main__.Point", 5000, lambda n: Point(n, n))
make("fractions.Fraction", 5000, lambda n: fractions.Fraction(n + 1, 7))
make("collections.OrderedDict", 1000, lambda n: collections.OrderedDict(one=n))
make("collections.deque", 500, lambda n: collections.deque((n,)))
make("float", 20000, lambda n: n * 1.5)
make("complex", 5000, lambda n: complex(n, 1))
make("bytearray", 5000, lambda n: bytearray(b"x" * 100))
make("generator", 2000, generator)
make("slice", 2000, lambda n: slice(n, n + 1000))
make("range", 2000, lambda n: range(n, n + 1000))
make("memoryview", 1000, lambda n: memoryview(b"memory"))
# The program has others of these: what is made here is at least there.
more = dict(known)
known = {}
make("bytes", 20000, lambda n: b"%d bytes" % n)
make("str", 20000, lambda n: "%d characters, \u00e9" % n)
make("tuple", 20000, lambda n: (n, str, n))
make("int", 20000, lambda n: n + (1 << 40))
make("dict", 20000, lambda n: {"number": n})
make("list", 20000, lambda n: [n, n])
make("set", 5000, lambda n: {n, -n, "set"})
make("frozenset", 5000, lambda n: frozenset((n, "set")))
make("cell", 5000, lambda n: (lambda: n).__closure__[0])
# Larger than the blocks of pools.
make("bytes", 2000, lambda n: b"x" * (600 + n))
make("str", 2000, lambda n: "%d" % n + "x" * 2000)
make("tuple", 2000, lambda n: (n,) * 200)
make("type", 200, lambda n: type("Kind%d" % n, (), {}))
at_least, known = known, more
gone = [Plain(n) for n in range(10000)]
del gone
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "blocks": sys.getallocatedblocks(),
    "exactly": known,
    "at_least": at_least,
}), flush=True)
sys.stdin.read()
