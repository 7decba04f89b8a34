//! Keeps the kernel side supplied with tables for what the traced processes map, from a thread of its own: a large
//! program's tables take a while, and it is traced meanwhile.
//!
//! Programs come first and then small files, so that most stacks are whole soon. A module's table is made once, for all processes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use leak_ebpf::{MAX_TABLES, Segment};

use super::{Rules, cache, cache::Cache, compile};
use crate::{
    notice::Notices,
    probe::tables::Tables,
    process::{
        elf::{self, ElfFile},
        modules::{Module, ModuleIndex, Modules},
        sparse,
    },
    text::printable,
};

/// What has been compiled is made known this often while there is more to compile.
const INSTALL_EVERY: Duration = Duration::from_millis(50);

/// A stretch of code that a process maps from a file.
#[derive(Clone, Debug)]
struct Mapping {
    /// First address.
    start: u64,
    /// First address behind it.
    end: u64,
    /// Where in the file `start` lies.
    file_offset: u64,
    /// The file's place in the table of modules.
    index: ModuleIndex,
    /// The file.
    module: Arc<Module>,
}

/// All code that the process in a slot maps.
struct Order {
    slot: u16,
    mappings: Vec<Mapping>,
}

/// The thread's end that takes orders.
pub struct Supply {
    orders: Sender<Order>,
    pending: Arc<(Mutex<Pending>, Condvar)>,
}

/// Orders that are not carried out yet.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    /// Altogether.
    whole: u64,
    /// As far as most stacks need it.
    first: u64,
}

/// The tables that are not of use to most stacks are waited for this much less.
const LESS_FOR_OTHERS: u32 = 4;

impl Supply {
    /// Starts the thread; it ends with this.
    pub fn start(tables: Tables, notices: Notices) -> Result<Self> {
        let (orders, taken) = channel();
        let pending = Arc::new((Mutex::default(), Condvar::new()));
        let worker = Worker {
            tables,
            notices,
            cache: None,
            is_cache_open: false,
            rules: Rules::new(),
            modules: HashMap::new(),
            spaces: HashMap::new(),
            next_table: 0,
            pending: Arc::clone(&pending),
        };
        thread::Builder::new()
            .name("unwind-tables".to_owned())
            .spawn(move || worker.run(&taken))
            .context("a thread that makes unwind tables cannot be started")?;
        Ok(Self { orders, pending })
    }

    /// Has tables made for all that the process in this slot maps now. Does not wait.
    pub fn order(&self, slot: u16, modules: &Modules) {
        let mappings = modules.mappings_of(slot).map(|(mapping, index, module)| Mapping {
            start: mapping.start,
            end: mapping.end,
            file_offset: mapping.file_offset,
            index,
            module: Arc::clone(module),
        });
        let mappings = mappings.collect();
        change(&self.pending, |pending| {
            pending.whole += 1;
            pending.first += 1;
        });
        // Should the thread be gone, stacks are walked without.
        if self.orders.send(Order { slot, mappings }).is_err() {
            change(&self.pending, |pending| {
                pending.whole -= 1;
                pending.first -= 1;
            });
        }
    }

    /// Waits until all that was ordered is there, but no longer than this; and much less for what few stacks need.
    pub fn wait(&self, at_most: Duration) {
        let (pending, changed) = &*self.pending;
        let pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |pending, at_most, is_missing: fn(&mut Pending) -> bool| {
            let waited = changed.wait_timeout_while(pending, at_most, is_missing);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let began = Instant::now();
        let pending = wait(pending, at_most / LESS_FOR_OTHERS, |pending| pending.whole > 0);
        drop(wait(pending, at_most.saturating_sub(began.elapsed()), |pending| pending.first > 0));
    }
}

fn change(pending: &(Mutex<Pending>, Condvar), change: impl FnOnce(&mut Pending)) {
    change(&mut pending.0.lock().unwrap_or_else(PoisonError::into_inner));
    pending.1.notify_all();
}

struct Worker {
    tables: Tables,
    notices: Notices,
    cache: Option<Cache>,
    is_cache_open: bool,
    rules: Rules,
    /// None for a module that has no table.
    modules: HashMap<ModuleIndex, Option<Known>>,
    spaces: HashMap<u16, Vec<Mapping>>,
    next_table: u32,
    pending: Arc<(Mutex<Pending>, Condvar)>,
}

/// When a file's table is made, before all that come later here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Program,
    OnMostStacks,
    Other,
}

/// A file without a table, and its size.
type Missing = (Rank, u64, ModuleIndex, Arc<Module>);

/// A module with a table.
struct Known {
    table: u32,
    rows: u32,
    /// The address, as linked, that the rows count from.
    base: u64,
    segments: Vec<elf::Segment>,
}

impl Worker {
    fn run(mut self, taken: &Receiver<Order>) {
        while let Ok(first) = taken.recv() {
            let (mut orders, mut dirty) = (1, BTreeSet::new());
            self.take(first, &mut dirty);
            let mut queue = self.missing();
            // Orders of which what most stacks need is there.
            let mut served = 0;
            let mut installed = Instant::now();
            loop {
                while let Ok(order) = taken.try_recv() {
                    self.take(order, &mut dirty);
                    orders += 1;
                    queue = self.missing();
                }
                let Some((rank, _, index, module)) = queue.pop() else { break };
                let is_served_by_now = rank == Rank::Other && served < orders;
                if is_served_by_now || installed.elapsed() > INSTALL_EVERY {
                    self.install(&mut dirty);
                    installed = Instant::now();
                }
                if is_served_by_now {
                    change(&self.pending, |pending| pending.first -= orders - served);
                    served = orders;
                }
                let known = self.make_table(&module);
                self.modules.insert(index, known);
                let maps_it = |(_, mappings): &(&u16, &Vec<Mapping>)| mappings.iter().any(|map| map.index == index);
                dirty.extend(self.spaces.iter().filter(maps_it).map(|(slot, _)| *slot));
            }
            self.install(&mut dirty);
            change(&self.pending, |pending| {
                pending.whole -= orders;
                pending.first -= orders - served;
            });
        }
    }

    fn take(&mut self, order: Order, dirty: &mut BTreeSet<u16>) {
        dirty.insert(order.slot);
        self.spaces.insert(order.slot, order.mappings);
    }

    /// The files that have no table yet, the one whose table is made next last: a program, then what most stacks lead
    /// through, and then the smallest.
    fn missing(&self) -> Vec<Missing> {
        // A program lies below its libraries.
        let first = |mappings: &Vec<Mapping>| mappings.first().map(|mapping| mapping.index);
        let programs: BTreeSet<ModuleIndex> = self.spaces.values().filter_map(first).collect();
        let mut missing: BTreeMap<ModuleIndex, Missing> = BTreeMap::new();
        for mapping in self.spaces.values().flatten().filter(|mapping| !self.modules.contains_key(&mapping.index)) {
            missing.entry(mapping.index).or_insert_with(|| {
                let module = Arc::clone(&mapping.module);
                let size = module.file.as_ref().and_then(|file| file.file.metadata().ok());
                let rank = match () {
                    () if programs.contains(&mapping.index) => Rank::Program,
                    () if is_on_most_stacks(&module) => Rank::OnMostStacks,
                    () => Rank::Other,
                };
                (rank, size.map_or(0, |metadata| metadata.len()), mapping.index, module)
            });
        }
        let mut missing: Vec<Missing> = missing.into_values().collect();
        missing.sort_by_key(|(rank, size, index, _)| Reverse((*rank, *size, *index)));
        missing
    }

    fn make_table(&mut self, module: &Module) -> Option<Known> {
        let began = Instant::now();
        let shown = module.path.to_string_lossy();
        match self.try_make_table(module) {
            Ok(known) => {
                self.notices.detail(&format!(
                    "{} unwind rows of {} in {} ms",
                    known.rows,
                    printable(&shown),
                    began.elapsed().as_millis()
                ));
                Some(known)
            }
            Err(error) => {
                self.notices.detail(&format!("{} has no unwind table: {error:#}", printable(&shown)));
                None
            }
        }
    }

    fn try_make_table(&mut self, module: &Module) -> Result<Known> {
        let file = &module.file.as_ref().context("it cannot be opened")?.file;
        let data = sparse::read_sections(file, |name| {
            matches!(name, b".eh_frame" | b".eh_frame_hdr" | b".debug_frame" | b".zdebug_frame")
                || name.starts_with(b".note.gnu.build-id")
        })?;
        let compiled = match self.open_cache() {
            Some(cache) => cache.compile(&data)?,
            None => compile(&data)?,
        };
        let segments = ElfFile::parse(&data, "the module")?.segments().collect();
        drop(data);
        let table = compiled.publish(&mut self.rules);
        anyhow::ensure!(!table.rows.is_empty(), "it says nothing of how to unwind it");
        anyhow::ensure!(self.next_table < MAX_TABLES, "there are {MAX_TABLES} tables already");
        self.tables.send_rules(self.rules.all())?;
        self.tables.set_rows(self.next_table, &table.rows)?;
        let known = Known { table: self.next_table, rows: table.rows.len() as u32, base: table.base, segments };
        self.next_table += 1;
        Ok(known)
    }

    /// The cache, opened when first asked for; without it all is compiled anew.
    fn open_cache(&mut self) -> Option<&Cache> {
        if !self.is_cache_open {
            self.is_cache_open = true;
            match Cache::open(Path::new(cache::DIRECTORY)) {
                Ok(cache) => self.cache = Some(cache),
                Err(error) => self.notices.detail(&format!("unwind tables are not kept: {error:#}")),
            }
        }
        self.cache.as_ref()
    }

    /// Makes known which tables hold where.
    fn install(&mut self, dirty: &mut BTreeSet<u16>) {
        let slots = std::mem::take(dirty);
        let spaces: Vec<(u16, Vec<Segment>)> = slots.iter().map(|slot| (*slot, self.segments(*slot))).collect();
        if let Err(error) = self.tables.set_spaces(&spaces) {
            self.notices.say(&format!("stacks may end early: {error:#}"));
        }
        for slot in slots {
            if self.spaces.get(&slot).is_some_and(Vec::is_empty) {
                self.spaces.remove(&slot);
            }
        }
    }

    /// What a process maps that there are tables for, in order of address.
    fn segments(&self, slot: u16) -> Vec<Segment> {
        let mappings = self.spaces.get(&slot).map_or(&[][..], Vec::as_slice).iter();
        mappings.filter_map(|mapping| self.modules.get(&mapping.index)?.as_ref()?.segment(mapping)).collect()
    }
}

/// Whether this is a library that threads begin in, or that calls the allocator for others. Only what comes first
/// depends on it.
fn is_on_most_stacks(module: &Module) -> bool {
    let name = module.path.file_name().unwrap_or_default().to_string_lossy();
    ["libc.", "libstdc++.", "libc++.", "ld-musl", "libpthread"].iter().any(|begin| name.starts_with(begin))
}

impl Known {
    fn segment(&self, mapping: &Mapping) -> Option<Segment> {
        let linked = self.segments.iter().find_map(|segment| segment.vaddr_of_mapping(mapping.file_offset))?;
        let base = mapping.start.wrapping_sub(linked.checked_sub(self.base)?);
        Some(Segment { start: mapping.start, end: mapping.end, base, table: self.table, rows: self.rows })
    }
}
