//! What leaktrace says of a running Python: that it is true, that the program goes on undisturbed, and that nothing a
//! program is made of can harm who looks at it.
//!
//! | file              | what it holds                                                          |
//! |-------------------|------------------------------------------------------------------------|
//! | `leaks.rs`        | small programs that leak, and some that do not, on several versions    |
//! | `service.rs`      | web services under load, with a leak in a handler                      |
//! | `conditions.rs`   | flags, threads, debuggers, launches: whatever else may be with an interpreter |
//! | `memray.rs`       | the same lines, as memray finds them from inside                       |
//! | `stacks.rs`       | Python's functions in the stacks of allocations                        |
//! | `types.rs`        | objects by type, against what the program says of itself               |
//! | `hostile.rs`      | what only says that it is a Python, and what ends while it is read     |
//! | `load.rs`         | the load                                                               |
//! | `programs.rs`     | the programs, and the lines that they mark                             |
//! | `interpreters.rs` | the versions of `CPython` that this machine has                        |
//! | `judge.rs`        | whether reports say what is known of a program                         |
//! | `findings.rs`     | what a report finds, one by one                                        |
//! | `outcomes.rs`     | what came of every program on every version, as a table                |

mod conditions;
mod findings;
mod hostile;
mod interpreters;
mod judge;
mod leaks;
mod load;
mod memray;
mod outcomes;
mod programs;
mod service;
mod stacks;
mod types;
