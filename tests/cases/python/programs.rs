//! The small programs of `tests/targets/python`: what each leaks, if anything, and the line that it marks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{findings::Kind, interpreters::Interpreter, judge::Leak};
use crate::harness::{Machine, Scratch, Target};

/// One program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name of its file, without the extension.
    pub name: &'static str,
    /// What leaks, as a kind of finding and what its name has in it.
    pub leaks: Option<(Kind, &'static str)>,
}

/// All of them.
pub const PROGRAMS: [Program; 19] = [
    Program::leaking("sessions", Kind::Holder, "SESSIONS"),
    Program::leaking("audit_log", Kind::Holder, "entries"),
    Program::leaking("listeners", Kind::Holder, "listeners"),
    Program::leaking("profiles", Kind::Holder, "load_profile"),
    Program::leaking("durations", Kind::Holder, "durations"),
    Program::leaking("seen_orders", Kind::Holder, "seen"),
    Program::leaking("recent_events", Kind::Holder, "recent"),
    Program::leaking("request_cycle", Kind::Cycle, "Request"),
    Program::leaking("thumbnails", Kind::Stack, "thumbnail"),
    Program::leaking("failures", Kind::Holder, "FAILURES"),
    Program::leaking("cached_methods", Kind::Holder, "total"),
    Program::leaking("notices", Kind::Holder, "kept"),
    Program::leaking("request_threads", Kind::Holder, "lines"),
    Program::leaking("uploads", Kind::Holder, "begun"),
    Program::healthy("page_cache"),
    Program::healthy("job_queue"),
    Program::healthy("warm_up"),
    Program::healthy("batches"),
    Program::healthy("pipeline"),
];

/// How a program marks the line that leaks.
const MARK: &str = "# LEAK";

impl Program {
    const fn leaking(name: &'static str, kind: Kind, finding: &'static str) -> Self {
        Self { name, leaks: Some((kind, finding)) }
    }

    const fn healthy(name: &'static str) -> Self {
        Self { name, leaks: None }
    }

    /// Its source.
    pub fn source(&self) -> PathBuf {
        sources().join(self.name).with_extension("py")
    }

    /// What reports are to name, if it leaks.
    pub fn leak(&self, surely: bool) -> Option<Leak> {
        let (kind, name) = self.leaks?;
        Some(Leak { kind, name, file: self.source(), lines: marked(&self.source()), surely })
    }

    /// Starts it, and waits until it works.
    pub fn start(&self, machine: &Machine, interpreter: &Interpreter, scratch: &Scratch) -> Result<Target, String> {
        let mut command = Command::new(&interpreter.program);
        command.arg(self.source());
        // Nothing is left beside the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if self.leaks.is_some_and(|(kind, _)| kind == Kind::Stack) {
            command.env("PYTHONPATH", extension(interpreter, scratch)?);
        }
        let mut target = Target::start(machine, command);
        match target.hear().as_str() {
            "ready" => Ok(target),
            other => Err(format!("it does not begin, but says: {other}")),
        }
    }
}

/// The folder of the programs.
pub fn sources() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/python");
    folder.canonicalize().expect("the programs that Python is tried on")
}

/// The lines of a file that say that they leak.
pub fn marked(source: &Path) -> Vec<u64> {
    let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{} is a source: {error}", source.display()));
    marked_in(&text)
}

fn marked_in(text: &str) -> Vec<u64> {
    let lines = (1..).zip(text.lines());
    lines.filter(|(_, line)| line.trim_end().ends_with(MARK)).map(|(number, _)| number).collect()
}

/// Compiles the extension for this interpreter; gives the folder that it lies in.
fn extension(interpreter: &Interpreter, scratch: &Scratch) -> Result<PathBuf, String> {
    let program = interpreter.program.display();
    let headers = interpreter.headers().ok_or_else(|| {
        format!("the headers of {program} are missing: `cargo xtask test` installs them, as Debian's python3-dev")
    })?;
    let folder = scratch.path(&format!("extension-{interpreter}"));
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-g", "-Wall", "-Werror", "-isystem"]).arg(headers);
    compiler.arg("-o").arg(folder.join("_shrink.so")).arg(sources().join("_shrink.c"));
    match compiler.output() {
        Ok(output) if output.status.success() => Ok(folder),
        Ok(output) => Err(format!("the extension does not compile: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("there is no C compiler: {error}")),
    }
}

#[test]
fn a_line_is_marked_by_its_last_comment() {
    let text =
        "\"\"\"About # LEAK and others.\"\"\"\na = 1  # LEAK\n# LEAK is above\n\tb.append(1)  # LEAK  \nc  # LEAKS\n";
    assert_eq!(marked_in(text), [2, 4]);
    assert!(marked_in("").is_empty());
}

#[test]
fn programs_that_leak_mark_their_line_and_the_others_none() {
    for program in PROGRAMS {
        let marked = marked(&program.source());
        assert_ne!(marked.is_empty(), program.leaks.is_some(), "{} marks {marked:?}", program.name);
        assert_eq!(program.leak(true).map(|leak| leak.lines), program.leaks.map(|_| marked));
    }
}
