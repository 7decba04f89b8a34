//! What a write to a watched word costs on this machine, measured on leaktrace itself.

use std::{
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use super::breakpoints::Breakpoints;

/// Seconds that it costs where it cannot be measured: a usual figure of a virtual machine, which pays most.
const USUAL: f64 = 11e-6;

/// Seconds that a walk of a Python stack adds, about.
const WALK: f64 = 2e-6;

/// Writes timed at a time; the least of [`ROUNDS`] counts, for anything above it is somebody else's work.
const WRITES: u64 = 64;
const ROUNDS: u32 = 3;

/// What is written to.
static WORD: AtomicU64 = AtomicU64::new(0);

/// Seconds that a write costs whose watchpoint runs this program.
pub fn measure(program: BorrowedFd<'_>) -> f64 {
    let Ok(breakpoints) = Breakpoints::in_this_thread(WORD.as_ptr().addr() as u64, program) else {
        return USUAL + WALK;
    };
    breakpoints.enable();
    let round = || {
        let began = Instant::now();
        (0..WRITES).for_each(|number| WORD.store(number, Ordering::Relaxed));
        began.elapsed().as_secs_f64() / WRITES as f64
    };
    let least = (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min);
    least + WALK
}
