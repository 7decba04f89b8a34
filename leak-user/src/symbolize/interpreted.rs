//! Frames of code that an interpreter runs, named when they were seen: what names them may be gone soon after.
//!
//! A stack keeps a call as a location. Such a frame is at no place in a module, so it has a number of its own, in the
//! place of an address that no processor has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Frame;
use crate::process::modules::Location;

/// The bit by which such a location is told. With it, a number is no address.
const MARK: u64 = 1 << 62;

/// Most frames that are kept; those beyond have no name.
const MOST: usize = 1 << 20;

/// Such frames, each once. What it was cloned from has the same ones.
#[derive(Clone, Default)]
pub struct Interpreted(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    frames: Vec<Frame>,
    places: HashMap<Frame, u64>,
}

impl Interpreted {
    /// Where this frame is, from now on.
    pub fn keep(&self, frame: Frame) -> Location {
        let Table { frames, places } = &mut *self.lock();
        let offset = if let Some(place) = places.get(&frame) {
            MARK | place
        } else if frames.len() < MOST {
            let place = frames.len() as u64;
            places.insert(frame.clone(), place);
            frames.push(frame);
            MARK | place
        } else {
            MARK | MOST as u64
        };
        Location { module: None, offset }
    }

    /// The frame that is there, if it is one of these.
    pub fn get(&self, offset: u64) -> Option<Frame> {
        let place = offset ^ MARK;
        if place > MOST as u64 {
            return None;
        }
        self.lock().frames.get(place as usize).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_kept_once_and_found_again() {
        let kept = Interpreted::default();
        let frame = |line| Frame { function: Some("f".into()), line: Some(line), ..Frame::default() };
        let (one, other) = (kept.keep(frame(1)), kept.keep(frame(2)));
        assert_eq!((kept.keep(frame(1)), one != other), (one, true));
        assert_eq!(kept.clone().get(other.offset), Some(frame(2)));
        for offset in [0, 1, 0x7f00_0000_1000, MARK | 2, u64::MAX] {
            assert_eq!(kept.get(offset), None, "{offset:#x}");
        }
    }
}
