//! Who has walked a program's stacks, and what came of it: the program itself, gdb and leaktrace, allocation by
//! allocation.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Scratch, Target, number, stacks, target_path};

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

/// Has a program make its allocations, and hears what it says of their stacks.
pub fn by_the_program(target: &mut Target) -> Walks {
    target.say("go");
    let mut walks = Walks::new();
    loop {
        let line = target.hear();
        if line == "end" {
            return walks;
        }
        walks.extend(told(&line, "call "));
    }
}

/// What the program says of them, and what gdb says, in a run of its own.
pub fn by_gdb(program: &str, arguments: &str) -> (Walks, Walks) {
    let folder = Scratch::new();
    let script = folder.file("backtraces.py", include_str!("backtraces.py"));
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-x"]).arg(script).arg("--args").arg(target_path(program));
    // Programs take the end of the input for the word to begin.
    command.args(arguments.split(' ')).env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().expect("gdb");
    let said = String::from_utf8_lossy(&output.stdout);
    let [own, gdbs] = ["call ", "gdb "].map(|mark| said.lines().filter_map(|line| told(line, mark)).collect::<Walks>());
    assert_eq!(own.len(), gdbs.len(), "gdb stops at each:\n{}", String::from_utf8_lossy(&output.stderr));
    (own, gdbs)
}

/// What leaktrace says of them.
pub fn by_leaktrace(report: &Value) -> Walks {
    let mut walks = Walks::new();
    for stack in stacks(report) {
        let frames = stack["frames"].as_array().expect("frames");
        let calls = frames.iter().filter(|frame| frame["inlined"] == false).map(|frame| {
            let module = frame["module"].as_str().unwrap_or("nowhere");
            format!("{module}+{:#x}", number(frame, "offset"))
        });
        let walk = Walk { is_whole: stack["complete"].as_bool(), calls: calls.collect() };
        for block in stack["allocations"].as_array().expect("-a lists blocks") {
            walks.insert(number(block, "bytes"), walk.clone());
        }
    }
    walks
}

/// Reads a line that begins with this mark.
fn told(line: &str, mark: &str) -> Option<(u64, Walk)> {
    let mut words = line.strip_prefix(mark)?.split(' ').peekable();
    let bytes = words.next()?.parse().ok()?;
    let is_whole = words.next_if(|word| ["0", "1"].contains(word)).map(|word| word == "1");
    Some((bytes, Walk { is_whole, calls: words.map(str::to_owned).collect() }))
}
