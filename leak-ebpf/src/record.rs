//! A record as user space reads it from the ring.

use crate::{AllocRecord, FreeRecord, Head, Kind, MAX_FRAMES, ProcessRecord, RestoreRecord, TakeRecord, WalkEnd};

/// One record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A stack, see [`Kind::Stack`].
    Stack {
        /// Kind, process, thread and time.
        head: Head,
        /// The stack's id.
        id: u64,
        /// Whether its walk reached the bottom.
        is_whole: bool,
        /// See [`StackRecord::generation`](crate::StackRecord::generation).
        generation: u32,
        /// Its return addresses, from the allocator's caller outwards.
        frames: Frames<'a>,
    },
    /// See [`Kind::Alloc`].
    Alloc(AllocRecord),
    /// An allocation, of a block that was freed before its record was read.
    Brief {
        /// See [`Kind::Alloc`].
        alloc: AllocRecord,
        /// When it was freed, as [`Head::time`].
        freed: u64,
    },
    /// See [`Kind::Free`].
    Free(FreeRecord),
    /// See [`Kind::Take`].
    Take(TakeRecord),
    /// See [`Kind::Restore`].
    Restore(RestoreRecord),
    /// See [`Kind::Exec`].
    Exec(ProcessRecord),
    /// See [`Kind::Libraries`].
    Libraries(ProcessRecord),
    /// See [`Kind::Fork`].
    Fork(ProcessRecord),
    /// See [`Kind::Vfork`].
    Vfork(ProcessRecord),
    /// See [`Kind::Newcomer`].
    Newcomer(ProcessRecord),
}

/// Return addresses, still in the ring's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames<'a>(&'a [u64]);

impl Frames<'_> {
    /// The addresses, innermost first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u64> + Clone + '_ {
        self.0.iter().copied()
    }
}

impl<'a> Record<'a> {
    /// What every record begins with.
    pub fn head(&self) -> Head {
        match self {
            Self::Stack { head, .. } => *head,
            Self::Alloc(record) | Self::Brief { alloc: record, .. } => record.head,
            Self::Free(record) => record.head,
            Self::Take(record) => record.head,
            Self::Restore(record) => record.head,
            Self::Exec(record)
            | Self::Libraries(record)
            | Self::Fork(record)
            | Self::Vfork(record)
            | Self::Newcomer(record) => record.head,
        }
    }

    /// The record, of a block that was freed so many nanoseconds after it was allocated.
    #[inline]
    #[must_use]
    pub fn of_life(self, life: Option<u64>) -> Self {
        match (self, life) {
            (Self::Alloc(alloc), Some(life)) => Self::Brief { alloc, freed: alloc.head.time.saturating_add(life) },
            _ => self,
        }
    }

    /// The record in these words, or `None` when they are of no known kind or too few for it.
    #[inline]
    pub fn decode(words: &'a [u64]) -> Option<Self> {
        let word = |index: usize| words.get(index).copied();
        let first = word(0)?;
        let head = Head {
            kind: first as u8,
            signature: (first >> 8) as u8,
            process: (first >> 16) as u16,
            tid: (first >> 32) as u32,
            time: word(1)?,
        };
        Some(match head.kind {
            kind if kind == Kind::Stack as u8 => {
                let (shape, generation) = (word(3)? as u32, (word(3)? >> 32) as u32);
                let depth = (shape as u16 as usize).min(MAX_FRAMES);
                let frames = Frames(words.get(4..4 + depth)?);
                Self::Stack { head, id: word(2)?, is_whole: shape >> 16 == WalkEnd::Bottom as u32, generation, frames }
            }
            kind if kind == Kind::Alloc as u8 => {
                Self::Alloc(AllocRecord { head, addr: word(2)?, size: word(3)?, stack: word(4)?, draw: word(5)? })
            }
            kind if kind == Kind::Free as u8 => Self::Free(FreeRecord { head, addr: word(2)? }),
            kind if kind == Kind::Take as u8 => Self::Take(TakeRecord { head, addr: word(2)?, len: word(3)? }),
            kind if kind == Kind::Restore as u8 => Self::Restore(RestoreRecord { head }),
            kind if kind == Kind::Exec as u8 => Self::Exec(ProcessRecord { head }),
            kind if kind == Kind::Fork as u8 => Self::Fork(ProcessRecord { head }),
            kind if kind == Kind::Vfork as u8 => Self::Vfork(ProcessRecord { head }),
            kind if kind == Kind::Newcomer as u8 => Self::Newcomer(ProcessRecord { head }),
            kind if kind == Kind::Libraries as u8 => Self::Libraries(ProcessRecord { head }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_decodes_as_it_was_written() {
        let first = Kind::Alloc as u64 | 4 << 8 | 7 << 16 | 99 << 32;
        let head = Head { kind: Kind::Alloc as u8, signature: 4, process: 7, tid: 99, time: 5 };
        assert_eq!(
            Record::decode(&[first, 5, 0xaaaa, 64, 0xbbbb, 512]),
            Some(Record::Alloc(AllocRecord { head, addr: 0xaaaa, size: 64, stack: 0xbbbb, draw: 512 })),
        );
    }

    #[test]
    fn a_stack_that_claims_more_frames_than_it_carries_is_refused() {
        let first = Kind::Stack as u64;
        assert_eq!(Record::decode(&[first, 1, 2, 3, 0x10, 0x20]), None);
        assert!(Record::decode(&[first, 1, 2, 2, 0x10, 0x20]).is_some());
    }

    #[test]
    fn no_words_make_it_panic() {
        for kind in 0..=u8::MAX {
            for length in 0..8 {
                let mut words = [u64::MAX; 8];
                words[0] = u64::from(kind);
                let _ = Record::decode(&words[..length]);
            }
        }
    }
}
