//! What the library reads from running Pythons: who holds what grows.
//!
//! Real programs on every `CPython` that there is: Debian's, stripped, and those under the folder `LEAKTRACE_PYTHONS`, or
//! pyenv's. `LEAKTRACE_FULL=1` asks for all of them, otherwise two are tried.

mod cycles;
mod healthy;
mod hostile;
mod names;
mod program;
