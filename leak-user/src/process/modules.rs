//! The files that traced processes run code from, and where in them an address lies.
//!
//! An address means nothing without the mapping it was in, so each is turned into file and offset when its stack
//! arrives. The table keeps every file open: names can still be looked up when the process, or the file's path, is
//! gone.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::maps::{CodeMapping, MappedFile, code_mappings};

/// Place of a module in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleIndex(u32);

impl ModuleIndex {
    /// Where the module stands in the table.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// A call in a module, or a bare address that lies in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The module, if any.
    pub module: Option<ModuleIndex>,
    /// File offset within it (the last byte of the call instruction), else the address.
    pub offset: u64,
}

/// A file that some process runs code from.
#[derive(Debug)]
pub struct Module {
    /// Its path in the process's mount namespace when it was first seen; for showing only.
    pub path: PathBuf,
    /// The file itself, if it could be opened.
    pub file: Option<MappedFile>,
}

/// All modules of all traced processes, each file once.
#[derive(Debug, Default)]
pub struct Modules {
    all: Vec<Arc<Module>>,
    by_file: HashMap<((i32, i32), u64), ModuleIndex>,
    processes: HashMap<u16, AddressSpace>,
}

/// The code mappings of one process as last read.
#[derive(Debug)]
struct AddressSpace {
    pid: u32,
    mappings: Vec<(CodeMapping, ModuleIndex)>,
    read_at: Instant,
    /// Whether the process has said that they changed since.
    stale: bool,
}

/// An address outside all known mappings has them read anew, but not more often than this.
const REREAD_AFTER: Duration = Duration::from_millis(200);

impl Modules {
    /// Reads the mappings of a process, at its start or after an exec.
    pub fn read(&mut self, process: u16, pid: u32) -> io::Result<()> {
        let mappings = code_mappings(pid)?
            .into_iter()
            .map(|mapping| {
                let module = self.intern(pid, &mapping);
                (mapping, module)
            })
            .collect();
        self.processes.insert(process, AddressSpace { pid, mappings, read_at: Instant::now(), stale: false });
        Ok(())
    }

    /// Drops the mappings of a process: all of them are gone, whether or not those that came can still be read.
    pub fn drop_mappings(&mut self, process: u16) {
        if let Some(space) = self.processes.get_mut(&process) {
            space.mappings.clear();
        }
    }

    /// Has the mappings of a process read anew when the next stack of it arrives: they have changed.
    pub fn forget(&mut self, process: u16) {
        if let Some(space) = self.processes.get_mut(&process) {
            space.stale = true;
        }
    }

    /// Where the calls that return to these addresses lie.
    pub fn locate(&mut self, process: u16, returns: impl Iterator<Item = u64> + Clone) -> Box<[Location]> {
        // The return address is behind the call; one less is inside it, also where the call ends its function.
        let calls = returns.map(|address| address.wrapping_sub(1));
        let is_stale = self.processes.get(&process).is_some_and(|space| space.stale);
        if is_stale || calls.clone().any(|address| self.find(process, address).is_none()) {
            self.reread(process);
        }
        calls.map(|address| self.find(process, address).unwrap_or(Location { module: None, offset: address })).collect()
    }

    /// The module at this place; indices come from this table alone.
    pub fn get(&self, index: ModuleIndex) -> &Module {
        &self.all[index.place()]
    }

    /// All of them, by place.
    pub fn all(&self) -> &[Arc<Module>] {
        &self.all
    }

    /// The distinct files that a process maps, each with one of its mappings.
    pub fn of_process(&self, process: u16) -> Vec<(ModuleIndex, &CodeMapping)> {
        let mut seen: Vec<(ModuleIndex, &CodeMapping)> = Vec::new();
        for (mapping, module) in self.processes.get(&process).into_iter().flat_map(|space| &space.mappings) {
            if seen.iter().all(|(known, _)| known != module) {
                seen.push((*module, mapping));
            }
        }
        seen
    }

    fn find(&self, process: u16, address: u64) -> Option<Location> {
        let mappings = &self.processes.get(&process)?.mappings;
        let next = mappings.partition_point(|(mapping, _)| mapping.start <= address);
        let (mapping, module) = mappings.get(next.checked_sub(1)?)?;
        (address < mapping.end)
            .then(|| Location { module: Some(*module), offset: address - mapping.start + mapping.file_offset })
    }

    fn reread(&mut self, process: u16) {
        if let Some(space) = self.processes.get(&process)
            && (space.stale || space.read_at.elapsed() > REREAD_AFTER)
        {
            let pid = space.pid;
            // A process that is gone keeps the mappings it had.
            if self.read(process, pid).is_err()
                && let Some(space) = self.processes.get_mut(&process)
            {
                space.read_at = Instant::now();
                space.stale = false;
            }
        }
    }

    fn intern(&mut self, pid: u32, mapping: &CodeMapping) -> ModuleIndex {
        *self.by_file.entry((mapping.device, mapping.inode)).or_insert_with(|| {
            let index = ModuleIndex(self.all.len() as u32);
            self.all.push(Arc::new(Module { path: mapping.path.clone(), file: mapping.open(pid).ok() }));
            index
        })
    }
}
