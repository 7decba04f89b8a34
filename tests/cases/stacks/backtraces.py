"""Run by gdb: says the stack of each allocation that a program of witness.h makes, in that program's own words.

A line "gdb BYTES MODULE+0xADDRESS ..." each, from malloc's caller outwards; inlined functions are no frames. They go to
the file that $BACKTRACES names, and what the program says when run with $ARGUMENTS to the one that $SAID names.
"""

import os

import gdb

STARTS = {}


def start_of(path):
    """Where the file's first byte lies."""
    if not STARTS:
        for line in gdb.execute("info proc mappings", to_string=True).splitlines():
            words = line.split()
            if len(words) >= 5 and words[0].startswith("0x"):
                STARTS.setdefault(words[-1], int(words[0], 16))
    return STARTS[path]


def where(address):
    path = gdb.solib_name(address)
    if path is not None:
        path = os.path.realpath(path)
        return "%s+%#x" % (os.path.basename(path), address - start_of(path))
    path = gdb.current_progspace().filename
    start = 0 if IS_FIXED else start_of(path)
    return "%s+%#x" % (os.path.basename(path), address - start)


def stack():
    frame = gdb.newest_frame()
    number = 0
    is_interrupted = False
    while frame is not None and frame.pc() != 0:
        # gdb also tells who must have jumped to the next one; nothing of these is on the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            number += 1
            if number > 2:  # the marker and malloc
                yield where(frame.pc() - (0 if is_interrupted else 1))
            is_interrupted = frame.type() == gdb.SIGTRAMP_FRAME
        frame = frame.older()


class Seen(gdb.Breakpoint):
    def stop(self):
        size = int(gdb.newest_frame().read_register("rdi"))
        print("gdb %d %s" % (size, " ".join(stack())), file=OUT)
        return False


gdb.execute("set pagination off")
gdb.execute("set language c")
gdb.execute("set debuginfod enabled off")
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
gdb.execute("handle SIGUSR1 SIGUSR2 SIGILL nostop noprint pass")
IS_FIXED = "EXEC (" in os.popen("readelf -h '%s'" % gdb.current_progspace().filename).read()
Seen("*witness_seen")
with open(os.environ["BACKTRACES"], "w") as OUT:
    gdb.execute("run %s >'%s'" % (os.environ["ARGUMENTS"], os.environ["SAID"]))
