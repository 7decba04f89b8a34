//! Which Python line writes to a container is told for every write, in every version of `CPython` that is there: in the
//! package of the system, and below `~/.pyenv/versions`. `LEAKTRACE_FULL=1` asks for all of them, else two are tried.
//! Needs root, like all that loads BPF programs.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use leak_user::python::{
    interpreter::Interpreter,
    lines::Lines,
    watch::{Instances, Watch, Write},
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/targets/containers.py");

/// The containers, in the order in which the program tells them.
const CONTAINERS: [&str; 4] = ["dict", "list", "set", "deque"];

/// A running `containers.py`, ended when this is dropped.
struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    sizes: Vec<u64>,
    node: u64,
}

impl Target {
    fn start(python: &Path) -> Self {
        let mut command = Command::new(python);
        command.arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python starts");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut target = Self { child, input, output: BufReader::new(output), sizes: vec![], node: 0 };
        target.sizes = target.hear().split_whitespace().map(|word| word.parse().expect("an address")).collect();
        target.node = target.sizes.pop().expect("a type");
        assert_eq!(target.sizes.len(), CONTAINERS.len());
        target
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        assert!(!line.is_empty(), "the program has ended");
        line.trim().to_owned()
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").expect("it listens");
        self.hear()
    }

    fn interpreter(&self) -> Interpreter {
        Interpreter::find(self.child.id()).expect("it can be read").expect("there is one")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every Python here, or the first two.
fn pythons() -> Vec<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv/versions");
    let mut kept: Vec<PathBuf> = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    kept.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let minor = name.strip_prefix("3.").and_then(|rest| rest.split('.').next()?.parse().ok());
        minor.is_some_and(|minor: u8| (8..=14).contains(&minor))
    });
    kept.sort();
    kept.reverse();
    let all = [PathBuf::from("/usr/bin/python3")].into_iter().chain(kept.iter().map(|path| path.join("bin/python3")));
    let is_full = env::var_os("LEAKTRACE_FULL").is_some_and(|value| value == "1");
    all.filter(|path| path.exists()).take(if is_full { usize::MAX } else { 2 }).collect()
}

/// The number of the line that ends with this comment.
fn line_of(comment: &str) -> u32 {
    let source = fs::read_to_string(PROGRAM).expect("the program");
    let line = source.lines().position(|line| line.ends_with(&format!("# {comment}"))).expect("a line says so");
    line as u32 + 1
}

/// Additions and removals of each container, by the line that made them and the function that it is in.
fn by_line(
    interpreter: &Interpreter,
    lines: &mut Lines,
    writes: &[Write],
) -> BTreeMap<(usize, String, Option<u32>), (u64, u64)> {
    let mut sums = BTreeMap::new();
    for write in writes {
        let innermost = write.frames.first().copied().unwrap_or_default();
        let frame = lines.frame(interpreter, innermost);
        let key = (write.index, frame.function.unwrap_or_default(), frame.line);
        let (additions, removals) = sums.entry(key).or_insert((0, 0));
        *additions += write.additions;
        *removals += write.removals;
    }
    sums
}

#[test]
fn every_write_is_told_with_its_line() {
    for python in pythons() {
        let mut target = Target::start(&python);
        let interpreter = target.interpreter();
        let watch = Watch::within(&interpreter, &target.sizes, f64::INFINITY).expect("it is watched");
        let mut lines = Lines::default();
        target.tell("run 400");
        target.tell("threads 300");
        let writes = watch.read().expect("writes");
        let sums = by_line(&interpreter, &mut lines, &writes);
        let context = format!("{} ({}): {sums:#?}", python.display(), interpreter.version);
        for (index, container) in CONTAINERS.into_iter().enumerate() {
            let adds = (index, "put_in".to_owned(), Some(line_of(&format!("adds to the {container}"))));
            let removes = (index, "take_out".to_owned(), Some(line_of(&format!("removes from the {container}"))));
            assert_eq!(sums.get(&adds), Some(&(1000, 0)), "{context}");
            assert_eq!(sums.get(&removes), Some(&(0, 250)), "{context}");
        }
        assert_eq!(sums.len(), 2 * CONTAINERS.len(), "{context}");
        let names = |write: &Write| -> Vec<String> {
            let frames = write.frames.iter().map(|call| lines.frame(&interpreter, *call));
            frames.map(|frame| frame.function.unwrap_or_default()).collect()
        };
        let mut stacks: Vec<Vec<String>> = writes.iter().map(names).collect();
        stacks.sort();
        stacks.dedup();
        for stack in stacks {
            let work = if interpreter.version.minor >= 11 { "Worker.work" } else { "work" };
            assert_eq!(stack[1..3], [work, "run"], "{context}");
            let outermost = stack.last().map(String::as_str);
            assert!(matches!(outermost, Some("<module>" | "Thread._bootstrap" | "_bootstrap")), "{stack:?}");
        }
        let frame = lines.frame(&interpreter, writes[0].frames[0]);
        assert!(frame.file.is_some_and(|file| file.ends_with("containers.py")));
        for coverage in watch.coverage().expect("it is told") {
            assert!(coverage.share > 0.9 && coverage.lost == 0 && coverage.writes >= 1250, "{coverage:?}");
        }
    }
}

#[test]
fn what_is_written_to_all_the_time_is_watched_in_turns() {
    let python = pythons().remove(0);
    let mut target = Target::start(&python);
    let interpreter = target.interpreter();
    let watch = Watch::start(&interpreter, &target.sizes[..1]).expect("it is watched");
    let truth: f64 = target.tell("hurry 4").parse().expect("a number");
    let coverage = watch.coverage().expect("it is told")[0];
    let sums = by_line(&interpreter, &mut Lines::default(), &watch.read().expect("writes"));
    let lines: Vec<_> = sums.keys().map(|(_, function, _)| function.as_str()).collect();
    let counted: u64 = sums.values().map(|(additions, _)| additions).sum();
    assert!(coverage.share < 1.0 && coverage.writes >= counted, "{coverage:?}");
    assert!(counted > 100 && (counted as f64) < truth / 20.0, "{counted} of {truth}");
    assert_eq!(lines, ["hurry"]);
}

#[test]
fn what_is_in_no_container_is_told_by_the_line_that_makes_it() {
    for python in pythons() {
        let mut target = Target::start(&python);
        let interpreter = target.interpreter();
        let instances = Instances::within(&interpreter, &[target.node], f64::INFINITY).expect("they are counted");
        target.tell("make 500");
        let sums = by_line(&interpreter, &mut Lines::default(), &instances.read().expect("instances"));
        let expected = (0, "make".to_owned(), Some(line_of("makes a node")));
        let context = format!("{} ({})", python.display(), interpreter.version);
        assert_eq!(sums.into_iter().collect::<Vec<_>>(), [(expected, (500, 0))], "{context}");
    }
}

#[test]
fn registers_that_are_taken_are_said() {
    let target = Target::start(&pythons().remove(0));
    let interpreter = target.interpreter();
    let first = Watch::start(&interpreter, &target.sizes).expect("it is watched");
    let second = Watch::start(&interpreter, &target.sizes[..1]).err().expect("there is no room");
    assert!(format!("{second:#}").contains("debug registers are in use"), "{second:#}");
    drop(first);
    Watch::start(&interpreter, &target.sizes).expect("there is room again");
    assert!(Watch::start(&interpreter, &[]).is_err());
}
