//! Python programs that are started, heard, read, and always ended.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use leak_user::python::{heap::Heap, holders::Scan, interpreter::Interpreter, snapshot::Snapshot, view::View};

/// More than any program here has.
pub const MOST_BYTES: u64 = 4 << 30;

/// What is taken for the seconds from one reading to the next, of programs that do in a moment what others do in that time.
pub const READING_S: f64 = 8.0;

/// The Pythons to try.
pub fn pythons() -> Vec<PathBuf> {
    let folder = env::var_os("LEAKTRACE_PYTHONS")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".pyenv/versions")));
    let entries = folder.and_then(|folder| folder.read_dir().ok()).into_iter().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let minor: u32 = path.file_name()?.to_str()?.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
            let program = path.join("bin/python3");
            ((8..=14).contains(&minor) && program.exists()).then_some((minor, program))
        })
        .collect();
    found.sort();
    let mut found: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    let debian = PathBuf::from("/usr/bin/python3");
    if env::var_os("LEAKTRACE_FULL").is_none_or(|value| value != "1") {
        // The newest one, whose structures differ most from Debian's.
        found.drain(..found.len().saturating_sub(1));
    }
    found.extend(debian.exists().then_some(debian));
    assert!(!found.is_empty(), "there is no Python to try");
    found
}

/// A Python program that waits for lines.
pub struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// What it said before it was ready: numbers by name.
    pub said: BTreeMap<String, u64>,
}

impl Program {
    /// Starts one of the programs beside this file; returns when it is ready.
    pub fn start(python: &Path, name: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
        let mut child = Command::new(python)
            .arg("-B")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python");
        let input = child.stdin.take().expect("an input");
        let output = BufReader::new(child.stdout.take().expect("an output")).lines();
        let mut program = Self { child, input, output, said: BTreeMap::new() };
        while let Some((name, value)) = program.line("ready") {
            program.said.insert(name, value);
        }
        program
    }

    /// Has it do something; returns when that is done.
    pub fn tell(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("it reads");
        assert_eq!(self.line("done"), None);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Reads its heap.
    pub fn look<T>(&self, see: impl FnOnce(&View) -> T) -> T {
        let interpreter = Interpreter::find(self.pid()).expect("readable").expect("an interpreter");
        let snapshot = Snapshot::take(&interpreter, MOST_BYTES).expect("a snapshot");
        let heap = Heap::scan(&interpreter, &snapshot).expect("a heap");
        see(&View::new(&interpreter, &heap))
    }

    /// A scan, at a moment that the test says.
    pub fn scan(&self, seconds: f64) -> Scan {
        self.look(|view| Scan::of(view, seconds))
    }

    fn line(&mut self, last: &str) -> Option<(String, u64)> {
        let line = self.output.next().unwrap_or_else(|| panic!("it ended before it said {last}")).expect("text");
        if line == last {
            return None;
        }
        let (name, value) = line.split_once(' ').expect("a name and a number");
        let value = value.trim_start_matches("0x");
        Some((name.to_owned(), u64::from_str_radix(value, 16).expect("a number")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
