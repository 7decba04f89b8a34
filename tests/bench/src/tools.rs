//! Programs of other packages that the benchmark drives: where they are, or what brings them.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

/// A program that may be missing.
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// Debian's package that has it.
    pub package: &'static str,
}

impl Tool {
    /// Where it is, or one sentence on what to install.
    pub fn find(&self) -> Result<PathBuf, Missing> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Administrators' programs are not on everybody's path.
        let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        env::split_paths(&path)
            .chain(more)
            .map(|directory| directory.join(self.program))
            .find(|candidate| is_program(candidate))
            .ok_or(Missing { program: self.program, package: self.package })
    }
}

/// A program that is not here.
#[derive(Debug)]
pub struct Missing {
    program: &'static str,
    package: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not installed: Debian has it in the package `{}`", self.program, self.package)
    }
}

impl std::error::Error for Missing {}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
