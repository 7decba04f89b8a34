"""What the programs here have in common: a steady pace, and an end.

Each is run as `python3 PROGRAM.py [RATE]`, says "ready", and does RATE things a second, in small steps, until its
standard input is closed. A leaking one marks the line that leaks, where the harness looks for it.
"""

from __future__ import annotations

import select
import sys
import time
from typing import Iterator

STEP_S = 0.02


def paced(rate: float = 1500) -> Iterator[int]:
    """Counts from 0, so many a second unless an argument says otherwise."""
    if len(sys.argv) > 1:
        rate = float(sys.argv[1])
    print("ready", flush=True)
    began = time.monotonic()
    number = 0
    while not select.select([sys.stdin], [], [], STEP_S)[0]:
        due = int((time.monotonic() - began) * rate)
        while number < due:
            yield number
            number += 1
