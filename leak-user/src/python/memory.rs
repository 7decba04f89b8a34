//! The memory of another process, read while it runs.
//!
//! Through `/proc/PID/mem`, which belongs to the address space that was opened: should another program or process take
//! the pid, it reads nothing rather than something else's.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// An address space.
#[derive(Debug)]
pub struct Memory {
    file: File,
}

impl Memory {
    /// The memory of a process as it is now.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { file: File::open(format!("/proc/{pid}/mem"))? })
    }

    /// An address space without anything in it.
    pub fn none() -> io::Result<Self> {
        Ok(Self { file: File::open("/dev/null")? })
    }

    /// Reads as many bytes from this address on as are there, up to all of `bytes`. Gives how many.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], address.wrapping_add(done as u64)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(read) => done += read,
            }
        }
        done
    }

    /// All of these bytes, or none.
    pub fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.read(address, &mut bytes) == N).then_some(bytes)
    }

    /// The word at this address.
    pub fn word(&self, address: u64) -> Option<u64> {
        self.bytes(address).map(u64::from_le_bytes)
    }

    /// A pointer at this address that is not null.
    pub fn pointer(&self, address: u64) -> Option<u64> {
        self.word(address).filter(|pointer| *pointer != 0)
    }
}
