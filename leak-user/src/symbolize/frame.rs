//! A frame as a report shows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// One function of a stack. An inlined function is a frame of its own, ahead of the one it was inlined into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Demangled name, if there is a symbol: not to be printed raw.
    pub function: Option<String>,
    /// File name of the module, without its directory, or `[vdso]`: not to be printed raw.
    pub module: Option<Arc<str>>,
    /// The module's build ID in hexadecimal.
    pub build_id: Option<Arc<str>>,
    /// Offset of the call in the module's file, or the bare address where there is no module.
    pub offset: u64,
    /// Source file, where debug information names it: not to be printed raw.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Whether the function was inlined into the next frame.
    pub inlined: bool,
    /// What sort of code it is.
    pub kind: FrameKind,
}

/// What sort of code a frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// Compiled code from a file, or from the vDSO.
    Native,
    /// Code that a runtime compiled as it ran.
    Jit,
    /// A function of Python, run by its interpreter.
    Python,
    /// In no mapped file.
    #[default]
    Unknown,
}

impl FrameKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Jit => "jit",
            Self::Python => "python",
            Self::Unknown => "unknown",
        }
    }

    /// The kind with this name, or unknown.
    pub fn named(name: &str) -> Self {
        [Self::Native, Self::Jit, Self::Python].into_iter().find(|kind| kind.name() == name).unwrap_or_default()
    }
}

impl Frame {
    /// Where the frame is when it has no name: "module+0x1f", or the bare address. Safe to print.
    pub fn place(&self) -> String {
        match &self.module {
            Some(module) => format!("{}+{:#x}", printable(module), self.offset),
            None => format!("{:#x}", self.offset),
        }
    }
}
