"""Holds what is hard to walk, and changes what it holds as fast as it can. Runs on 3.8 and later.

It says the address of its deepest list, of one that nobody would find in time, and `ready`.
"""
import sys
import threading

sys.setswitchinterval(0.00005)

itself = []
itself.append(itself)
pair = ({}, {})
pair[0]["other"], pair[1]["other"] = pair[1], pair[0]

deep = []
chain = deep
for _ in range(1000000 if len(sys.argv) == 1 else 1000):
    chain = [chain]

wide = [[n] for n in range(200000 if len(sys.argv) == 1 else 20000)]
wide[-1].append([])

globals()["\x1b[2J" + "n" * 100000] = hostile_name = []
by_hostile_key = {"\x1b[31m" + "k" * 100000: {"\u202e": []}}
Hostile = type("T\x1b[0m" * 20, (dict,), {"__module__": "m\n" * 1000})
of_hostile_type = Hostile(entry=[])


class Meta(type):
    def __getattribute__(cls, name):
        raise RuntimeError(name)


class Strange(metaclass=Meta):
    __slots__ = ("held", "__dict__")


strange = Strange()
object.__setattr__(strange, "held", [])


def change():
    table, items, members = {}, [], set()
    while True:
        for n in range(5000):
            table[n] = [n]
            items.append({n: n})
            members.add((n, n))
        table.clear()
        del items[:]
        members = set()


if len(sys.argv) > 1:
    for _ in range(3):
        threading.Thread(target=change, daemon=True).start()

for name, place in {
    "deep": deep, "wide": wide[-1][1], "name": hostile_name, "strange": strange.held, "kind": of_hostile_type["entry"],
    "key": list(by_hostile_key.values())[0]["\u202e"],
}.items():
    print(name, hex(id(place)))
del name, place
print("ready", flush=True)
sys.stdin.read()
