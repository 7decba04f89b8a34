//! The versions of `CPython` that this machine has: pyenv's, and those on the search path, such as Debian's.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::harness::is_full;

/// What leaktrace reads: 3.8 to 3.14.
const MINORS: std::ops::RangeInclusive<u32> = 8..=14;

/// What an interpreter is asked of itself: a line each.
const QUESTION: &str = "
import platform, sysconfig
print(platform.python_implementation())
print(platform.python_version())
print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)
print(sysconfig.get_path('include'))
";

/// One of them.
#[derive(Debug, PartialEq)]
pub struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// Its version, such as `3.11.7`.
    pub version: String,
    minor: u32,
    headers: PathBuf,
}

impl Interpreter {
    /// The first and last that leaktrace reads, and all between, each once, oldest first. Those that are not there are said.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Interpreter>> = OnceLock::new();
        ALL.get_or_init(|| {
            let found = find();
            let missing = MINORS.filter(|minor| found.iter().all(|interpreter| interpreter.minor != *minor));
            let missing: Vec<String> = missing.map(|minor| format!("3.{minor}")).collect();
            if !missing.is_empty() {
                println!("This machine has no Python {}: not tried.", missing.join(", "));
            }
            assert!(!found.is_empty(), "there is no CPython 3.8 to 3.14, neither pyenv's nor on the search path");
            found
        })
    }

    /// Those to try where all would take too long: the oldest on the search path that the system brings, and the newest. With
    /// `LEAKTRACE_FULL=1` it is all of them. Which are left out is said.
    pub fn few() -> Vec<&'static Self> {
        let all = Self::all();
        if is_full() {
            return all.iter().collect();
        }
        let system = all.iter().find(|interpreter| interpreter.program.starts_with("/usr"));
        let mut few: Vec<&Self> = system.into_iter().chain(all.last()).collect();
        few.dedup();
        let left_out = all.iter().filter(|interpreter| !few.contains(interpreter)).map(|one| one.version.as_str());
        let left_out: Vec<&str> = left_out.collect();
        println!("Not tried without LEAKTRACE_FULL=1: Python {}.", left_out.join(", "));
        few
    }

    /// One of them.
    pub fn any() -> &'static Self {
        Self::few()[0]
    }

    /// A command that runs a program in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        // Neither the machine's settings nor the user's packages are to matter.
        command.args(["-s", "-c", program]).env_remove("PYTHONMALLOC").env_remove("PYTHONDEVMODE");
        command
    }

    /// The folder of its headers, if they are installed.
    pub fn headers(&self) -> Option<&Path> {
        self.headers.join("Python.h").exists().then_some(&self.headers)
    }

    /// What it says of itself.
    pub fn ask(program: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        let output = command.args(["-I", "-S", "-c", QUESTION]).stdin(Stdio::null()).output().ok()?;
        Self::of(program, &String::from_utf8(output.stdout).ok()?)
    }

    fn of(program: &Path, answer: &str) -> Option<Self> {
        let lines: Vec<&str> = answer.lines().collect();
        // Without a global lock it is another interpreter, which leaktrace does not read.
        let ["CPython", version, "0", headers] = lines[..] else { return None };
        let minor = version.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
        let program = program.to_owned();
        MINORS.contains(&minor).then(|| Self { program, version: version.to_owned(), minor, headers: headers.into() })
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.version)
    }
}

fn find() -> Vec<Interpreter> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut found: Vec<Interpreter> = Vec::new();
    for program in candidates() {
        // One program has several names, and a link in an environment is the program that it was made with.
        let Ok(file) = program.canonicalize() else { continue };
        if files.contains(&file) {
            continue;
        }
        if let Some(interpreter) = Interpreter::ask(&program)
            && found.iter().all(|other| other.version != interpreter.version)
        {
            found.push(interpreter);
        }
        files.push(file);
    }
    let patch = |version: &str| version.rsplit('.').next().and_then(|patch| patch.parse::<u32>().ok());
    found.sort_by_key(|interpreter| (interpreter.minor, patch(&interpreter.version)));
    found
}

/// Programs that may be interpreters.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // pyenv's shims are scripts that choose for themselves; what they choose from lies beside them.
    let (shims, folders): (Vec<PathBuf>, Vec<PathBuf>) =
        env::split_paths(&path).partition(|folder| folder.ends_with("shims"));
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let beside = shims.iter().filter_map(|shims| shims.parent()).map(Path::to_owned);
    let roots = env::var_os("PYENV_ROOT").map(PathBuf::from).into_iter().chain(beside).chain(home);
    let versions = roots.filter_map(|root| fs::read_dir(root.join("versions")).ok()).flatten().flatten();
    let pyenv = versions.map(|version| version.path().join("bin/python3"));
    let names: Vec<String> =
        std::iter::once("python3".to_owned()).chain(MINORS.map(|minor| format!("python3.{minor}"))).collect();
    // Debian's is on no search path that begins with another's `python3`, unless its folder is asked as well.
    let folders = folders.into_iter().chain(["/usr/bin".into()]);
    let on_path = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)).collect::<Vec<_>>());
    pyenv.chain(on_path).collect()
}

#[test]
fn an_interpreter_is_what_leaktrace_reads() {
    let of = |answer: &str| Interpreter::of(Path::new("/bin/python3"), answer);
    let debian = of("CPython\n3.11.2\n0\n/usr/include/python3.11\n").expect("an interpreter");
    assert_eq!((debian.version.as_str(), debian.minor), ("3.11.2", 11));
    assert!(of("CPython\n3.14.0rc1\n0\n/include\n").is_some());
    for other in [
        "",
        "PyPy\n3.10.14\n0\n/x\n",
        "CPython\n3.13.0\n1\n/x\n",
        "CPython\n3.7.16\n0\n/x\n",
        "CPython\n2.7.18\n0\n/x\n",
    ] {
        assert_eq!(of(other), None, "{other}");
    }
}
