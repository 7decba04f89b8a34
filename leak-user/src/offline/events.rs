//! `parse`: every event of a session, a line each.

use std::{collections::HashSet, io::Write};

use anyhow::Result;

use crate::{
    session::{
        Session,
        events::{Event, Kind},
    },
    text::printable,
};

/// Writes the events in the order in which they came about, and ahead of a stack's first one its calls. Says whether there
/// are any.
///
/// A line is: seconds since the first event, process, thread (0 for a free), `alloc`, `free`, `take` (realloc, mremap or
/// munmap has begun) or `back` (it has failed), address, bytes, and for an allocation its stack and, if it was sampled, the
/// mean bytes between samples. A stack's line is `stack`, its id, and its calls from the allocator's caller outwards.
pub fn events(session: &Session, out: &mut dyn Write) -> Result<bool> {
    let calls: std::collections::HashMap<u64, String> = session
        .frames()?
        .into_iter()
        .filter_map(|(id, frames)| {
            let names = frames.iter().map(super::label).map(|name| printable(&name).into_owned());
            Some((u64::from_str_radix(&id, 16).ok()?, names.collect::<Vec<_>>().join(";")))
        })
        .collect();
    let mut told = HashSet::new();
    let mut began = None;
    session.events(|block| {
        for event in block.events() {
            if event.kind == Kind::Allocated && told.insert(event.stack) {
                let calls = calls.get(&event.stack).map_or("", String::as_str);
                writeln!(out, "stack {:016x} {calls}", event.stack)?;
            }
            let began = *began.get_or_insert(event.time);
            line(event, event.time as f64 - began as f64, out)?;
        }
        Ok(())
    })
}

fn line(event: &Event, nanoseconds: f64, out: &mut dyn Write) -> Result<()> {
    let Event { kind, pid, tid, address, bytes, stack, period, .. } = *event;
    let what = match kind {
        Kind::Allocated => "alloc",
        Kind::Freed => "free",
        Kind::Taken => "take",
        Kind::Restored => "back",
    };
    write!(out, "{:.6} {pid} {tid} {what} {address:#x} {bytes}", nanoseconds / 1e9)?;
    if kind == Kind::Allocated {
        write!(out, " {stack:016x}")?;
        if period > 1 {
            write!(out, " {period}")?;
        }
    }
    writeln!(out)?;
    Ok(())
}
