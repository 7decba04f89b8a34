//! What one probe hit costs on this machine, measured on leaktrace itself with the programs that trace the target.
//!
//! Two tiny functions of this binary are probed like malloc and free and called a few thousand times. Their records
//! carry a process slot that no target has. They and what was counted are thrown away, so it must come before any
//! target is attached.

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use leak_ebpf::{CALIBRATION_SLOT, EXACT, Hits, MAX_PERIOD, Sampling, Signature};

use super::{
    attach::{Probes, Site},
    load::{Kernel, Upward},
};
use crate::process::maps::{CodeMapping, code_mappings};

/// Nanoseconds that hits cost the process that runs into them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HitCost {
    /// An allocating call that is told: entry and return.
    pub call: f64,
    /// An allocating call that is not sampled.
    pub skipped_call: f64,
    /// A free that is told.
    pub free: f64,
    /// A free that is not.
    pub skipped_free: f64,
    /// What a single-stepped instruction adds.
    pub stepped_extra: f64,
}

/// Calls timed at a time; the least of [`ROUNDS`] counts, for anything above it is somebody else's work.
const CALLS: u32 = 400;
const ROUNDS: u32 = 5;

// Three functions whose first instruction is known: two that the kernel emulates and one that it steps.
core::arch::global_asm!(
    ".pushsection .text.leaktrace_calibration,\"ax\",@progbits",
    ".globl leaktrace_calibrate_call",
    "leaktrace_calibrate_call:",
    "push rbp",
    "pop rbp",
    "ret",
    ".globl leaktrace_calibrate_free",
    "leaktrace_calibrate_free:",
    "push rbp",
    "pop rbp",
    "ret",
    ".globl leaktrace_calibrate_step",
    "leaktrace_calibrate_step:",
    "test rdi, rdi",
    "push rbp",
    "pop rbp",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    safe fn leaktrace_calibrate_call(size: usize) -> usize;
    safe fn leaktrace_calibrate_free(block: usize);
    safe fn leaktrace_calibrate_step(block: usize);
}

/// Measures. Takes some milliseconds.
pub fn measure(kernel: &mut Kernel, upward: &mut Upward) -> Result<HitCost> {
    let pid = std::process::id();
    let own = code_mappings(pid)?;
    let place = |address: usize| -> Result<(&CodeMapping, u64)> {
        let address = address as u64;
        let mapping = own
            .iter()
            .find(|mapping| (mapping.start..mapping.end).contains(&address))
            .context("leaktrace cannot find its own code to calibrate with")?;
        Ok((mapping, address - mapping.start + mapping.file_offset))
    };
    let mut probes = Probes::default();
    let site = |file_offset, signature, emulated| Site {
        name: "calibration".into(),
        signature,
        file_offset,
        emulated,
        code: file_offset..file_offset,
        function: 0,
    };
    let (mapping, call) = place(leaktrace_calibrate_call as *const () as usize)?;
    let (_, free) = place(leaktrace_calibrate_free as *const () as usize)?;
    let (_, step) = place(leaktrace_calibrate_step as *const () as usize)?;
    let sites =
        [site(call, Signature::Size0, true), site(free, Signature::Free, true), site(step, Signature::Free, false)];
    probes.attach(kernel, pid, CALIBRATION_SLOT, &mapping.open(pid)?, &sites)?;
    let measure = |kernel: &mut Kernel, period, flags| -> Result<(f64, f64)> {
        kernel.set_sampling(CALIBRATION_SLOT, Sampling::new(period, flags, 0))?;
        let call = least(|| {
            black_box(leaktrace_calibrate_call(black_box(1)));
        });
        Ok((call, least(|| leaktrace_calibrate_free(black_box(1)))))
    };
    let (skipped_call, skipped_free) = measure(kernel, MAX_PERIOD, Sampling::KNOWN_FREES)?;
    let (call, free) = measure(kernel, EXACT, 0)?;
    let step = least(|| leaktrace_calibrate_step(black_box(1)));
    // Taking the probes out waits for the kernel; nothing here depends on it.
    thread::spawn(move || drop(probes));
    upward.discard()?;
    Ok(HitCost { call, skipped_call, free, skipped_free, stepped_extra: (step - free).max(0.0) })
}

fn least(call: impl Fn()) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

impl HitCost {
    /// Time that these hits cost the target.
    pub fn of(&self, hits: &Hits) -> Duration {
        let told_frees = hits.told_frees as f64;
        self.of_bare(hits)
            + nanoseconds(hits.told_calls as f64 * self.told_call() + told_frees * (self.free - self.skipped_free))
    }

    /// Time that they would cost if none of them were told.
    pub fn of_bare(&self, hits: &Hits) -> Duration {
        nanoseconds(
            hits.entries as f64 * self.skipped_call
                + hits.frees as f64 * self.skipped_free
                + hits.stepped as f64 * self.stepped_extra,
        )
    }

    /// Time that a sampled block costs beyond that, from its allocation to its free.
    pub fn of_sample(&self) -> Duration {
        nanoseconds(self.told_call() + self.free - self.skipped_free)
    }

    fn told_call(&self) -> f64 {
        self.call - self.skipped_call
    }
}

fn nanoseconds(nanoseconds: f64) -> Duration {
    Duration::from_secs_f64(nanoseconds.max(0.0) / 1e9)
}
