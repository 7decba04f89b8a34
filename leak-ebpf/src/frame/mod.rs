//! Unwinding by table: how to get from a function to its caller, without frame pointers.
//!
//! User space compiles what compilers write down for exceptions (`.eh_frame`) into [`Row`]s, one for each stretch of
//! code in which the same [`Rule`] holds; [`search`] finds the row of an address and [`step`] applies its rule. The
//! kernel programs and user space run this same code, generic over how a row and a word of the target are read. It
//! knows x86-64 only, and follows the four registers that rules are made of.
//!
//! A walk looks up `ip - 1` for every frame but two kinds: the innermost, and one that a signal interrupted (see
//! [`Step::Interrupted`]). In all others `ip` is a return address, which can lie behind the end of the function that
//! made the call; in those two it is the very next instruction.
//!
//! Compiled for BPF, nothing here panics, indexes, recurses, or loops without a bound known to the compiler.

#![expect(
    clippy::inline_always,
    reason = "a call in BPF costs a frame of its 512-byte stack and hides bounds from the verifier"
)]

mod climb;
mod memo;
mod row;
mod rule;
mod step;

pub use climb::{Climber, Code, Ground, Initial, USER_SPACE};
pub use memo::{MEMO_WORDS, Memo, Outcome, REACH, Subject};
pub use row::{MAX_ROWS, MAX_RULES, NO_RULE, Row, search};
pub use rule::{Cfa, Rule, Saved, Unsupported};
pub use step::{Lost, Plan, Registers, Step, UNKNOWN, by_pointer, fp_step, step};
