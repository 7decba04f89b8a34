//! Takes probes out on a thread of its own: the kernel waits for each, and the ring must be read meanwhile.
//!
//! One thread for all, for the kernel takes them out one after the other however many ask it to.

use std::{
    sync::mpsc::{Sender, channel},
    thread,
};

use anyhow::{Context, Result};

use crate::probe::attach::Probes;

/// The thread's end that takes probes.
pub struct Removal {
    probes: Sender<Probes>,
}

impl Removal {
    /// Starts the thread; it ends with this.
    pub fn start() -> Result<Self> {
        let (probes, to_drop) = channel();
        thread::Builder::new()
            .name("removal".to_owned())
            .spawn(move || to_drop.into_iter().for_each(drop))
            .context("a thread that takes probes out cannot be started")?;
        Ok(Self { probes })
    }

    /// Has these taken out as soon as it can be.
    pub fn take_out(&self, probes: Probes) {
        // The thread ends only after this; should it be gone, they are dropped here.
        drop(self.probes.send(probes));
    }
}
