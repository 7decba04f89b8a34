//! Outstanding anonymous mappings of one process, as intervals: munmap and mremap may take any pages of any of them.
//!
//! A mapping that loses its middle becomes two pieces of one owner; it counts as one until its last piece is gone.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::StackIndex;

/// A stretch of one mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// When it was mapped, nanoseconds of the records' clock.
    pub time: u64,
    /// Where.
    pub stack: StackIndex,
    /// Which call mapped it.
    pub owner: u64,
}

/// The mappings.
#[derive(Debug, Default)]
pub struct Mappings {
    /// By start; pieces never overlap.
    pieces: BTreeMap<u64, Piece>,
    /// How many pieces each call's mapping is in.
    owners: HashMap<u64, u32, RandomState>,
    next_owner: u64,
}

impl Mappings {
    /// Adds a mapping. What it overlaps must have been removed.
    pub fn insert(&mut self, start: u64, len: u64, time: u64, stack: StackIndex) {
        let owner = self.next_owner;
        self.next_owner += 1;
        self.add(Piece { start, end: start.saturating_add(len), time, stack, owner });
    }

    /// Puts a removed piece back. Says whether its mapping had been gone altogether.
    pub fn put_back(&mut self, piece: Piece) -> bool {
        let revived = !self.is_owner_alive(piece.owner);
        self.add(piece);
        revived
    }

    /// Removes all that lies in this range and, when a time is given, was mapped before it. Gives what was removed.
    pub fn remove(&mut self, start: u64, len: u64, before: Option<u64>) -> Vec<Piece> {
        if len == 0 {
            return Vec::new();
        }
        let end = start.saturating_add(len);
        let hit: Vec<Piece> = self
            .pieces
            .range(..end)
            .rev()
            .map(|(_, piece)| *piece)
            .take_while(|piece| piece.end > start)
            .filter(|piece| before.is_none_or(|time| piece.time < time))
            .collect();
        let mut removed = Vec::with_capacity(hit.len());
        for piece in hit {
            self.drop_piece(&piece);
            if piece.start < start {
                self.add(Piece { end: start, ..piece });
            }
            if piece.end > end {
                self.add(Piece { start: end, ..piece });
            }
            removed.push(Piece { start: piece.start.max(start), end: piece.end.min(end), ..piece });
        }
        removed
    }

    /// Whether anything lies in this range.
    pub fn is_any_at(&self, start: u64, len: u64) -> bool {
        let below_end = self.pieces.range(..start.saturating_add(len)).next_back();
        below_end.is_some_and(|(_, piece)| piece.end > start)
    }

    /// Whether anything of this call's mapping is left.
    pub fn is_owner_alive(&self, owner: u64) -> bool {
        self.owners.contains_key(&owner)
    }

    /// The pieces, in order of address.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().map(|(start, piece)| (*start, piece))
    }

    /// Removes everything; gives the pieces, with 1 for the last of each mapping.
    pub fn drain(&mut self) -> Vec<(Piece, u64)> {
        let pieces = std::mem::take(&mut self.pieces);
        let mut gone = Vec::with_capacity(pieces.len());
        for piece in pieces.into_values() {
            self.release_owner(piece.owner);
            gone.push((piece, u64::from(!self.is_owner_alive(piece.owner))));
        }
        gone
    }

    fn add(&mut self, piece: Piece) {
        self.pieces.insert(piece.start, piece);
        *self.owners.entry(piece.owner).or_default() += 1;
    }

    fn drop_piece(&mut self, piece: &Piece) {
        self.pieces.remove(&piece.start);
        self.release_owner(piece.owner);
    }

    fn release_owner(&mut self, owner: u64) {
        if let Some(count) = self.owners.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&owner);
            }
        }
    }
}
