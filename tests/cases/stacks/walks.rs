//! Who has walked a program's stacks, and what came of it: the program itself, gdb and leaktrace, allocation by
//! allocation.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Machine, Scratch, number, stacks, target_path};

/// Most frames of a walk.
pub const MAX_FRAMES: usize = 127;

/// By the bytes of an allocation, which tell it from all others, the walk of its stack.
pub type Walks = BTreeMap<u64, Walk>;

/// A stack as somebody walked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Whether the walker came to the bottom, as far as he says.
    pub is_whole: Option<bool>,
    /// The calls as "module+0xaddress", from the allocator's caller outwards; inlined functions are none.
    pub calls: Vec<String>,
}

impl Walk {
    /// Whether this walk of leaktrace's is what truth it can be. A coroutine's stack begins with code of which no table
    /// says anything, so that its true walk is not whole; what leaktrace finds beyond by frame pointers is nobody's to
    /// know. A stack of more than [`MAX_FRAMES`] is cut by everybody.
    pub fn is_as(&self, truth: &Self) -> bool {
        if truth.is_whole == Some(false) && truth.calls.len() < MAX_FRAMES {
            return self.calls.starts_with(&truth.calls);
        }
        self.calls == truth.calls && (self.is_whole == Some(true) || truth.calls.len() == MAX_FRAMES)
    }

    /// Where it went another way.
    pub fn difference_from(&self, truth: &Self) -> String {
        let alike = self.calls.iter().zip(&truth.calls).take_while(|(told, truth)| told == truth).count();
        let last = alike.checked_sub(1).map_or("malloc", |last| &truth.calls[last]);
        let next = |walk: &Self| walk.calls.get(alike).cloned().unwrap_or_else(|| "the end".to_owned());
        let whole = if self.is_whole == Some(true) { "whole" } else { "not whole" };
        let (told, truth, length) = (next(self), next(truth), truth.calls.len());
        format!("right for {alike} of {length} calls to {last}, then {told} for {truth}, and told to be {whole}")
    }
}

/// What a program says of them, in a run of its own: a tracer that waits for the return of a call stands in for its
/// caller meanwhile, so that nobody in the program can walk on.
pub fn by_the_program(machine: &Machine, program: &str, arguments: &str) -> Walks {
    let mut target = machine.target(program, arguments);
    target.say("tell");
    let mut walks = Walks::new();
    loop {
        let line = target.hear();
        if line == "end" {
            return walks;
        }
        walks.extend(told(&line, "call "));
    }
}

/// What gdb says of them, and what the program says, in one run.
pub fn by_gdb(program: &str, arguments: &str) -> (Walks, Walks) {
    let folder = Scratch::new();
    let script = folder.file("backtraces.py", include_str!("backtraces.py"));
    let files = ["BACKTRACES", "SAID"].map(|name| (name, folder.path(name)));
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-x"]).arg(script).arg(target_path(program)).stdin(Stdio::null());
    command.envs(files).env("ARGUMENTS", arguments).env("LC_ALL", "C");
    let output = command.output().expect("gdb");
    let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap_or_default();
    let walks = [("BACKTRACES", "gdb "), ("SAID", "call ")]
        .map(|(name, mark)| read(name).lines().filter_map(|line| told(line, mark)).collect::<Walks>());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!walks[0].is_empty() && walks[0].len() == walks[1].len(), "gdb stops at each call:\n{errors}");
    walks.into()
}

/// What leaktrace says of them, if there are few of each stack.
pub fn by_leaktrace(report: &Value) -> Walks {
    let mut walks = Walks::new();
    for stack in stacks(report) {
        let walk = Walk { is_whole: stack["complete"].as_bool(), calls: calls(stack) };
        for block in stack["allocations"].as_array().expect("-a lists blocks") {
            walks.insert(number(block, "bytes"), walk.clone());
        }
    }
    walks
}

/// Bytes and blocks by the calls of their stacks.
pub type Held = BTreeMap<Vec<String>, (u64, u64)>;

/// What walks come to.
pub fn held_by(walks: &Walks) -> Held {
    sum(walks.iter().map(|(bytes, walk)| (walk.calls.clone(), (*bytes, 1))))
}

/// What leaktrace says, of any number of allocations.
pub fn held_by_leaktrace(report: &Value) -> Held {
    let held = |stack| (number(stack, "outstanding_bytes"), number(stack, "outstanding_count"));
    sum(stacks(report).iter().map(|stack| (calls(stack), held(stack))))
}

fn sum(parts: impl Iterator<Item = (Vec<String>, (u64, u64))>) -> Held {
    let mut held = Held::new();
    for (calls, (bytes, blocks)) in parts {
        let (all_bytes, all_blocks) = held.entry(calls).or_default();
        (*all_bytes, *all_blocks) = (*all_bytes + bytes, *all_blocks + blocks);
    }
    held
}

/// The calls of a stack in a report.
fn calls(stack: &Value) -> Vec<String> {
    let frames = stack["frames"].as_array().expect("frames");
    let calls = frames.iter().filter(|frame| frame["inlined"] == false).map(|frame| {
        let module = frame["module"].as_str().unwrap_or("nowhere");
        format!("{module}+{:#x}", number(frame, "offset"))
    });
    calls.collect()
}

/// Reads a line that begins with this mark.
fn told(line: &str, mark: &str) -> Option<(u64, Walk)> {
    let mut words = line.strip_prefix(mark)?.split(' ').peekable();
    let bytes = words.next()?.parse().ok()?;
    let is_whole = words.next_if(|word| ["0", "1"].contains(word)).map(|word| word == "1");
    Some((bytes, Walk { is_whole, calls: words.map(str::to_owned).collect() }))
}
