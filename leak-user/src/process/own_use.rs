//! What leaktrace itself takes: processor time and memory.

use std::time::Duration;

/// Processor time so far, and resident bytes; nothing where `/proc` does not say.
pub fn own_use() -> (Duration, u64) {
    let stat = procfs::process::Process::myself().and_then(|own| own.stat());
    stat.map_or((Duration::ZERO, 0), |stat| {
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        (Duration::from_secs_f64(seconds), stat.rss * procfs::page_size())
    })
}
