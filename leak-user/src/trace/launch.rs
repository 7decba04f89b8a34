//! Launches a program and holds it, its libraries mapped, before its first allocation.
//!
//! leaktrace starts itself once more; that child stops, and becomes the program when it is continued. Meanwhile probes
//! were placed for it on the dynamic loader's `_dl_debug_state`, which the loader calls once the libraries are mapped
//! and before any of their code runs, and on the program's entry point; each stops the process again. What is found
//! mapped then is what will allocate.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    num::NonZeroU32,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context, Result, bail};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::{
    probe::load::Kernel,
    process::{elf::ElfFile, maps::code_mappings},
    text::printable,
};

/// First argument of the child that waits to become the program.
pub const CHILD_ARGUMENT: &str = "__become";

/// Most interpreters of interpreters (`#!`) that are followed; the kernel gives up at 5 too.
const MAX_INTERPRETERS: usize = 5;

/// Times a program may stop on its way to its entry point: the loader speaks to debuggers twice.
const MAX_STOPS: usize = 4;

/// A launched program. Dropped before it was let go, it is killed.
pub struct Launched {
    child: Child,
    program: PathBuf,
    pauses: Vec<UProbeLink>,
    let_go: bool,
}

impl Launched {
    /// Starts the child that will become the program.
    pub fn start(command: &[OsString]) -> Result<Self> {
        let (name, arguments) = command.split_first().context("there is no program to launch; give one behind --")?;
        let program = find_program(name)?;
        let own = env::current_exe().context("leaktrace cannot find its own program to launch another with")?;
        let child = Command::new(own)
            .arg(CHILD_ARGUMENT)
            .arg(&program)
            .arg(name)
            .args(arguments)
            .spawn()
            .with_context(|| format!("{} cannot be launched", shown(&program)))?;
        Ok(Self { child, program, pauses: Vec::new(), let_go: false })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it become the program, and returns when that stops with its allocator mapped.
    pub fn run_to_first_allocation(&mut self, kernel: &mut Kernel) -> Result<()> {
        self.wait_for_stop()?;
        let binary = interpreter_of(&self.program)?;
        let data = fs::read(&binary).with_context(|| format!("{} cannot be read", shown(&binary)))?;
        let elf = ElfFile::parse(&data, &shown(&binary))?;
        let entry = elf.entry_offset().with_context(|| format!("{} has no entry point", shown(&binary)))?;
        self.pause_at(kernel, &binary, entry)?;
        let mut has_loader = false;
        if let Some(loader) = elf.interpreter() {
            let loader = PathBuf::from(loader);
            let data = fs::read(&loader).with_context(|| format!("{} cannot be read", shown(&loader)))?;
            let loader_elf = ElfFile::parse(&data, &shown(&loader))?;
            for symbol in loader_elf.symbols(&["_dl_debug_state"], |_| true)? {
                self.pause_at(kernel, &loader, loader_elf.code(&symbol)?.offset)?;
                has_loader = true;
            }
        }
        // The loader's first word comes before it maps anything: then only the program and the loader are there.
        for stop in 0..MAX_STOPS {
            self.resume_child()?;
            self.wait_for_stop()?;
            let files = code_mappings(self.pid())?
                .iter()
                .filter(|mapping| !mapping.is_vdso())
                .map(|mapping| mapping.inode)
                .collect::<std::collections::BTreeSet<_>>();
            if !has_loader || files.len() > 2 || stop > 0 {
                break;
            }
        }
        self.pauses.clear();
        Ok(())
    }

    /// Lets the program run.
    pub fn resume(&mut self) -> Result<()> {
        self.let_go = true;
        self.resume_child()
    }

    fn pause_at(&mut self, kernel: &mut Kernel, file: &Path, offset: u64) -> Result<()> {
        let scope = UProbeScope::OneProcess(NonZeroU32::new(self.pid()).context("there is no process 0")?);
        let program = kernel.uprobe("pause")?;
        let id = program
            .attach(UProbeAttachLocation::AbsoluteOffset(offset), file, scope)
            .with_context(|| format!("the kernel refused a probe in {}", shown(file)))?;
        self.pauses.push(program.take_link(id)?);
        Ok(())
    }

    fn resume_child(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::CONT).context("the launched program cannot be continued")
    }

    fn wait_for_stop(&mut self) -> Result<()> {
        loop {
            let waited = waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED);
            match waited {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("the launched program cannot be waited for"),
                Ok(Some((_, status))) if status.stopped() => return Ok(()),
                Ok(_) => {
                    self.let_go = true;
                    bail!("{} ended before it could be traced; run it by itself to see why", shown(&self.program));
                }
            }
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if !self.let_go {
            // It is ours and never ran: nothing is lost with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The child's part: stops, and becomes the program when continued. Returns only when that fails.
pub fn become_program(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let program = arguments.next().context("no program")?;
    let name = arguments.next().context("no program name")?;
    kill_process(getpid(), Signal::STOP)?;
    let error = Command::new(&program).arg0(&name).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be run", shown(Path::new(&program))))
}

/// The file that a shell would run by this name.
fn find_program(name: &OsString) -> Result<PathBuf> {
    let path = Path::new(name);
    let candidates: Vec<PathBuf> = if path.components().count() > 1 || path.is_absolute() {
        vec![path.to_owned()]
    } else {
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|folder| folder.join(path)).collect()
    };
    candidates
        .into_iter()
        .find(|file| fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0))
        .with_context(|| format!("{} is not a program that can be run; give its path", shown(path)))
}

/// The binary that the kernel will load for this file: itself, or what its `#!` line names.
fn interpreter_of(program: &Path) -> Result<PathBuf> {
    let mut file = program.to_owned();
    for _ in 0..MAX_INTERPRETERS {
        let mut head = [0; 256];
        let read = read_start(&file, &mut head).with_context(|| format!("{} cannot be read", shown(&file)))?;
        let Some(line) = head.get(..read).and_then(|head| head.strip_prefix(b"#!")) else { return Ok(file) };
        let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        let Some(interpreter) = line.split_whitespace().next() else { return Ok(file) };
        file = PathBuf::from(interpreter);
    }
    bail!("{} leads from interpreter to interpreter; launch the last one by itself", shown(program))
}

fn read_start(file: &Path, head: &mut [u8]) -> io::Result<usize> {
    fs::File::open(file)?.read(head)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}
