//! Names for calls: function, file and line, inlined functions, demangled.
//!
//! All that is known of a module's names is gathered once ([`image`]): from the very file that was mapped, through the
//! descriptor that the module table keeps open, and from split debug information that belongs to it. blazesym looks
//! names up in that. Code in no file has the names that its runtime wrote down. A call without a fitting symbol is
//! still named by module and offset; nothing is guessed.

use std::{cell::RefCell, collections::HashMap, fs::File, io::Read, path::Path, rc::Rc, sync::Arc};

use blazesym::symbolize::{self as blaze, Input, Symbolized, source};

mod contained;
mod debug_file;
mod frame;
mod image;
mod interpreted;
mod jit;
mod object;
pub mod perf_map;

pub use frame::{Frame, FrameKind};
pub use interpreted::Interpreted;

use self::{contained::contained, jit::Compiled, object::Object};
use crate::process::{
    elf::{ElfFile, Segment},
    maps::MappedFile,
    modules::{Location, Module, ModuleIndex},
    origin::Origin,
};

/// Most bytes of symbols and debug information that are held, of all modules together. What does not fit has no lines,
/// or no names.
const MAX_HELD: u64 = 1 << 30;

/// Most calls whose frames are remembered.
const MAX_REMEMBERED: usize = 1 << 18;

/// Longest name of a function that is kept, in bytes.
const MAX_NAME: usize = 1 << 14;

/// Looks up names and remembers them.
pub struct Symbolizer {
    blaze: blaze::Symbolizer,
    frames: HashMap<Location, Rc<[Frame]>>,
    modules: HashMap<ModuleIndex, Rc<Names>>,
    compiled: Compiled,
    interpreted: Interpreted,
    /// What is left of [`MAX_HELD`].
    room: u64,
}

/// Bytes from the start of an object in which its program headers and notes are looked for.
const HEADER_BYTES: u64 = 1 << 16;

/// What is known of a module.
struct Names {
    /// What its frames have in common.
    frame: Frame,
    segments: Vec<Segment>,
    sources: Option<Sources>,
}

/// All that has names for a module's code, as blazesym wants to be told of it.
struct Sources {
    /// By debug information and symbols; by symbols alone, which are still there where debug information is broken.
    /// Those that made blazesym panic are gone.
    left: RefCell<Vec<source::Source<'static>>>,
    /// What the sources lead to, open as long as they may be asked.
    _image: MappedFile,
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self {
            blaze: new_blaze(),
            frames: HashMap::new(),
            modules: HashMap::new(),
            compiled: Compiled::default(),
            interpreted: Interpreted::default(),
            room: MAX_HELD,
        }
    }
}

impl Symbolizer {
    /// One that knows these frames.
    pub fn knowing(interpreted: Interpreted) -> Self {
        Self { interpreted, ..Self::default() }
    }

    /// The frames of a call: the function itself last, before it those that were inlined into it, innermost first.
    /// `origin` is the process that the call is of.
    pub fn frames(&mut self, modules: &[Arc<Module>], origin: Option<&Arc<Origin>>, location: Location) -> Rc<[Frame]> {
        let Some(index) = location.module else { return Rc::from([self.compiled(origin, location.offset)]) };
        if let Some(known) = self.frames.get(&location) {
            return Rc::clone(known);
        }
        let frames = self.native(modules, index, location.offset);
        if self.frames.len() >= MAX_REMEMBERED {
            self.frames.clear();
        }
        self.frames.insert(location, Rc::clone(&frames));
        frames
    }

    /// The frame of a call in no file.
    fn compiled(&mut self, origin: Option<&Arc<Origin>>, address: u64) -> Frame {
        if let Some(frame) = self.interpreted.get(address) {
            return frame;
        }
        let function = origin.and_then(|origin| self.compiled.find(origin, address)).map(str::to_owned);
        let kind = if function.is_some() { FrameKind::Jit } else { FrameKind::Unknown };
        Frame { function, offset: address, kind, ..Frame::default() }
    }

    fn native(&mut self, modules: &[Arc<Module>], index: ModuleIndex, file_offset: u64) -> Rc<[Frame]> {
        let Some(module) = modules.get(index.place()) else { return Rc::from([Frame::default()]) };
        let room = &mut self.room;
        let names = Rc::clone(self.modules.entry(index).or_insert_with(|| Rc::new(Names::gather(module, room))));
        let vaddr = names.segments.iter().find_map(|segment| segment.vaddr_of(file_offset));
        let plain = Frame { offset: vaddr.unwrap_or(file_offset), ..names.frame.clone() };
        let sources = names.sources.as_ref().zip(vaddr);
        let found = sources.and_then(|(sources, vaddr)| self.look_up(sources, vaddr, &plain));
        found.unwrap_or_else(|| Rc::from([plain]))
    }

    /// The frames of a call in a module, as far as one of its sources has a name.
    fn look_up(&mut self, sources: &Sources, vaddr: u64, plain: &Frame) -> Option<Rc<[Frame]>> {
        let mut place = 0;
        loop {
            let source = sources.left.borrow().get(place)?.clone();
            let found = contained(|| match self.blaze.symbolize_single(&source, Input::VirtOffset(vaddr)) {
                Ok(Symbolized::Sym(symbol)) if !symbol.name.is_empty() => Some(expand(plain, &symbol)),
                Ok(_) | Err(_) => None,
            });
            match found {
                Some(None) => place += 1,
                Some(frames) => return frames,
                None => {
                    sources.left.borrow_mut().remove(place);
                    self.blaze = new_blaze();
                }
            }
        }
    }
}

fn new_blaze() -> blaze::Symbolizer {
    let no_directories: Option<[&Path; 0]> = Some([]);
    // What it reads is made by us: it neither changes nor leads to other files.
    blaze::Symbolizer::builder().enable_auto_reload(false).set_debug_dirs(no_directories).build()
}

/// One frame an inlined function, then the function they were inlined into.
fn expand(plain: &Frame, symbol: &blaze::Sym<'_>) -> Rc<[Frame]> {
    let frame = |name: &str, code: Option<&blaze::CodeInfo<'_>>, inlined| Frame {
        function: Some(name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name).to_owned()),
        file: code.map(|code| code.to_path().to_string_lossy().into_owned()),
        line: code.and_then(|code| code.line),
        inlined,
        ..plain.clone()
    };
    let inlined = symbol.inlined.iter().rev().map(|inner| frame(&inner.name, inner.code_info.as_ref(), true));
    inlined.chain([frame(&symbol.name, symbol.code_info.as_deref(), false)]).collect()
}

impl Names {
    fn gather(module: &Module, room: &mut u64) -> Self {
        let name = file_name(&module.path);
        let mut start = Vec::new();
        if let Some(file) = &module.file {
            // Headers and notes stand at the start; what cannot be read is left out of the frame.
            let _ = File::open(file.path()).and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut start));
        }
        let headers = ElfFile::parse(&start, &name).ok();
        let build_id = headers.as_ref().and_then(ElfFile::build_id);
        let segments = headers.map(|headers| headers.segments().collect()).unwrap_or_default();
        let image = module.file.as_ref().and_then(|file| image_of(module, &file.file, room));
        let (module, build_id) = (Some(name.into()), build_id.map(Into::into));
        let frame = Frame { module, build_id, kind: FrameKind::Native, ..Frame::default() };
        Self { frame, segments, sources: image.map(Sources::of) }
    }
}

impl Sources {
    fn of(image: MappedFile) -> Self {
        let all = [true, false].map(|debug_syms| {
            let mut elf = source::Elf::new(image.path());
            elf.debug_syms = debug_syms;
            source::Source::Elf(elf)
        });
        Self { left: RefCell::new(all.into()), _image: image }
    }
}

fn image_of(module: &Module, file: &File, room: &mut u64) -> Option<MappedFile> {
    let object = Object::read(file)?;
    let split =
        if image::is_lean(&object) { debug_file::find(&object, &module.path, module.root.as_ref()) } else { None };
    let split = split.as_ref().and_then(Object::read);
    Some(MappedFile { file: image::assemble(&object, split.as_ref(), room).ok()? })
}

/// The last part of a module's path, without the kernel's mark for a file that was removed or replaced.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}
