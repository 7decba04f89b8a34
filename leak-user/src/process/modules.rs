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

use super::{
    maps::{CodeMapping, MappedFile, code_mappings},
    origin::{Origin, Root},
};

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
    processes: HashMap<u16, AddressSpace>,
    generation_of: Box<dyn Fn(u16) -> u32>,
    /// Processes whose mappings were read, or dropped, since somebody asked.
    changed: BTreeSet<u16>,
}

/// The code mappings of one process as they were read.
#[derive(Debug)]
struct AddressSpace {
    /// None once the process is gone: another may bear its id.
    pid: Option<u32>,
    /// Where it finds its files, if that could be told.
    origin: Option<Arc<Origin>>,
    now: Snapshot,
    /// Of before the process last changed what it maps: stacks from then may still be on their way.
    before: Option<Snapshot>,
    read_at: Instant,
}

#[derive(Debug, Default)]
struct Snapshot {
    /// How often the process had changed what it maps.
    generation: u32,
    mappings: Vec<(CodeMapping, ModuleIndex)>,
}

impl Snapshot {
    fn find(&self, address: u64) -> Option<Location> {
        let next = self.mappings.partition_point(|(mapping, _)| mapping.start <= address);
        let (mapping, module) = self.mappings.get(next.checked_sub(1)?)?;
        (address < mapping.end)
            .then(|| Location { module: Some(*module), offset: address - mapping.start + mapping.file_offset })
    }
}

impl AddressSpace {
    /// Where an address of this generation lies. Of one that was not looked at while it lasted, only what was so before
    /// and is so after is known.
    fn find(&self, generation: u32, address: u64) -> Option<Location> {
        match &self.before {
            _ if generation >= self.now.generation => self.now.find(address),
            Some(before) if before.generation == generation => before.find(address),
            Some(before) => self.now.find(address).filter(|location| before.find(address) == Some(*location)),
            None => None,
        }
    }
}

/// An address outside all known mappings has them read anew, but not more often than this.
const REREAD_AFTER: Duration = Duration::from_millis(200);

/// The mappings of a process that keeps changing them are read so often in a row, at most.
const READINGS: u32 = 3;

impl Modules {
    /// An empty table. `generation_of` tells how often the process in a slot has changed what it maps.
    pub fn new(generation_of: impl Fn(u16) -> u32 + 'static) -> Self {
        Self {
            all: Vec::new(),
            by_file: HashMap::new(),
            processes: HashMap::new(),
            generation_of: Box::new(generation_of),
            changed: BTreeSet::new(),
        }
    }

    /// Reads the mappings of a process.
    pub fn read(&mut self, process: u16, pid: u32) -> io::Result<()> {
        let mut generation = (self.generation_of)(process);
        let mut mappings = code_mappings(pid)?;
        for _ in 1..READINGS {
            let after = (self.generation_of)(process);
            if after == generation {
                break;
            }
            generation = after;
            mappings = code_mappings(pid)?;
        }
        let known = self.processes.get(&process).and_then(|space| space.origin.as_ref());
        let origin = Origin::of(pid, known).ok();
        let mappings = mappings.into_iter().map(|mapping| {
            let module = self.intern(pid, &mapping, origin.as_ref());
            (mapping, module)
        });
        let now = Snapshot { generation, mappings: mappings.collect() };
        let before = self
            .processes
            .remove(&process)
            .and_then(|space| if space.now.generation == generation { space.before } else { Some(space.now) });
        self.processes.insert(process, AddressSpace { pid: Some(pid), origin, now, before, read_at: Instant::now() });
        self.changed.insert(process);
        Ok(())
    }

    /// Drops the mappings of a process, to be read anew when its next stack arrives: all of them are gone, whether or not
    /// those that came can still be read.
    pub fn drop_mappings(&mut self, process: u16) {
        if let Some(space) = self.processes.get_mut(&process) {
            (space.now, space.before) = (Snapshot::default(), None);
            self.changed.insert(process);
        }
    }

    /// Keeps the mappings of a process as they are: it is gone.
    pub fn freeze(&mut self, process: u16) {
        if let Some(space) = self.processes.get_mut(&process) {
            space.pid = None;
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
        let mappings = self.processes.get(&process).into_iter().flat_map(|space| &space.now.mappings);
        mappings.map(|(mapping, index)| (mapping, *index, &self.all[index.place()]))
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
        let find = |modules: &Self, address| modules.processes.get(&process)?.find(generation, address);
        if self.processes.get(&process).is_some_and(|space| generation > space.now.generation) {
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
        let mappings = self.processes.get(&process).into_iter().flat_map(|space| &space.now.mappings);
        let first = mappings.filter(|(mapping, module)| !mapping.is_vdso() && seen.insert(*module));
        first.map(|(mapping, module)| (*module, mapping)).collect()
    }

    /// The distinct files that a process maps.
    pub fn files_of(&self, process: u16) -> Vec<ModuleIndex> {
        self.of_process(process).into_iter().map(|(module, _)| module).collect()
    }

    fn reread_if_old(&mut self, process: u16) {
        if self.processes.get(&process).is_some_and(|space| space.read_at.elapsed() > REREAD_AFTER) {
            self.reread(process);
        }
    }

    fn reread(&mut self, process: u16) {
        // A process that is gone keeps the mappings it had.
        if let Some(pid) = self.processes.get(&process).and_then(|space| space.pid)
            && self.read(process, pid).is_err()
            && let Some(space) = self.processes.get_mut(&process)
        {
            space.read_at = Instant::now();
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
