//! The modules of a profile's frames as its mappings.
//!
//! A session keeps offsets in files and no addresses of the target. So each file is said to be mapped whole, from address 0: an
//! address is then an offset, which is what a reader makes of it anyway when it looks for the function.

use std::collections::HashMap;

use super::{proto::Mapping, tables::Strings};
use crate::{export::names, report::Frame, session::View};

/// Bytes of a page: mappings are made of whole ones.
const PAGE: u64 = 4096;

/// The mappings.
pub struct Mappings<'v> {
    /// All of them. The first is that of the program itself, where it has frames: readers show its name.
    pub all: Vec<Mapping>,
    ids: HashMap<Key<'v>, u64>,
}

/// What names a module: its file name and its build ID.
type Key<'v> = (&'v str, &'v str);

impl<'v> Mappings<'v> {
    /// Those of every frame.
    pub fn of(view: &'v View, strings: &mut Strings) -> Self {
        let mut modules: Vec<(Key<'v>, Mapping)> = Vec::new();
        let mut places: HashMap<Key<'v>, usize> = HashMap::new();
        for frame in view.stacks.iter().flat_map(|stack| &stack.frames) {
            let Some(key) = key(frame) else { continue };
            let place = *places.entry(key).or_insert_with(|| {
                modules.push((key, unseen()));
                modules.len() - 1
            });
            see(&mut modules[place].1, frame);
        }
        let processes = &view.last().report.processes;
        let program = processes.first().and_then(|process| process.exe.rsplit('/').next()).unwrap_or_default();
        modules.sort_by_key(|((module, _), _)| *module != program);
        let mut mappings = Self { all: Vec::new(), ids: HashMap::new() };
        for ((module, build_id), mut mapping) in modules {
            mapping.id = mappings.all.len() as u64 + 1;
            mapping.filename = strings.index_of(&names::cut(module));
            mapping.build_id = strings.index_of(&names::cut(build_id));
            mappings.ids.insert((module, build_id), mapping.id);
            mappings.all.push(mapping);
        }
        mappings
    }

    /// The mapping of a frame; 0 where it has none.
    pub fn id_of(&self, frame: &Frame) -> u64 {
        key(frame).and_then(|key| self.ids.get(&key)).copied().unwrap_or_default()
    }
}

/// A mapping of which no frame says yet that something is missing.
fn unseen() -> Mapping {
    Mapping { has_functions: true, has_filenames: true, has_line_numbers: true, ..Mapping::default() }
}

/// Makes the mapping hold the frame, and say what is known of it.
fn see(mapping: &mut Mapping, frame: &Frame) {
    let end = frame.offset.saturating_add(1).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    mapping.memory_limit = mapping.memory_limit.max(end);
    mapping.has_functions &= frame.function.as_deref().is_some_and(|name| !name.is_empty());
    mapping.has_filenames &= frame.file.is_some();
    mapping.has_line_numbers &= frame.line.is_some();
    mapping.has_inline_frames |= frame.inlined;
}

fn key(frame: &Frame) -> Option<Key<'_>> {
    Some((frame.module.as_deref()?, frame.build_id.as_deref().unwrap_or_default()))
}
