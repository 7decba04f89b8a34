//! Something by age: what is held, or what was freed by how long it lived.

use serde::{Deserialize, Serialize};

/// Parts of [`Ages`].
pub const AGE_PARTS: usize = 14;

/// Where each part but the first begins, in seconds.
pub const AGE_EDGES_S: [u32; AGE_PARTS - 1] = [1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400];

/// The same in nanoseconds.
const EDGES_NS: [u64; AGE_PARTS - 1] = {
    let mut edges = [0; AGE_PARTS - 1];
    let mut part = 0;
    while part < edges.len() {
        edges[part] = AGE_EDGES_S[part] as u64 * 1_000_000_000;
        part += 1;
    }
    edges
};

/// Something by age: less than the first edge, less than the second, …, more than the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages(pub [u64; AGE_PARTS]);

impl Ages {
    /// The part for this age.
    pub fn part_of(age_ns: u64) -> usize {
        // From the youngest on: most blocks do not grow old.
        EDGES_NS.iter().take_while(|edge| **edge <= age_ns).count()
    }

    /// Adds to the part for this age.
    pub fn add(&mut self, age_ns: u64, amount: u64) {
        let part = &mut self.0[Self::part_of(age_ns)];
        *part = part.saturating_add(amount);
    }

    /// Takes from the part for this age what was added before.
    pub fn subtract(&mut self, age_ns: u64, amount: u64) {
        let part = &mut self.0[Self::part_of(age_ns)];
        *part = part.saturating_sub(amount);
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// A part as people say it: "under 1 s", "5 s to 15 s", "over 24 h".
    pub fn name(part: usize) -> String {
        let edge = |index: usize| AGE_EDGES_S.get(index).map(|edge| seconds(*edge));
        match (part.checked_sub(1).and_then(edge), edge(part)) {
            (None, Some(end)) => format!("under {end}"),
            (Some(start), Some(end)) => format!("{start} to {end}"),
            (Some(start), None) => format!("over {start}"),
            (None, None) => String::new(),
        }
    }
}

fn seconds(edge: u32) -> String {
    match edge {
        0..60 => format!("{edge} s"),
        60..3600 => format!("{} min", edge / 60),
        _ => format!("{} h", edge / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_falls_into_the_part_that_its_name_says() {
        let name = |seconds: f64| Ages::name(Ages::part_of((seconds * 1e9) as u64));
        assert_eq!(name(0.0), "under 1 s");
        assert_eq!(name(0.999), "under 1 s");
        assert_eq!(name(1.0), "1 s to 5 s");
        assert_eq!(name(299.0), "2 min to 5 min");
        assert_eq!(name(1e6), "over 24 h");
    }
}
