//! The readings so far, as many as a verdict takes: the last ones as they were, and few of all that was before.

use std::collections::HashMap;

use crate::python::holders::{ContainerGrowth, Growing, Scan, growth};

/// Readings that are kept as they were.
const RECENT: usize = 12;

/// Readings that are kept of all the time.
const COARSE: usize = 16;

/// What shrank is not believed to leak for so many readings.
const REMEMBERED: u64 = 24;

/// See the module.
#[derive(Default)]
pub struct Past {
    readings: u64,
    recent: Vec<Scan>,
    coarse: Vec<Scan>,
    /// Every so many readings, one is kept for good.
    stride: u64,
    /// By address, the number of the reading at which a container was seen to have shrunk.
    shrunk: HashMap<u64, u64>,
}

impl Past {
    /// Adds a reading.
    pub fn add(&mut self, scan: Scan) {
        if let Some(last) = self.recent.last() {
            for container in &scan.containers {
                let before = last.containers.binary_search_by_key(&container.address, |before| before.address);
                let before = before.ok().and_then(|place| last.containers.get(place));
                if before.is_some_and(|before| before.kind == container.kind && before.entries > container.entries) {
                    self.shrunk.insert(container.address, self.readings);
                }
            }
        }
        let readings = self.readings;
        self.shrunk.retain(|_, at| readings - *at < REMEMBERED);
        self.stride = self.stride.max(1);
        if readings.is_multiple_of(self.stride) {
            self.coarse.push(scan.clone());
        }
        if self.coarse.len() > COARSE {
            let mut place = 0;
            self.coarse.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride *= 2;
        }
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(scan);
        self.readings += 1;
    }

    /// The last reading.
    pub fn last(&self) -> Option<&Scan> {
        self.recent.last()
    }

    /// What grew over the last readings; or, slowly, over all of them.
    pub fn growth(&self) -> Growing {
        let mut growing = growth(&self.recent);
        if self.stride > 1 {
            let slow = growth(&self.whole());
            let is_new = |of: &&ContainerGrowth| {
                of.entries.always_grew()
                    && !growing
                        .containers
                        .iter()
                        .any(|known| known.address == of.address && known.entries.always_grew())
            };
            let more: Vec<ContainerGrowth> = slow.containers.iter().filter(is_new).copied().collect();
            growing.containers.retain(|known| !more.iter().any(|more| more.address == known.address));
            growing.containers.extend(more);
        }
        growing
    }

    /// All the time, in steps of a stride and more: the last reading stands for the coarse one just before it, for what
    /// grows slowly stands still over less.
    fn whole(&self) -> Vec<Scan> {
        let since = self.readings.saturating_sub(1) % self.stride;
        let coarse = if since == 0 || self.coarse.len() < 2 { self.coarse.len() } else { self.coarse.len() - 1 };
        let last = self.recent.last().filter(|_| since > 0);
        self.coarse[..coarse].iter().chain(last).cloned().collect()
    }

    /// Whether a container shrank not long ago.
    pub fn has_shrunk(&self, address: u64) -> bool {
        self.shrunk.contains_key(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::containers::{Container, Witnesses};

    fn scan(seconds: u64, entries: u64) -> Scan {
        let container = Container { address: 16, kind: 7, entries, table_bytes: 0, witnesses: Witnesses::default() };
        Scan { seconds: seconds as f64, types: Vec::new(), containers: vec![container] }
    }

    #[test]
    fn what_grows_too_slowly_for_the_last_readings_is_seen_over_all() {
        let mut past = Past::default();
        for second in 0..400 {
            past.add(scan(second, 1000 + second / 20 * 20));
        }
        let growing = past.growth();
        let of = growing.containers.first().expect("one that grows");
        assert!(of.entries.always_grew() && of.entries.seconds > 100.0, "{of:?}");
    }

    #[test]
    fn what_shrank_is_remembered_for_a_while() {
        let mut past = Past::default();
        past.add(scan(0, 100));
        past.add(scan(1, 90));
        assert!(past.has_shrunk(16));
        for second in 2..2 + REMEMBERED {
            past.add(scan(second, 90 + second));
        }
        assert!(!past.has_shrunk(16));
    }
}
