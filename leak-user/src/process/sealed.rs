//! Files in memory that nobody can change any more, for bytes that others want to read as a file.

use std::{fs::File, io};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// An empty file in memory, to be written and then given to [`seal`].
pub fn new() -> io::Result<File> {
    Ok(memfd_create("leaktrace", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

/// Makes a file of [`new`] as it is for good: it can be mapped without fear that its end comes nearer.
pub fn seal(file: File) -> io::Result<File> {
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file)
}
