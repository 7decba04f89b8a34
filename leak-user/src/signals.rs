//! The signals that leaktrace notes rather than obeys at once, so that it ends in order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Each as a stream of its own, within a tokio runtime.
pub struct Signals {
    /// Ctrl-C.
    pub interrupt: Signal,
    /// As a service manager ends things.
    pub terminate: Signal,
    /// The terminal is gone; or, for what has none, settings are to be read again.
    pub hangup: Signal,
}

impl Signals {
    /// From here on they are noted.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until one of them comes.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
