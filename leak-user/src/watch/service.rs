//! What a service manager is told: systemd's, by its notification socket. Without one, nothing.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

/// Where no watchdog waits for a sign of life.
const NO_HURRY: Duration = Duration::from_hours(1);

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Service {
    beat: Duration,
}

impl Service {
    /// The one that started leaktrace, by what it left in the environment.
    pub fn from_environment() -> Self {
        // Twice in the time after which it is taken for dead.
        Self { beat: watchdog_enabled().map_or(NO_HURRY, |limit| limit / 2) }
    }

    /// How often it wants a sign of life.
    pub fn beat(&self) -> Duration {
        self.beat
    }

    /// The work has begun, or goes on after [`Self::reloading`].
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// What is going on, in a line.
    pub fn status(&self, text: &str) {
        self.tell(&[NotifyState::Status(text)]);
    }

    /// Settings are being read again.
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    #[expect(clippy::unused_self, reason = "there is nobody to tell before the service is known")]
    fn tell(&self, state: &[NotifyState<'_>]) {
        // A manager that does not listen is no reason to stop.
        let _ = notify(state);
    }
}
