//! Split debug information: which file has it.
//!
//! By the build ID it is looked for below `/usr/lib/debug/.build-id`, by the object's `.gnu_debuglink` below
//! `/usr/lib/debug` and beside the object. leaktrace's own `/usr/lib/debug` comes first, which is root's; then the same
//! places in the root directory of the process, out of which nothing leads. What lies beside an object is looked at
//! only there. A file is used when it has the object's build ID; where the object has none, when its bytes have the sum
//! that the link tells. A target that makes up such a file names its own functions wrong, and nobody else's.

use std::{
    fmt::Write as _,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::object::Object;
use crate::process::origin::{Links, Root};

/// Where systems install split debug information.
const INSTALLED: &str = "/usr/lib/debug";

/// Largest file whose sum is taken, in bytes.
const MAX_SUMMED: u64 = 1 << 30;

/// Bytes of it in memory at once.
const PIECE: usize = 1 << 16;

/// The split debug information of an object that a process with this root maps from this path.
pub fn find(object: &Object<'_>, path: &Path, root: Option<&Arc<Root>>) -> Option<File> {
    let (build_id, link) = (object.build_id(), object.debug_link());
    let by_build_id = build_id.as_deref().and_then(path_by_build_id);
    let directory = path.parent().filter(|parent| parent.is_absolute());
    let by_link = directory.zip(link.as_ref()).map(|(directory, link)| (directory, link.name.as_str()));
    let installed = by_link.map(|(directory, name)| {
        Path::new(INSTALLED).join(directory.strip_prefix("/").unwrap_or(directory)).join(name)
    });
    let beside = by_link.map(|(directory, name)| [directory.join(name), directory.join(".debug").join(name)]);
    let fits = |file: &File| {
        let other = Object::read(file);
        match (&build_id, other.and_then(|other| other.build_id())) {
            (Some(id), Some(other)) => *id == other,
            (None, _) => link.as_ref().is_some_and(|link| crc(file) == Some(link.crc)),
            (Some(_), None) => false,
        }
    };
    let own = Root::own().ok();
    let candidates = own.iter().flat_map(|own| by_build_id.iter().chain(&installed).map(move |path| (own, path)));
    let theirs = root.into_iter().flat_map(|root| {
        let paths = by_build_id.iter().chain(&installed).chain(beside.iter().flatten());
        paths.map(move |path| (&**root, path))
    });
    candidates.chain(theirs).filter_map(|(root, path)| root.open(path, Links::Followed).ok()).find(fits)
}

fn path_by_build_id(id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let mut path = format!("{INSTALLED}/.build-id/{first:02x}/");
    for byte in rest {
        write!(path, "{byte:02x}").ok()?;
    }
    Some((path + ".debug").into())
}

/// CRC-32 of a file's bytes.
fn crc(file: &File) -> Option<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at <= MAX_SUMMED {
        match file.read_at(&mut piece, at).ok()? {
            0 => return Some(hasher.finalize()),
            length => {
                hasher.update(piece.get(..length)?);
                at += length as u64;
            }
        }
    }
    None
}
