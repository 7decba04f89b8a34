//! The files that a process maps as code, each opened as it is mapped.
//!
//! `/proc/PID/map_files` leads to the very file, whatever has since been put at its path, in whichever mount
//! namespace it lies. Who may not follow it (it takes `CAP_CHECKPOINT_RESTORE`) gets what is at the path, if that is the same
//! file still. Each is opened once and kept open, so it can still be read when the process is gone.

use std::{
    fs::{File, Metadata},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt as _},
    path::PathBuf,
};

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

use super::{
    origin::{Links, Root},
    vdso,
};

/// Most mappings of one process that are looked at; a process can make as many as it likes.
const MAX_MAPPINGS: usize = 1 << 16;

/// A stretch of a process's address space that runs code from a file, or from the vDSO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Where in the file `start` lies.
    pub file_offset: u64,
    /// Device of the file, major and minor; 0 and 0 for the vDSO.
    pub device: (i32, i32),
    /// Inode of the file; 0 for the vDSO.
    pub inode: u64,
    /// Path, as the process's mount namespace named it when it was mapped; only good for showing.
    pub path: PathBuf,
}

impl CodeMapping {
    /// Whether it is the kernel's vDSO, which is code like any other but in no file.
    pub fn is_vdso(&self) -> bool {
        self.inode == 0
    }

    /// Opens the file that is mapped here; for the vDSO, leaktrace's own copy.
    pub fn open(&self, pid: u32) -> io::Result<MappedFile> {
        if self.is_vdso() {
            return Ok(MappedFile { file: vdso::open()? });
        }
        let link = format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end);
        match File::open(link) {
            // To be asked for that takes a capability more than all else here.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.open_by_path(pid),
            file => Ok(MappedFile { file: file? }),
        }
    }

    /// Whether this file is mapped here.
    pub fn is_of(&self, file: &Metadata) -> bool {
        let device = (rustix::fs::major(file.dev()) as i32, rustix::fs::minor(file.dev()) as i32);
        (device, file.ino()) == (self.device, self.inode)
    }

    /// Opens what is at the path now, if that is still the file that is mapped.
    fn open_by_path(&self, pid: u32) -> io::Result<MappedFile> {
        let file = Root::of(pid)?.open(&self.path, Links::Followed)?;
        if !self.is_of(&file.metadata()?) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file is at its path"));
        }
        Ok(MappedFile { file })
    }
}

/// A file as some process maps it, open.
#[derive(Debug)]
pub struct MappedFile {
    /// The file, for reading.
    pub file: File,
}

impl MappedFile {
    /// A path to this very file for interfaces that want a path. Good while `self` lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// The code mappings of a process, in order of address. Only regular files and the vDSO: no `[uprobes]`, no JIT.
pub fn code_mappings(pid: u32) -> io::Result<Vec<CodeMapping>> {
    let maps = Process::new(pid as i32).and_then(|process| process.maps()).map_err(io::Error::other)?;
    Ok(maps.into_iter().take(MAX_MAPPINGS).filter_map(code_mapping).collect())
}

/// Where the kernel's return trampoline is in a process: at the start of the page that it maps there for probes, once
/// it has hit one.
pub fn trampoline(pid: u32) -> Option<u64> {
    trampoline_in(&all_mappings(pid)?)
}

/// Where it is or, as far as can be foretold, will be.
pub fn expected_trampoline(pid: u32) -> Option<u64> {
    let maps = all_mappings(pid)?;
    let usual = usual_trampoline();
    let is_taken = maps.iter().any(|map| (map.address.0..map.address.1).contains(&usual));
    trampoline_in(&maps).or((!is_taken).then_some(usual))
}

/// Where the kernel maps that page unless something else is there: in the last page of the address space.
pub fn usual_trampoline() -> u64 {
    const PAGE: u64 = 4096;
    // The flag is there only when the kernel uses what it says, five levels of page tables.
    let has_five_levels =
        std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.split_whitespace().any(|flag| flag == "la57"));
    (1 << if has_five_levels { 56 } else { 47 }) - 2 * PAGE
}

fn all_mappings(pid: u32) -> Option<Vec<MemoryMap>> {
    Some(Process::new(pid as i32).and_then(|process| process.maps()).ok()?.0)
}

fn trampoline_in(maps: &[MemoryMap]) -> Option<u64> {
    let is_probes = |map: &&MemoryMap| matches!(&map.pathname, MMapPath::Other(name) if name == "uprobes");
    maps.iter().find(is_probes).map(|map| map.address.0)
}

fn code_mapping(map: MemoryMap) -> Option<CodeMapping> {
    let path = match map.pathname {
        MMapPath::Path(path) if map.inode != 0 => path,
        MMapPath::Vdso if vdso::is_ours(map.address.1 - map.address.0) => PathBuf::from("[vdso]"),
        _ => return None,
    };
    map.perms.contains(MMPermissions::EXECUTE).then_some(CodeMapping {
        start: map.address.0,
        end: map.address.1,
        file_offset: map.offset,
        device: map.dev,
        inode: map.inode,
        path,
    })
}
