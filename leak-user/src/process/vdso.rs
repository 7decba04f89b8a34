//! The code that the kernel lends to every process, as a file.
//!
//! No file holds the vDSO, but all 64-bit processes of a kernel map the same image, leaktrace too: its own copy stands
//! for theirs. It comes from leaktrace's own memory, so that no target has a say in it.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    sync::OnceLock,
};

use procfs::process::{MMapPath, Process};

use super::sealed;

/// Longest image that is believed, in bytes. It has a few pages.
const MAX_LENGTH: u64 = 1 << 20;

/// The image.
struct Image {
    file: File,
    length: u64,
}

/// Whether a mapping of this length that calls itself the vDSO can be of the image that leaktrace maps. That of a 32-bit
/// process is another.
pub fn is_ours(length: u64) -> bool {
    image().is_some_and(|image| image.length == length)
}

/// The image as an ELF file, in memory and unchangeable.
pub fn open() -> io::Result<File> {
    image().ok_or(io::ErrorKind::NotFound)?.file.try_clone()
}

fn image() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    IMAGE.get_or_init(|| copy().ok()).as_ref()
}

fn copy() -> io::Result<Image> {
    let maps = Process::myself().and_then(|process| process.maps()).map_err(io::Error::other)?;
    let own = maps.into_iter().find(|map| matches!(map.pathname, MMapPath::Vdso)).ok_or(io::ErrorKind::NotFound)?;
    let length = own.address.1 - own.address.0;
    if length > MAX_LENGTH {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length as usize];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, own.address.0)?;
    let mut file = sealed::new()?;
    file.write_all(&bytes)?;
    Ok(Image { file: sealed::seal(file)?, length })
}
