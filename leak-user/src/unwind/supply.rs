//! Keeps the kernel side supplied with tables for what the traced processes map, from a thread of its own: a large
//! program's tables take a while, and it is traced meanwhile.
//!
//! Programs come first and then small files, so that most stacks are whole soon. A module's table is made once, for all processes.

use std::{
    collections::{BTreeSet, HashMap},
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
    /// Orders that are not carried out yet.
    pending: Arc<(Mutex<u64>, Condvar)>,
}

impl Supply {
    /// Starts the thread; it ends with this.
    pub fn start(tables: Tables, notices: Notices) -> Result<Self> {
        let (orders, taken) = channel();
        let pending = Arc::new((Mutex::new(0), Condvar::new()));
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
        *self.pending.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        // Should the thread be gone, stacks are walked without.
        if self.orders.send(Order { slot, mappings }).is_err() {
            carried_out(&self.pending, 1);
        }
    }

    /// Waits until all that was ordered is there, but no longer than this.
    pub fn wait(&self, at_most: Duration) {
        let (pending, changed) = &*self.pending;
        let pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(pending, at_most, |pending| *pending > 0));
    }
}

fn carried_out(pending: &(Mutex<u64>, Condvar), orders: u64) {
    *pending.0.lock().unwrap_or_else(PoisonError::into_inner) -= orders;
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
    pending: Arc<(Mutex<u64>, Condvar)>,
}

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
            let mut orders = 0;
            let mut dirty = BTreeSet::new();
            let mut take = |order: Order, worker: &mut Self, dirty: &mut BTreeSet<u16>| {
                orders += 1;
                dirty.insert(order.slot);
                worker.spaces.insert(order.slot, order.mappings);
            };
            take(first, &mut self, &mut dirty);
            let mut installed = Instant::now();
            loop {
                while let Ok(order) = taken.try_recv() {
                    take(order, &mut self, &mut dirty);
                }
                let Some((index, module)) = self.next_module() else { break };
                let known = self.make_table(&module);
                self.modules.insert(index, known);
                let maps_it = |(_, mappings): &(&u16, &Vec<Mapping>)| mappings.iter().any(|map| map.index == index);
                dirty.extend(self.spaces.iter().filter(maps_it).map(|(slot, _)| *slot));
                if installed.elapsed() > INSTALL_EVERY {
                    self.install(&mut dirty);
                    installed = Instant::now();
                }
            }
            self.install(&mut dirty);
            carried_out(&self.pending, orders);
        }
    }

    /// The file whose table is made next: a program, then what most stacks lead through, and then the smallest.
    fn next_module(&self) -> Option<(ModuleIndex, Arc<Module>)> {
        let missing = self.spaces.values().flatten().filter(|mapping| !self.modules.contains_key(&mapping.index));
        let size = |mapping: &&Mapping| {
            mapping.module.file.as_ref().and_then(|file| file.file.metadata().ok()).map_or(0, |metadata| metadata.len())
        };
        // A program lies below its libraries.
        let is_program = |mapping: &Mapping| {
            self.spaces.values().any(|mappings| mappings.first().is_some_and(|first| first.index == mapping.index))
        };
        let rank = |mapping: &&Mapping| match () {
            () if is_program(mapping) => 0,
            () if is_on_most_stacks(&mapping.module) => 1,
            () => 2,
        };
        missing
            .min_by_key(|mapping| (rank(mapping), size(mapping)))
            .map(|mapping| (mapping.index, Arc::clone(&mapping.module)))
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
        for slot in std::mem::take(dirty) {
            let mappings = self.spaces.get(&slot).map_or(&[][..], Vec::as_slice);
            let segments: Vec<Segment> = mappings
                .iter()
                .filter_map(|mapping| self.modules.get(&mapping.index)?.as_ref()?.segment(mapping))
                .collect();
            if let Err(error) = self.tables.set_space(slot, &segments) {
                self.notices.say(&format!("stacks may end early: {error:#}"));
            }
            if mappings.is_empty() {
                self.spaces.remove(&slot);
            }
        }
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
