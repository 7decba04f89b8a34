//! All services of which sessions are kept, each in a line.

use std::collections::HashMap;

use serde::Serialize;

use super::{Kept, SCHEMA, story::rfc3339};
use crate::report::Outlook;

/// All services.
#[derive(Clone, Debug, Serialize)]
pub struct Services {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Those with the latest session first.
    pub services: Vec<Service>,
}

/// A service of which sessions are kept.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Its systemd unit or, without one, the name of its process: not to be printed raw.
    pub name: String,
    /// How many sessions there are of it.
    pub sessions: usize,
    /// When the first began, RFC 3339 in UTC.
    pub first_time: String,
    /// When the last began.
    pub last_time: String,
    /// What the stacks of the last amount to.
    pub outlook: Outlook,
    /// Bytes of all.
    pub bytes: u64,
}

impl Services {
    /// Of sessions, the oldest first. `outlook` is asked of the last session of each service what its stacks amount to.
    pub fn of(kept: &[Kept], outlook: impl Fn(&Kept) -> Outlook) -> Self {
        let mut services: Vec<Service> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        // The latest first, so that its service comes first.
        for session in kept.iter().rev() {
            let time = rfc3339(session.began);
            let place = *places.entry(session.service()).or_insert_with(|| {
                services.push(Service {
                    name: session.service().to_owned(),
                    sessions: 0,
                    first_time: String::new(),
                    last_time: time.clone(),
                    outlook: outlook(session),
                    bytes: 0,
                });
                services.len() - 1
            });
            let service = &mut services[place];
            service.sessions += 1;
            service.first_time = time;
            service.bytes = service.bytes.saturating_add(session.bytes);
        }
        Self { schema: SCHEMA, services }
    }
}
