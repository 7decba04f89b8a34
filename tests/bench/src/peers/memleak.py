# Runs the bcc tool that its arguments name, with a function of bcc's Python library told all of its parameters.
# bcc leaves the last one (an offset that must be 0) to chance, and attaches nothing where chance has it otherwise:
# https://github.com/iovisor/bcc/issues/5236
import ctypes
import runpy
import sys

from bcc import libbcc

attach = libbcc.lib.bpf_attach_uprobe
attach.argtypes = [*attach.argtypes[:6], ctypes.c_uint]
libbcc.lib.bpf_attach_uprobe = lambda *arguments: attach(*arguments[:6], 0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
