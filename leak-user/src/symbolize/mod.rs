//! Names for calls: function, file and line, inlined functions, demangled.
//!
//! blazesym reads the very file that was mapped, through the descriptor that the module table keeps open. A call in a
//! file without a fitting symbol is still named by module and offset; nothing is guessed.

use std::{collections::HashMap, io::Read, path::Path, rc::Rc, sync::Arc};

use blazesym::symbolize::{self as blaze, Input, Symbolized, source};

mod frame;

pub use frame::{Frame, FrameKind};

use crate::process::{
    elf::{ElfFile, Segment},
    modules::{Location, Module, ModuleIndex},
};

/// Looks up names and remembers them.
pub struct Symbolizer {
    blaze: blaze::Symbolizer,
    frames: HashMap<Location, Rc<[Frame]>>,
    headers: HashMap<ModuleIndex, Rc<Header>>,
}

/// Bytes from the start of an object in which its program headers and notes are looked for.
const HEADER_BYTES: u64 = 1 << 16;

/// What a frame says of its module.
struct Header {
    name: String,
    build_id: Option<String>,
    segments: Vec<Segment>,
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self { blaze: blaze::Symbolizer::new(), frames: HashMap::new(), headers: HashMap::new() }
    }
}

impl Symbolizer {
    /// The frames of a call: the function itself last, before it those that were inlined into it, innermost first.
    pub fn frames(&mut self, modules: &[Arc<Module>], location: Location) -> Rc<[Frame]> {
        if let Some(known) = self.frames.get(&location) {
            return Rc::clone(known);
        }
        let frames: Rc<[Frame]> = match location.module {
            Some(index) => self.native(modules, index, location.offset),
            None => Rc::from([Frame { offset: location.offset, ..Frame::default() }]),
        };
        self.frames.insert(location, Rc::clone(&frames));
        frames
    }

    fn native(&mut self, modules: &[Arc<Module>], index: ModuleIndex, file_offset: u64) -> Rc<[Frame]> {
        let Some(module) = modules.get(index.place()) else { return Rc::from([Frame::default()]) };
        let header = Rc::clone(self.headers.entry(index).or_insert_with(|| Rc::new(Header::read(module))));
        let plain = Frame {
            module: Some(header.name.clone()),
            build_id: header.build_id.clone(),
            offset: header.segments.iter().find_map(|segment| segment.vaddr_of(file_offset)).unwrap_or(file_offset),
            kind: FrameKind::Native,
            ..Frame::default()
        };
        let Some(file) = &module.file else { return Rc::from([plain]) };
        let source = source::Source::Elf(source::Elf::new(file.path()));
        match self.blaze.symbolize_single(&source, Input::FileOffset(file_offset)) {
            Ok(Symbolized::Sym(symbol)) => expand(&plain, &symbol),
            Ok(Symbolized::Unknown(_)) | Err(_) => Rc::from([plain]),
        }
    }
}

/// One frame an inlined function, then the function they were inlined into.
fn expand(plain: &Frame, symbol: &blaze::Sym<'_>) -> Rc<[Frame]> {
    let frame = |name: &str, code: Option<&blaze::CodeInfo<'_>>, inlined| Frame {
        function: Some(name.to_owned()),
        file: code.map(|code| code.to_path().to_string_lossy().into_owned()),
        line: code.and_then(|code| code.line),
        inlined,
        ..plain.clone()
    };
    let inlined = symbol.inlined.iter().rev().map(|inner| frame(&inner.name, inner.code_info.as_ref(), true));
    inlined.chain([frame(&symbol.name, symbol.code_info.as_deref(), false)]).collect()
}

impl Header {
    fn read(module: &Module) -> Self {
        let name = file_name(&module.path);
        let mut start = Vec::new();
        if let Some(file) = &module.file {
            // Headers and notes stand at the start; what cannot be read is left out of the frame.
            let _ = std::fs::File::open(file.path()).and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut start));
        }
        let object = ElfFile::parse(&start, &name).ok();
        let build_id = object.as_ref().and_then(ElfFile::build_id);
        let segments = object.map(|object| object.segments().collect()).unwrap_or_default();
        Self { name, build_id, segments }
    }
}

/// The last part of a module's path, without the kernel's mark for a file that was removed or replaced.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}
