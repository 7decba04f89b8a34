//! How leaktrace itself is: which version, and since when it runs.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Family, Unit};

/// What does not change as long as it runs.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    began: SystemTime,
}

impl Health {
    /// Of one that begins now.
    pub fn new() -> Self {
        Self { began: SystemTime::now() }
    }

    /// What the page says of it.
    pub fn families(&self) -> [Family; 2] {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        [
            Family::info("leaktrace_build", "The version of leaktrace").with(&version, 1),
            Family::gauge("leaktrace_start_time_seconds", Unit::Seconds, "When leaktrace began, in seconds since 1970")
                .of(began),
        ]
    }
}
