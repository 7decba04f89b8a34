//! What is said of interpreters in words, the same wherever it is said. Safe to print.

use super::{Addition, Cycle, Holder, Interpreter, Reading};
use crate::{
    report::Frame,
    text::printable,
    units::{bytes, count, percent, plural, rate, seconds},
};

/// From fewer readings nothing follows.
const FEWEST: u64 = 4;

/// Places that are told of a container.
const PLACES_TOLD: usize = 2;

/// Which interpreter it is and how it was read, a sentence with its full stop.
pub fn about(interpreter: &Interpreter) -> String {
    let version = interpreter.version.as_deref().map_or_else(String::new, |version| format!(" {}", printable(version)));
    let who = format!("Python{version} in pid {}", interpreter.pid);
    let why = interpreter.why.as_deref().map(printable);
    let why = why.as_deref().unwrap_or_default();
    match interpreter.state {
        Reading::Waiting => format!("{who}: its heap is being read for the first time."),
        Reading::Refused => format!("{who} is not read: {why}."),
        Reading::Read => {
            let note = if why.is_empty() { String::new() } else { format!(" {why}.") };
            format!(
                "{who}: {} in {}; read {} in {} while it ran.{note}",
                bytes(interpreter.live_bytes),
                plural(interpreter.live_blocks, "block"),
                match interpreter.scans {
                    1 => "once".to_owned(),
                    scans => format!("{} times, the last", count(scans)),
                },
                seconds(interpreter.scan_s),
            )
        }
    }
}

/// What to say where nothing was found to grow.
pub const fn nothing(interpreter: &Interpreter) -> &'static str {
    if interpreter.scans < FEWEST {
        "Too early to say what grows."
    } else {
        "Nothing that Python code holds grows steadily."
    }
}

/// Who holds what grows and who adds to it: `app.SESSIONS (dict) +1,700 entries/s, +310 KiB/s: added at remember
/// (app.py:11), 100 % of additions, 0 removals`.
pub fn holder(holder: &Holder) -> String {
    let path = holder.path.as_deref().map_or("a container that no name leads to".into(), printable);
    let grows = format!("{} entries/s, {}", per_second(holder.entries_per_s), rate(holder.bytes_per_s));
    let watched = match (places(&holder.added), places(&holder.made)) {
        (Some(places), _) => format!(": added {places} of additions, {}", plural(holder.removals, "removal")),
        (None, Some(places)) => format!(": what it holds is made {places} of what stays"),
        (None, None) => String::new(),
    };
    format!("{path} ({}) {grows}{watched}", printable(&holder.kind))
}

/// What it holds and why the verdict.
pub fn below_holder(holder: &Holder) -> String {
    let holds = names(&holder.holds);
    let holds = if holds.is_empty() { String::new() } else { format!(" of {holds}") };
    let entries = if holder.entries == 1 { "entry" } else { "entries" };
    format!("{} {entries}{holds}; {}", count(holder.entries), printable(&holder.why))
}

/// What grows though nothing holds it, and where it is made.
pub fn cycle(cycle: &Cycle) -> String {
    let grows = format!("{} objects/s, {}", per_second(cycle.count_per_s), rate(cycle.bytes_per_s));
    let made = places(&cycle.added).map_or_else(String::new, |places| format!(": made {places}"));
    format!("{} that nothing holds, {grows}{made}", printable(&cycle.name))
}

/// What keeps it, and why the verdict.
pub fn below_cycle(cycle: &Cycle) -> String {
    let fields = names(&cycle.fields);
    let fields = if fields.is_empty() { String::new() } else { format!(" in the cycle {fields}") };
    format!("{}{fields}; {}", plural(cycle.count, "object"), printable(&cycle.why))
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
}

/// `at remember (app.py:11), 100 %`, if it was seen.
fn places(added: &[Addition]) -> Option<String> {
    let told: Vec<_> = added
        .iter()
        .take(PLACES_TOLD)
        .filter_map(|of| Some(format!("at {}, {}", place(of.frames.first()?), percent(of.share * 100.0))))
        .collect();
    (!told.is_empty()).then(|| told.join(" and "))
}

/// `remember (app.py:11)`.
pub fn place(frame: &Frame) -> String {
    let function = frame.function.as_deref().unwrap_or("?");
    let file = frame.file.as_deref().and_then(|path| path.rsplit('/').find(|part| !part.is_empty()));
    match (file, frame.line) {
        (Some(file), Some(line)) => format!("{} ({}:{line})", printable(function), printable(file)),
        (Some(file), None) => format!("{} ({})", printable(function), printable(file)),
        (None, _) => printable(function).into_owned(),
    }
}

/// `+1,700` or, of what is slow, `+0.4`.
pub fn per_second(rate: f64) -> String {
    let sign = if rate < 0.0 { '-' } else { '+' };
    let size = rate.abs();
    if size >= 9.95 { format!("{sign}{}", count(size.round() as u64)) } else { format!("{sign}{size:.1}") }
}
