//! Which pages of a process are worth a copy: writable, its own, and in memory at this moment.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Most mappings that are looked at.
const MAX_MAPPINGS: usize = 1 << 16;

/// Most bytes of address space that are looked through: 256 GiB. What is larger has been set aside, not used.
const MOST_ADDRESSES: u64 = 1 << 38;

/// Of a file's private mapping so many bytes are taken with the pages that the process has not written to: a library's
/// data. A larger one is a file that is read.
const LARGEST_DATA: u64 = 64 << 20;

/// What `/proc/PID/pagemap` says of a page.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// Pages that are asked for at once.
const AT_ONCE: usize = 8192;

/// See the module.
#[derive(Debug, Default)]
pub struct Pages {
    /// Their addresses and ends, in order, without gaps inside.
    pub runs: Vec<(u64, u64)>,
    /// Bytes that are swapped out.
    pub swapped_bytes: u64,
    /// Bytes of mappings that were not looked through.
    pub skipped_bytes: u64,
}

impl Pages {
    /// Those of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let maps = Process::new(pid.cast_signed()).and_then(|process| process.maps()).map_err(io::Error::other)?;
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        let mut pages = Self::default();
        let mut looked_through = 0;
        for map in maps.iter().take(MAX_MAPPINGS).filter(|map| is_wanted(map)) {
            let (start, end) = map.address;
            if looked_through + (end - start) > MOST_ADDRESSES {
                pages.skipped_bytes += end - start;
                continue;
            }
            looked_through += end - start;
            let unwanted = if map.inode != 0 && end - start <= LARGEST_DATA { 0 } else { OF_FILE };
            pages.look_through(&pagemap, start, end, unwanted)?;
        }
        Ok(pages)
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    fn look_through(&mut self, pagemap: &File, start: u64, end: u64, unwanted: u64) -> io::Result<()> {
        let mut entries = vec![0; AT_ONCE * 8];
        let mut address = start;
        while address < end {
            let pages = ((end - address) / PAGE).min(AT_ONCE as u64) as usize;
            let read = pagemap.read_at(&mut entries[..pages * 8], address / PAGE * 8)?;
            if read < 8 {
                // The mapping is gone, or the process.
                break;
            }
            for entry in entries[..read].as_chunks().0 {
                self.add(address, u64::from_le_bytes(*entry), unwanted);
                address += PAGE;
            }
        }
        Ok(())
    }

    fn add(&mut self, address: u64, entry: u64, unwanted: u64) {
        if entry & SWAPPED != 0 {
            self.swapped_bytes += PAGE;
        }
        if entry & PRESENT == 0 || entry & unwanted != 0 {
            return;
        }
        match self.runs.last_mut() {
            Some((_, end)) if *end == address => *end += PAGE,
            _ => self.runs.push((address, address + PAGE)),
        }
    }
}

/// Whether a mapping can hold what the interpreter allocated.
fn is_wanted(map: &MemoryMap) -> bool {
    let is_device = matches!(&map.pathname, MMapPath::Path(path) if path.starts_with("/dev"));
    let (start, end) = map.address;
    map.perms.contains(MMPermissions::READ | MMPermissions::WRITE | MMPermissions::PRIVATE)
        && !is_device
        && start < end
        && start % PAGE == 0
        && end % PAGE == 0
}
