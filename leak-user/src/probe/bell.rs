//! What the programs wake the reader with: a ring buffer map, whose content means nothing.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::Ordering,
};

use anyhow::{Result, bail};
use aya::maps::{Map, MapData};
use rustix::mm::ProtFlags;

use super::ring_memory::Mapping;

/// The bell.
pub struct Bell {
    map: MapData,
    /// A page that begins with the position up to which it was read.
    read: Mapping,
    /// A page that begins with the position up to which it was written.
    written: Mapping,
}

impl Bell {
    pub(super) fn new(map: Map) -> Result<Self> {
        let Map::RingBuf(map) = map else { bail!("this build of leaktrace has another map for its bell") };
        let page = procfs::page_size() as usize;
        let read = Mapping::new(map.fd(), 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let written = Mapping::new(map.fd(), page as u64, page, ProtFlags::READ)?;
        Ok(Self { map, read, written })
    }

    /// Takes note of every ring so far.
    pub fn silence(&self) {
        self.read.word(0).store(self.written.word(0).load(Ordering::Acquire), Ordering::Release);
    }
}

impl AsFd for Bell {
    /// Readable when the bell was rung and not yet silenced.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}
