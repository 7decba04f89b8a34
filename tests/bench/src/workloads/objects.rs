//! A Python program that makes and drops the objects that programs are made of.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::{LIBC, Subject, TurnTaker, Workload, prefer};
use crate::tools::Tool;

/// The program.
const SCRIPT: &str = include_str!("objects.py");

/// Milliseconds of a turn.
const TURN_MS: u64 = 60;

const PYTHON: Tool = Tool { program: "python3", package: "python3" };

/// The script, to be run by the Python on the path.
pub struct Objects {
    python: PathBuf,
}

impl Objects {
    /// Finds Python.
    pub fn find() -> Result<Self> {
        // What is on the path may be a script that starts the real one: then it is not what a tracer must be put on.
        let output = Command::new(PYTHON.find()?)
            .args(["-c", "import sys; print(sys.executable)"])
            .stdin(Stdio::null())
            .output()
            .context("python3 cannot be started")?;
        Ok(Self { python: String::from_utf8_lossy(&output.stdout).trim().into() })
    }
}

impl Workload for Objects {
    fn start(&self, libraries: Option<&Path>) -> Result<Box<dyn Subject>> {
        let mut command = Command::new(&self.python);
        // Isolated: nothing of the person's own is imported.
        command.args(["-I", "-c", SCRIPT]);
        prefer(&mut command, libraries);
        Ok(Box::new(TurnTaker::start(&mut command, TURN_MS)?))
    }

    fn allocator(&self) -> &'static str {
        LIBC
    }
}
