//! A directory for what a run leaves behind, gone with its owner.

use std::{
    env, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// A directory of our own below the system's temporary one; removed when dropped, with all in it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one that nobody else may enter.
    pub fn make() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("leaktrace-bench-{}-{number}", process::id()));
        // Fails where the name is taken: nobody can prepare it for us.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("the temporary directory {} cannot be made; remove it", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
