//! The profile as a server takes it that keeps many and draws them over time.
//!
//! Such a server makes a series of each set of labels, so only those stay that have few values. A duration would have it
//! take the figures for what happened in that time, and divide by it; they are levels. And it names a series by its period,
//! so there always is one. Leaves out what the others lose: they are in the file that `leaktrace export` writes.

use std::io::Write;

use anyhow::Result;

use super::{
    profile,
    proto::{Profile, ValueType},
    zip,
};
use crate::session::View;

/// The labels of samples that stay.
const LABELS: [&str; 2] = ["verdict", "pid"];

/// Writes it.
pub fn write_for_server(view: &View, out: &mut dyn Write) -> Result<()> {
    let mut profile = profile(view);
    let kept: Vec<i64> = LABELS.iter().map(|label| index_of(&mut profile, label)).collect();
    for sample in &mut profile.sample {
        sample.label.retain(|label| kept.contains(&label.key));
    }
    profile.duration_nanos = 0;
    let (kind, unit) = (index_of(&mut profile, "space"), index_of(&mut profile, "bytes"));
    profile.period_type = Some(ValueType { kind, unit });
    profile.period = profile.period.max(1);
    zip(&profile, out)
}

fn index_of(profile: &mut Profile, text: &str) -> i64 {
    let strings = &mut profile.string_table;
    let known = strings.iter().position(|string| string == text);
    known.unwrap_or_else(|| {
        strings.push(text.to_owned());
        strings.len() - 1
    }) as i64
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use prost::Message as _;

    use super::*;
    use crate::session::sample;

    #[test]
    fn it_is_a_level_with_a_period_and_few_labels() {
        let mut zipped = Vec::new();
        write_for_server(&sample::redis(), &mut zipped).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(&*zipped).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(&*bytes).unwrap();
        let text = |index: i64| profile.string_table[index as usize].as_str();
        assert_eq!((profile.duration_nanos, profile.period), (0, 1));
        let period = profile.period_type.unwrap();
        assert_eq!((text(period.kind), text(period.unit)), ("space", "bytes"));
        assert!(profile.time_nanos > 0);
        for sample in &profile.sample {
            assert!(sample.label.iter().map(|label| text(label.key)).eq(LABELS));
        }
    }
}
