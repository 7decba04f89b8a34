//! Finds the allocators in what a process maps, and where on them the probes go.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};

use leak_ebpf::{Changes, Signature};

use super::Lookup;
use crate::{
    notice::Notices,
    probe::{
        attach::{LoaderSite, Site},
        place::{MAX_FUNCTION, place},
    },
    process::{
        allocator::{self, Allocator},
        elf::ElfFile,
        maps::{CodeMapping, MappedFile},
        modules::{FileState, ModuleIndex, Modules},
        sparse,
    },
    text::printable,
};

/// Bytes from the start of a program in which its headers and the loader's name are looked for.
const HEADER_BYTES: u64 = 1 << 16;

/// What files were found to be, so that none is read again for each process that maps it.
#[derive(Default)]
pub struct Known {
    allocators: HashMap<ModuleIndex, (Option<FileState>, Functions)>,
    loaders: HashMap<ModuleIndex, LoaderSite>,
    /// By dynamic loader, the allocators in files that it loads.
    loads: HashMap<ModuleIndex, BTreeSet<ModuleIndex>>,
}

/// The functions of an allocator.
#[derive(Clone)]
struct Functions {
    sites: Vec<Site>,
    kind: &'static str,
}

impl Known {
    /// Takes note that programs of this loader have allocators in these files.
    pub fn note_loaded(&mut self, loader: ModuleIndex, files: impl IntoIterator<Item = ModuleIndex>) {
        self.loads.entry(loader).or_default().extend(files);
    }

    /// The dynamic loaders, and where they tell of changes.
    pub fn loaders(&self) -> impl Iterator<Item = (ModuleIndex, LoaderSite)> + '_ {
        self.loaders.iter().map(|(index, site)| (*index, *site))
    }

    /// Whether it is known what programs of this loader are likely to get.
    pub fn expects(&self, loader: ModuleIndex) -> bool {
        self.loads.get(&loader).is_some_and(|files| !files.is_empty())
    }

    /// The allocators that a program of this loader is likely to get, once that has loaded them.
    pub fn expected<'a>(&self, modules: &'a Modules, loader: ModuleIndex) -> Vec<Found<'a>> {
        let files = self.loads.get(&loader).into_iter().flatten();
        files.filter_map(|index| self.found(modules, *index)).collect()
    }

    /// The allocator that this file was found to have, if the file is still the same.
    fn found<'a>(&self, modules: &'a Modules, index: ModuleIndex) -> Option<Found<'a>> {
        let module = modules.get(index);
        let file = module.file.as_ref()?;
        let (state, Functions { sites, kind }) = self.allocators.get(&index)?;
        let is_same = state.is_some() && *state == FileState::of(&file.file);
        is_same.then(|| Found { module: index, file, sites: sites.clone(), name: shown(&module.path), kind })
    }
}

/// An allocator in a file that the process maps.
pub struct Found<'a> {
    /// The file's place in the table of modules.
    pub module: ModuleIndex,
    /// The file.
    pub file: &'a MappedFile,
    /// Its functions.
    pub sites: Vec<Site>,
    /// The file's path, safe to print.
    pub name: String,
    kind: &'static str,
}

impl Found<'_> {
    /// Whether it hands out blocks, and not address space alone.
    fn has_heap(&self) -> bool {
        self.sites.iter().any(|site| !site.signature.is_mapping())
    }

    /// A line on what was found, for `-v`.
    pub fn describe(&self) -> String {
        let sites: Vec<String> = self
            .sites
            .iter()
            .map(|site| format!("{}{}", site.name, if site.emulated { "" } else { " (stepped)" }))
            .collect();
        format!("{} allocator in {}: {}", self.kind, self.name, sites.join(", "))
    }
}

/// Bytes from the start of a loader's `struct r_debug` to its `r_state`.
const STATE_IN_DEBUG: u64 = 24;

/// Where the dynamic loader of the process in this slot tells of changes, if it has one that does.
pub fn find_loader(known: &mut Known, modules: &Modules, slot: u16, pid: u32) -> Option<(ModuleIndex, LoaderSite)> {
    let mapped = modules.of_process(slot);
    if let Some(loader) = mapped.iter().find_map(|(index, _)| Some((*index, *known.loaders.get(index)?))) {
        return Some(loader);
    }
    let mut start = Vec::new();
    let exe = fs::File::open(format!("/proc/{pid}/exe")).ok()?;
    exe.take(HEADER_BYTES).read_to_end(&mut start).ok()?;
    let loader = ElfFile::parse(&start, "the program").ok()?.interpreter()?;
    let named = |mapping: &CodeMapping| mapping.path.file_name() == Path::new(&loader).file_name();
    let (index, _) = mapped.into_iter().find(|(_, mapping)| named(mapping))?;
    let module = modules.get(index);
    let data = sparse::read_symbols(&module.file.as_ref()?.file).ok()?;
    let object = ElfFile::parse(&data, &loader).ok()?;
    let symbol = object.symbols(&["_dl_debug_state"], |_| true).ok()?.into_iter().next()?;
    let debug = object.variables(&["_r_debug"]).into_iter().next();
    let state = debug.map(|debug| debug.vaddr.wrapping_add(STATE_IN_DEBUG));
    let site = LoaderSite {
        file_offset: object.code(&symbol).ok()?.offset,
        state_distance: state.map_or(0, |state| state.wrapping_sub(symbol.vaddr)),
    };
    known.loaders.insert(index, site);
    Some((index, site))
}

/// The allocators of the process in this slot. Fails when there is none.
pub fn find<'a>(
    known: &mut Known,
    modules: &'a Modules,
    slot: u16,
    pid: u32,
    lookup: &Lookup,
    notices: Notices,
) -> Result<Vec<Found<'a>>> {
    if let Some(object) = &lookup.object {
        return find_in_object(known, modules, slot, pid, object, &lookup.prefix, notices);
    }
    let mut all = Vec::new();
    let mut looked_at = BTreeSet::new();
    let mut troubles = Vec::new();
    for (index, _) in modules.of_process(slot) {
        let name = shown(&modules.get(index).path);
        match examine(known, modules, index, &lookup.prefix, notices) {
            Ok(Some(found)) => all.push(found),
            Ok(None) => {}
            // An object that cannot be read cannot be judged; the others still can.
            Err(error) => troubles.push(error),
        }
        looked_at.insert(name);
    }
    if !lookup.prefix.is_empty() && !all.iter().any(Found::has_heap) {
        all.clear();
    }
    if all.is_empty() {
        return Err(troubles.pop().unwrap_or_else(|| none_found(pid, &lookup.prefix, &looked_at)));
    }
    for trouble in troubles {
        notices.say(&format!("{trouble:#}"));
    }
    Ok(all)
}

/// The allocators of a process that nobody traces, a line on each, as an attach would find them.
pub fn in_process(pid: u32) -> Result<Vec<String>> {
    let mut modules = Modules::new(|_| Changes::default());
    modules.read(0, pid).map_err(|error| {
        anyhow!("what process {pid} maps cannot be read ({error}); run leaktrace as root, or grant CAP_SYS_PTRACE")
    })?;
    let found = find(&mut Known::default(), &modules, 0, pid, &Lookup::default(), Notices::Quiet)?;
    Ok(found.iter().map(Found::describe).collect())
}

fn none_found(pid: u32, prefix: &str, looked_at: &BTreeSet<String>) -> anyhow::Error {
    let named = if prefix.is_empty() { String::new() } else { format!(" with functions named {prefix}malloc") };
    let objects: Vec<&str> = looked_at.iter().map(String::as_str).collect();
    let objects =
        if objects.is_empty() { "nothing: it maps no code from files".to_owned() } else { objects.join(", ") };
    anyhow!(
        "no allocator{} was found in process {pid} (looked at {objects}); name the object that defines malloc with -O PATH",
        printable(&named)
    )
}

fn find_in_object<'a>(
    known: &mut Known,
    modules: &'a Modules,
    slot: u16,
    pid: u32,
    object: &Path,
    prefix: &str,
    notices: Notices,
) -> Result<Vec<Found<'a>>> {
    let name = shown(object);
    let metadata = fs::metadata(object).with_context(|| format!("-O {name} cannot be read"))?;
    if !metadata.is_file() {
        bail!("-O {name} is not a file; give the program or library that defines malloc");
    }
    // Read before it is looked for, so that a wrong file is called wrong rather than unmapped.
    let data = fs::File::open(object).and_then(|file| sparse::read_symbols(&file));
    ElfFile::parse(&data.with_context(|| format!("-O {name} cannot be read"))?, &format!("-O {name}"))?;
    let mapped =
        modules.of_process(slot).into_iter().find(|(_, mapping)| mapping.is_of(&metadata) || mapping.path == object);
    let Some((index, _)) = mapped else {
        bail!("-O {name} is not mapped by process {pid}; `grep r-xp /proc/{pid}/maps` lists what is");
    };
    match examine(known, modules, index, prefix, notices)? {
        Some(found) => Ok(vec![found]),
        None => bail!("-O {name} defines no {prefix}malloc and {prefix}free; give its prefix with --symbols-prefix"),
    }
}

fn examine<'a>(
    known: &mut Known,
    modules: &'a Modules,
    index: ModuleIndex,
    prefix: &str,
    notices: Notices,
) -> Result<Option<Found<'a>>> {
    if let Some(found) = known.found(modules, index) {
        return Ok(Some(found));
    }
    let module = modules.get(index);
    let name = shown(&module.path);
    let Some(file) = &module.file else {
        bail!(
            "{name} is mapped and cannot be opened, so it was not searched; `leaktrace doctor` says what may be missing"
        )
    };
    let state = FileState::of(&file.file);
    if state.is_some() && *module.searched() == state {
        return Ok(None);
    }
    // The code is not read yet; what there is of it stands for how long it is.
    let data = sparse::read_symbols(&file.file).with_context(|| format!("{name} cannot be read"))?;
    let object = ElfFile::parse(&data, &name)?;
    let Some(allocator) = Allocator::of(&object, &name, &prefixes(prefix))? else {
        *module.searched() = state;
        return Ok(None);
    };
    let mut refused: Vec<(&str, Signature, String)> = Vec::new();
    for function in &allocator.refused {
        refused.push((&function.name, function.signature, function.reason.clone()));
    }
    let mut sites = Vec::new();
    for function in &allocator.functions {
        let mut code = vec![0; function.code.len().min(MAX_FUNCTION + 1)];
        file.file.read_exact_at(&mut code, function.offset).with_context(|| format!("{name} cannot be read"))?;
        match place(&code, function.vaddr, function.signature) {
            Ok(placement) => sites.push(Site {
                name: function.name.clone(),
                signature: function.signature,
                file_offset: function.offset + placement.offset,
                emulated: placement.emulated,
                code: function.offset..function.offset + function.code.len() as u64,
                function: 0,
            }),
            Err(error) => refused.push((&function.name, function.signature, error.to_string())),
        }
    }
    for (function, signature, reason) in refused {
        if is_essential(function, signature) {
            bail!("the allocator in {name} is not traced, for its {function} cannot be: {reason}");
        }
        notices.say(&format!("{function} in {name} is not traced: {reason}"));
    }
    let kind = allocator.kind.name();
    known.allocators.insert(index, (state, Functions { sites: sites.clone(), kind }));
    Ok(Some(Found { module: index, file, sites, kind, name }))
}

/// The prefix that was asked for, or all that are known.
fn prefixes(asked: &str) -> Vec<&str> {
    if asked.is_empty() { allocator::PREFIXES.to_vec() } else { vec![asked] }
}

/// Whether an allocator that is traced without this function would be told wrong: its blocks would all be missed, or
/// would look leaked.
fn is_essential(function: &str, signature: Signature) -> bool {
    use Signature::{Free, Mmap, Munmap, Realloc, ReallocProduct};
    matches!(signature, Free | Realloc | ReallocProduct | Mmap | Munmap) || function.ends_with("malloc")
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}
