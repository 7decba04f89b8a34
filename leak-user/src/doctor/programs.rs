//! Whether the programs load, and what a hit of theirs costs here.

use std::time::Instant;

use leak_ebpf::Walk;

use super::Check;
use crate::{
    notice::Notices,
    probe::{
        calibrate::{self, HitCost},
        load::{Kernel, LinkKind, LoadSettings},
    },
};

/// Loads the programs and measures what a hit costs: what works here works in a trace.
pub fn examine(links: LinkKind) -> Vec<Check> {
    let began = Instant::now();
    let settings = LoadSettings {
        ring_bytes: 1 << 20,
        links,
        walk: Walk::Auto,
        may_sample: true,
        newcomers: false,
        python: false,
    };
    let (mut kernel, mut upward, _tables) = match Kernel::load(settings, Notices::Quiet) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "look at the lines above and below; if none says why, report it, with the kernel's version and \
                          configuration";
            return vec![Check::bad("programs", format!("{error:#}"), advice)];
        }
    };
    let milliseconds = began.elapsed().as_millis();
    let loaded = Check::good(
        "programs",
        format!("loaded in {milliseconds} ms, those on the tracepoints sched_process_exec and task_newtask among them"),
    );
    let cost = match calibrate::measure(&mut kernel, &mut upward) {
        Ok(HitCost { call, skipped_call, free, skipped_free, stepped_extra }) => Check::good(
            "cost",
            format!(
                "an allocation and its free {:.1} us when traced, {:.1} us when not sampled; {:.1} us more at an \
                 instruction that the kernel single-steps",
                (call + free) / 1000.0,
                (skipped_call + skipped_free) / 1000.0,
                stepped_extra / 1000.0
            ),
        ),
        Err(error) => {
            Check::poor("cost", format!("not known: {error:#}"), "without it no budget can be kept; report it")
        }
    };
    vec![loaded, cost]
}
