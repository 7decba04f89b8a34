//! Takes probes out on a thread of its own: the kernel waits for each, and the ring must be read meanwhile.
//!
//! One thread for all, for the kernel takes them out one after the other however many ask it to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread,
};

use anyhow::{Context, Result};

use crate::probe::attach::Probes;

/// Processes whose probes may wait to be taken out before it counts as being behind.
const MAX_WAITING: usize = 8;

/// The thread's end that takes probes.
pub struct Removal {
    probes: Sender<Probes>,
    waiting: Arc<AtomicUsize>,
}

impl Removal {
    /// Starts the thread; it ends with this.
    pub fn start() -> Result<Self> {
        let (probes, to_drop) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let still_waiting = Arc::clone(&waiting);
        thread::Builder::new()
            .name("removal".to_owned())
            .spawn(move || {
                for probes in to_drop {
                    drop(probes);
                    still_waiting.fetch_sub(1, Relaxed);
                }
            })
            .context("a thread that takes probes out cannot be started")?;
        Ok(Self { probes, waiting })
    }

    /// Has the probes of a process taken out as soon as it can be.
    pub fn take_out(&self, probes: Probes) {
        if probes.count() > 0 {
            self.waiting.fetch_add(1, Relaxed);
            // The thread ends only after this; should it be gone, they are dropped here.
            drop(self.probes.send(probes));
        }
    }

    /// Whether probes come faster than they can be taken out. Who places more now will have them pile up.
    pub fn is_behind(&self) -> bool {
        self.waiting.load(Relaxed) >= MAX_WAITING
    }
}
