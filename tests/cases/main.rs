//! What leaktrace promises, one file a behaviour, each test a claim: real programs, the real kernel.
//!
//! `cargo xtask test` compiles everything and runs them. They need root and a kernel with BPF and fail without: a
//! promise that was not checked is not kept. `LEAKTRACE_BIN` names the leaktrace to test, `LEAKTRACE_TARGETS` the folder
//! of the compiled `tests/targets`, `LEAKTRACE_PYTHON` a Python with the packages that read exports, `LEAKTRACE_EXPORTS`
//! the folder of what is exported, `LEAKTRACE_PAGES` that of pages, `LEAKTRACE_FULL=1` asks for the long versions. No
//! test relies on absolute speed.

mod harness;

mod bad_input;
mod budget;
mod children;
mod containers;
mod demo;
mod doctor;
mod export;
mod fork;
mod harm;
mod history;
mod identity;
mod jit_names;
mod metrics;
mod names;
mod objects;
mod oracle;
mod overload;
mod package;
mod page;
mod push;
mod python;
mod redis;
mod report;
mod room;
mod rulings;
mod run;
mod sample;
mod sampling;
mod selection;
mod session;
mod soak;
mod stacks;
mod truth;
mod wanted;
mod watch;
