//! The files that traced processes run code from, and where in them an address lies.
//!
//! An address means nothing without the mapping it was in, so each is turned into file and offset when its stack
//! arrives. The table keeps every file open: names can still be looked up when the process, or the file's path, is
//! gone.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use leak_ebpf::Changes;

use super::{
    address_space::{AddressSpace, Snapshot},
    maps::{CodeMapping, MappedFile, code_mappings},
    origin::{Origin, Root},
};

/// Place of a module in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleIndex(pub(super) u32);

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

/// A file, or the vDSO, that some process runs code from.
#[derive(Debug)]
pub struct Module {
    /// Its path in the process's mount namespace when it was first seen; for showing only.
    pub path: PathBuf,
    /// The file itself, if it could be opened.
    pub file: Option<MappedFile>,
    /// The root directory of a process that maps it.
    pub root: Option<Arc<Root>>,
    /// The file as it was when something was looked for in it, and not found.
    searched: Mutex<Option<FileState>>,
}

impl Module {
    /// A module in which nothing was looked for.
    pub fn new(path: PathBuf, file: Option<MappedFile>, root: Option<Arc<Root>>) -> Self {
        Self { path, file, root, searched: Mutex::default() }
    }

    /// The file as it was when something was looked for in it, and not found. Whoever looks says what it was.
    pub fn searched(&self) -> MutexGuard<'_, Option<FileState>> {
        self.searched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a file from what it was before it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    changed: (i64, i64),
    length: u64,
}

impl FileState {
    /// The state of a file now.
    pub fn of(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        Some(Self { changed: (metadata.ctime(), metadata.ctime_nsec()), length: metadata.len() })
    }
}

/// All modules of all traced processes, each file once.
pub struct Modules {
    all: Vec<Arc<Module>>,
    by_file: HashMap<((i32, i32), u64), ModuleIndex>,
    processes: HashMap<u16, Process>,
    changes_of: Box<dyn Fn(u16) -> Changes>,
    /// Processes whose mappings were read, or dropped, since somebody asked.
    changed: BTreeSet<u16>,
}

/// A process, and what it maps.
#[derive(Debug)]
struct Process {
    /// None once the process is gone: another may bear its id.
    pid: Option<u32>,
    /// Where it finds its files, if that could be told.
    origin: Option<Arc<Origin>>,
    space: AddressSpace,
    read_at: Instant,
}

/// An address outside all known mappings has them read anew, but not more often than this.
const REREAD_AFTER: Duration = Duration::from_millis(200);

/// The mappings of a process that keeps changing them are read so often in a row, at most.
const READINGS: u32 = 3;

impl Modules {
    /// An empty table. `changes_of` tells how often the process in a slot has changed what it maps.
    pub fn new(changes_of: impl Fn(u16) -> Changes + 'static) -> Self {
        Self {
            all: Vec::new(),
            by_file: HashMap::new(),
            processes: HashMap::new(),
            changes_of: Box::new(changes_of),
            changed: BTreeSet::new(),
        }
    }

    /// Reads the mappings of a process.
    pub fn read(&mut self, process: u16, pid: u32) -> io::Result<()> {
        let mut since = (self.changes_of)(process);
        let mut mappings = code_mappings(pid)?;
        let mut until = (self.changes_of)(process);
        for _ in 1..READINGS {
            if since == until {
                break;
            }
            since = until;
            mappings = code_mappings(pid)?;
            until = (self.changes_of)(process);
        }
        let known = self.processes.get(&process).and_then(|known| known.origin.as_ref());
        let origin = Origin::of(pid, known).ok();
        let mappings = mappings.into_iter().map(|mapping| {
            let module = self.intern(pid, &mapping, origin.as_ref());
            (mapping, module)
        });
        let now = Snapshot::new(since, until, mappings);
        let mut space = self.processes.remove(&process).map(|known| known.space).unwrap_or_default();
        space.replace(now);
        self.processes.insert(process, Process { pid: Some(pid), origin, space, read_at: Instant::now() });
        self.changed.insert(process);
        Ok(())
    }

    /// Drops the mappings of a process, to be read anew when its next stack arrives: all of them are gone, whether or not
    /// those that came can still be read.
    pub fn drop_mappings(&mut self, process: u16) {
        if let Some(known) = self.processes.get_mut(&process) {
            known.space = AddressSpace::default();
            self.changed.insert(process);
        }
    }

    /// Keeps the mappings of a process as they are: it is gone.
    pub fn freeze(&mut self, process: u16) {
        if let Some(known) = self.processes.get_mut(&process) {
            known.pid = None;
        }
    }

    /// Drops all that is known of a process, but for the files.
    pub fn drop_process(&mut self, process: u16) {
        self.processes.remove(&process);
        self.changed.insert(process);
    }

    /// The processes whose mappings are others since the last time that this was asked.
    pub fn take_changed(&mut self) -> BTreeSet<u16> {
        std::mem::take(&mut self.changed)
    }

    /// The code mappings of a process, in order of address, with their modules.
    pub fn mappings_of(&self, process: u16) -> impl Iterator<Item = (&CodeMapping, ModuleIndex, &Arc<Module>)> {
        self.mapped_by(process).map(|(mapping, index)| (mapping, index, &self.all[index.place()]))
    }

    /// Where the calls that return to these addresses lie, or lay when the process had changed its mappings so often.
    pub fn locate(
        &mut self,
        process: u16,
        generation: u32,
        returns: impl Iterator<Item = u64> + Clone,
    ) -> Box<[Location]> {
        // The return address is behind the call; one less is inside it, also where the call ends its function.
        let calls = returns.map(|address| address.wrapping_sub(1));
        let find = |modules: &Self, address| {
            modules.processes.get(&process)?.space.find(generation, address, || (modules.changes_of)(process))
        };
        if self.processes.get(&process).is_some_and(|known| known.space.wants_look(generation)) {
            self.reread(process);
        } else if calls.clone().any(|address| find(self, address).is_none()) {
            self.reread_if_old(process);
        }
        calls.map(|address| find(self, address).unwrap_or(Location { module: None, offset: address })).collect()
    }

    /// The module at this place; indices come from this table alone.
    pub fn get(&self, index: ModuleIndex) -> &Module {
        &self.all[index.place()]
    }

    /// All of them, by place.
    pub fn all(&self) -> &[Arc<Module>] {
        &self.all
    }

    /// Where a process finds its files, also when it is gone.
    pub fn origin(&self, process: u16) -> Option<&Arc<Origin>> {
        self.processes.get(&process)?.origin.as_ref()
    }

    /// The distinct files that a process maps, each with one of its mappings: not the vDSO, which is none.
    pub fn of_process(&self, process: u16) -> Vec<(ModuleIndex, &CodeMapping)> {
        let mut seen = BTreeSet::new();
        let first = self.mapped_by(process).filter(|(mapping, module)| !mapping.is_vdso() && seen.insert(*module));
        first.map(|(mapping, module)| (module, mapping)).collect()
    }

    /// The distinct files that a process maps.
    pub fn files_of(&self, process: u16) -> Vec<ModuleIndex> {
        self.of_process(process).into_iter().map(|(module, _)| module).collect()
    }

    fn mapped_by(&self, process: u16) -> impl Iterator<Item = (&CodeMapping, ModuleIndex)> {
        self.processes.get(&process).into_iter().flat_map(|known| known.space.mappings())
    }

    fn reread_if_old(&mut self, process: u16) {
        if self.processes.get(&process).is_some_and(|known| known.read_at.elapsed() > REREAD_AFTER) {
            self.reread(process);
        }
    }

    fn reread(&mut self, process: u16) {
        // A process that is gone keeps the mappings it had.
        if let Some(pid) = self.processes.get(&process).and_then(|known| known.pid)
            && self.read(process, pid).is_err()
            && let Some(known) = self.processes.get_mut(&process)
        {
            known.read_at = Instant::now();
        }
    }

    fn intern(&mut self, pid: u32, mapping: &CodeMapping, origin: Option<&Arc<Origin>>) -> ModuleIndex {
        *self.by_file.entry((mapping.device, mapping.inode)).or_insert_with(|| {
            let index = ModuleIndex(self.all.len() as u32);
            let root = origin.map(|origin| Arc::clone(&origin.root));
            self.all.push(Arc::new(Module::new(mapping.path.clone(), mapping.open(pid).ok(), root)));
            index
        })
    }
}
