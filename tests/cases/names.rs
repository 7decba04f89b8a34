//! What frames are called: by the symbols and lines of the very file that runs, wherever these are kept, and by module
//! and offset where there are none. A program has a say in its own names and in nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::harness::{Machine, Scratch, Target, functions, number, stacks};

/// A program with a static function that keeps a block of 100 bytes for each line that it reads.
const PROGRAM: &str = "
    #include <stdio.h>
    #include <stdlib.h>
    #define FRAME __attribute__((noinline, noipa))
    FRAME static void hidden(void) { __asm__ volatile(\"\" : : \"r\"(malloc(100)) : \"memory\"); }
    FRAME void shown(void) { hidden(); __asm__ volatile(\"\"); }
    int main(void) {
        int read;
        puts(\"ready\");
        fflush(stdout);
        while ((read = getchar()) != EOF) {
            if (read == '\\n') {
                shown();
                puts(\"done\");
                fflush(stdout);
            }
        }
    }
";

/// The line of `hidden` in it.
const LINE: u64 = 5;

/// Runs a tool, which must do its work.
fn run(tool: &str, arguments: &[&str]) {
    let status = Command::new(tool).args(arguments).status().unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(status.success(), "{tool} {arguments:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Compiles a program from C; gives its path.
fn compile(scratch: &Scratch, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let (source, program) = (scratch.file(&format!("{name}.c"), source), scratch.path(name));
    let fixed = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w"];
    run("cc", &[&fixed, options, &["-o", text(&program), text(&source)]].concat());
    program
}

/// Has a program keep a block of 100 bytes; gives what that stack is.
fn stack_of(machine: &Machine, target: &mut Target, pid: u32) -> Value {
    assert_eq!(target.hear(), "ready");
    let leaktrace = machine.attach(pid, "--format json -T 10000 60");
    target.say("");
    assert_eq!(target.hear(), "done");
    let report = leaktrace.end().last_report();
    let found = stacks(&report).iter().find(|stack| number(stack, "outstanding_bytes") == 100);
    found.unwrap_or_else(|| panic!("a block of 100 bytes: {report}")).clone()
}

fn stack_in(program: &Path) -> Value {
    let machine = Machine::shared();
    let mut target = Target::start(&machine, Command::new(program));
    let pid = target.pid();
    stack_of(&machine, &mut target, pid)
}

/// Fails unless the stack runs from `hidden` to `main`.
fn check_functions(stack: &Value) {
    assert_eq!(functions(stack)[..3], ["hidden", "shown", "main"], "{stack}");
}

/// Fails unless the source's lines are named too.
fn check_lines(stack: &Value) {
    check_functions(stack);
    let frame = &stack["frames"][0];
    assert!(frame["file"].as_str().is_some_and(|file| file.starts_with("/tmp/")), "{stack}");
    assert_eq!(frame["line"], LINE);
}

/// Fails if the static function has a name; it must still have its module and place.
fn check_nameless(stack: &Value, name: &str) {
    let frame = &stack["frames"][0];
    assert_eq!((&frame["function"], &frame["module"], &frame["kind"]), (&Value::Null, &name.into(), &"native".into()));
    assert!(number(frame, "offset") > 0);
}

/// Where a program has its function, as linked.
fn place_of(program: &Path, function: &str) -> std::ops::Range<u64> {
    let output = Command::new("nm").arg("-S").arg(program).output().expect("nm");
    let table = String::from_utf8(output.stdout).expect("text");
    let line = table.lines().find(|line| line.ends_with(&format!(" {function}"))).expect("the function");
    let mut numbers = line.split_whitespace().map(|word| u64::from_str_radix(word, 16));
    let (start, size) = (numbers.next().expect("a start").unwrap(), numbers.next().expect("a size").unwrap());
    start..start + size
}

#[test]
fn a_program_has_its_names_however_it_is_linked() {
    let scratch = Scratch::new();
    let ways: [(&str, &[&str]); 6] = [
        ("pie", &["-pie"]),
        ("fixed", &["-no-pie"]),
        ("static", &["-static"]),
        ("static-pie", &["-static-pie"]),
        ("elsewhere", &["-no-pie", "-Wl,-Ttext-segment=0x10000000"]),
        ("apart", &["-no-pie", "-Wl,-z,noseparate-code"]),
    ];
    for (name, options) in ways {
        let program = compile(&scratch, name, PROGRAM, &[&["-g"], options].concat());
        let stack = stack_in(&program);
        check_lines(&stack);
        let offset = number(&stack["frames"][0], "offset");
        assert!(place_of(&program, "hidden").contains(&offset), "{name}: {offset:#x}");
    }
}

#[test]
fn a_library_linked_for_an_address_has_its_names() {
    let scratch = Scratch::new();
    let (library, program) = (
        PROGRAM.replace("main", "library_main"),
        "int library_main(void);
        int main(void) { return library_main(); }",
    );
    for (name, base) in [("prelinked", "-Wl,-Ttext-segment=0x30000000"), ("plain", "-g")] {
        let made = compile(&scratch, name, &library, &["-g", "-shared", "-fPIC", base]);
        let run_path = format!("-Wl,-rpath,{}", text(&scratch.path("")));
        let user = compile(&scratch, &format!("user-{name}"), program, &["-Wl,--no-as-needed", text(&made), &run_path]);
        let stack = stack_in(&user);
        assert_eq!(functions(&stack)[..4], ["hidden", "shown", "library_main", "main"]);
        assert_eq!((&stack["frames"][0]["line"], &stack["frames"][0]["module"]), (&LINE.into(), &name.into()));
        assert!(place_of(&made, "hidden").contains(&number(&stack["frames"][0], "offset")));
    }
}

#[test]
fn a_frame_without_a_symbol_is_its_module_and_offset() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "whole", PROGRAM, &["-g"]);
    let bare = scratch.path("bare");
    run("strip", &["-o", text(&bare), text(&program)]);
    let stack = stack_in(&bare);
    check_nameless(&stack, "bare");
    assert!(place_of(&program, "hidden").contains(&number(&stack["frames"][0], "offset")));
}

/// A program and what was split off it: all, to a file that its `.gnu_debuglink` names.
struct Split {
    scratch: Scratch,
    program: PathBuf,
    debug: PathBuf,
}

impl Split {
    fn new(options: &[&str]) -> Self {
        Self::stripped(options, "--strip-all")
    }

    fn stripped(options: &[&str], strip: &str) -> Self {
        let scratch = Scratch::new();
        // Its block's source differs from run to run, so that no two tests share a build ID.
        let source = format!("{PROGRAM}\nconst char *name = \"{}\";\n", text(&scratch.path("")));
        let program = compile(&scratch, "split", &source, &[&["-g"], options].concat());
        let debug = scratch.path("split.debug");
        run("objcopy", &["--only-keep-debug", text(&program), text(&debug)]);
        run("strip", &[strip, text(&program)]);
        run("objcopy", &[&format!("--add-gnu-debuglink={}", text(&debug)), text(&program)]);
        Self { scratch, program, debug }
    }

    /// Puts the split information somewhere else.
    fn move_to(&self, path: &Path) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("root may write there");
        fs::copy(&self.debug, path).expect("root may write there");
        fs::remove_file(&self.debug).expect("our file");
    }

    fn build_id(&self) -> String {
        let output = Command::new("readelf").arg("-n").arg(&self.program).output().expect("readelf");
        let notes = String::from_utf8(output.stdout).expect("text");
        notes.split("Build ID: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a build ID").to_owned()
    }
}

/// A file of the system that is gone when this is dropped, with the two folders above it if they are then empty.
struct Installed(PathBuf);

impl Drop for Installed {
    fn drop(&mut self) {
        // What cannot be removed fails no test.
        let _ = fs::remove_file(&self.0);
        let _ = self.0.ancestors().skip(1).take(2).try_for_each(fs::remove_dir);
    }
}

#[test]
fn split_debug_information_is_found_beside_the_program() {
    check_lines(&stack_in(&Split::new(&[]).program));
}

#[test]
fn split_debug_information_is_found_in_a_folder_of_its_own() {
    let split = Split::new(&[]);
    split.move_to(&split.scratch.path(".debug/split.debug"));
    check_lines(&stack_in(&split.program));
}

#[test]
fn split_debug_information_is_found_where_systems_install_it() {
    let split = Split::new(&[]);
    let installed = Path::new("/usr/lib/debug").join(split.debug.strip_prefix("/").expect("a whole path"));
    let installed = Installed(installed);
    split.move_to(&installed.0);
    check_lines(&stack_in(&split.program));
}

#[test]
fn split_debug_information_is_found_by_its_build_id() {
    let split = Split::new(&[]);
    run("objcopy", &["--remove-section=.gnu_debuglink", text(&split.program)]);
    let id = split.build_id();
    let (first, rest) = id.split_at(2);
    let installed = Installed(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug").into());
    split.move_to(&installed.0);
    check_lines(&stack_in(&split.program));
}

#[test]
fn without_build_ids_the_sum_of_the_file_decides() {
    let split = Split::new(&["-Wl,--build-id=none"]);
    check_lines(&stack_in(&split.program));
    let mut debug = fs::read(&split.debug).expect("our file");
    debug.push(0);
    fs::write(&split.debug, debug).expect("our file");
    check_nameless(&stack_in(&split.program), "split");
}

#[test]
fn split_debug_information_of_another_build_is_not_used() {
    let split = Split::new(&[]);
    let other = Split::new(&[]);
    fs::copy(&other.debug, &split.debug).expect("our files");
    check_nameless(&stack_in(&split.program), "split");
}

#[test]
fn a_link_that_leads_to_no_plain_file_is_not_followed() {
    let split = Split::new(&[]);
    fs::remove_file(&split.debug).expect("our file");
    // To open it would be to wait for ever.
    run("mkfifo", &[text(&split.debug)]);
    check_nameless(&stack_in(&split.program), "split");
}

#[test]
fn a_link_with_a_path_in_it_is_not_followed() {
    let split = Split::new(&["-Wl,--build-id=none"]);
    let folder = split.scratch.path("in");
    fs::create_dir(&folder).expect("our folder");
    let program = folder.join("split");
    let bytes = fs::read(&split.program).expect("our file");
    // The same length, and the sum still right.
    let (name, climbing) = (b"split.debug\0", b"../it.debug\0");
    let at = bytes.windows(name.len()).position(|window| window == name).expect("the link");
    let changed = [&bytes[..at], climbing, &bytes[at + name.len()..]].concat();
    split.move_to(&split.scratch.path("it.debug"));
    fs::write(&program, changed).expect("our folder");
    run("chmod", &["755", text(&program)]);
    check_nameless(&stack_in(&program), "split");
}

#[test]
fn a_container_finds_its_split_debug_information_and_no_link_leads_out_of_it() {
    let machine = Machine::shared();
    for is_there in [true, false] {
        let split = Split::stripped(&["-static"], "--strip-debug");
        let root = split.scratch.path("root");
        fs::create_dir_all(&root).expect("our folder");
        fs::copy(&split.program, root.join("split")).expect("our files");
        let debug = root.join("split.debug");
        if is_there {
            fs::rename(&split.debug, root.join("elsewhere")).expect("our files");
            // Inside of the container, this leads to what was just put there; outside, nowhere.
            std::os::unix::fs::symlink("/elsewhere", &debug).expect("our folder");
        } else {
            std::os::unix::fs::symlink(&split.debug, &debug).expect("our folder");
        }
        let mut command = Command::new("unshare");
        // A root directory of its own by way of its mounts, as containers have.
        let script = "mount --bind \"$1\" \"$1\" && cd \"$1\" && mkdir -p old && pivot_root . old && exec /split";
        command.args(["--mount", "sh", "-e", "-c", script, "sh", text(&root)]);
        let mut target = Target::start(&machine, command);
        let pid = target.pid();
        let stack = stack_of(&machine, &mut target, pid);
        check_functions(&stack);
        assert_eq!(stack["frames"][0]["line"], if is_there { LINE.into() } else { Value::Null });
    }
}

#[test]
fn compressed_debug_information_is_read() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "plain", PROGRAM, &["-g"]);
    for kind in ["zlib", "zstd"] {
        let packed = scratch.path(kind);
        run("objcopy", &[&format!("--compress-debug-sections={kind}"), text(&program), text(&packed)]);
        check_lines(&stack_in(&packed));
    }
}

#[test]
fn a_stripped_program_has_the_names_of_its_gnu_debugdata() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "whole", PROGRAM, &["-g"]);
    let (mini, bare, both) = (scratch.path("mini"), scratch.path("bare"), scratch.path("both"));
    run("objcopy", &["--only-keep-debug", text(&program), text(&mini)]);
    run("strip", &["--strip-debug", text(&mini)]);
    run("xz", &[text(&mini)]);
    run("strip", &["-o", text(&bare), text(&program)]);
    let section = format!(".gnu_debugdata={}.xz", text(&mini));
    run("objcopy", &["--add-section", &section, text(&bare), text(&both)]);
    check_functions(&stack_in(&both));
}

#[test]
fn a_gnu_debugdata_without_end_costs_nothing_but_its_names() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "bare", PROGRAM, &["-s"]);
    let (bomb, both) = (scratch.path("bomb"), scratch.path("both"));
    run("sh", &["-c", &format!("head -c 300000000 /dev/zero | xz -0 > {}", text(&bomb))]);
    run("objcopy", &["--add-section", &format!(".gnu_debugdata={}", text(&bomb)), text(&program), text(&both)]);
    check_nameless(&stack_in(&both), "both");
}

#[test]
fn broken_debug_information_leaves_the_symbols() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "whole", PROGRAM, &["-g"]);
    let junk = scratch.file("junk", [0xff_u8; 4000]);
    for section in [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str"] {
        let broken = scratch.path("broken");
        run("objcopy", &["--update-section", &format!("{section}={}", text(&junk)), text(&program), text(&broken)]);
        check_functions(&stack_in(&broken));
    }
}

#[test]
fn inlined_functions_are_frames_of_their_own_with_their_lines() {
    const INLINED: &str = "__attribute__((always_inline)) static inline void";
    let scratch = Scratch::new();
    let source = PROGRAM.replacen(
        "FRAME static void hidden(void)",
        &format!("{INLINED} innermost(void);\n{INLINED} between(void) {{ innermost(); }}\n{INLINED} innermost(void)"),
        1,
    );
    let source = source.replace("hidden();", "between();");
    let stack = stack_in(&compile(&scratch, "inlined", &source, &["-g", "-O2"]));
    assert_eq!(functions(&stack)[..4], ["innermost", "between", "shown", "main"]);
    let frames = stack["frames"].as_array().expect("frames");
    let seen: Vec<(&Value, u64)> = frames[..3].iter().map(|frame| (&frame["inlined"], number(frame, "line"))).collect();
    assert_eq!(seen, [(&true.into(), 7), (&true.into(), 6), (&false.into(), 8)]);
    assert_eq!(frames[0]["offset"], frames[2]["offset"], "one call");
}

#[test]
fn inlined_functions_of_rust_are_frames_of_their_own_with_their_lines() {
    let scratch = Scratch::new();
    let source = scratch.file(
        "inlined.rs",
        "use std::io::BufRead;
         #[inline(always)] fn innermost() -> Vec<u8> { Vec::with_capacity(std::hint::black_box(100)) }
         #[inline(always)] fn between() -> Vec<u8> { innermost() }
         #[inline(never)] fn shown() { std::mem::forget(std::hint::black_box(between())); }
         fn main() {
             println!(\"ready\");
             for _ in std::io::stdin().lock().lines() { shown(); println!(\"done\"); }
         }",
    );
    let program = scratch.path("inlined");
    let options = ["--edition", "2024", "-O", "-g", "-C", "force-frame-pointers=yes", "-o"];
    run("rustc", &[&options[..], &[text(&program), text(&source)]].concat());
    let stack = stack_in(&program);
    let frames = stack["frames"].as_array().expect("frames");
    let own: Vec<(&str, &Value, u64)> = frames
        .iter()
        .filter(|frame| frame["file"].as_str().is_some_and(|file| file.ends_with("inlined.rs")))
        .map(|frame| (frame["function"].as_str().expect("a name"), &frame["inlined"], number(frame, "line")))
        .collect();
    let (yes, no) = (true.into(), false.into());
    let expected = [("innermost", &yes, 2), ("between", &yes, 3), ("shown", &no, 4)];
    for (seen, expected) in own.iter().zip(expected) {
        assert!(seen.0.contains(expected.0) && (seen.1, seen.2) == (expected.1, expected.2), "{own:?}");
    }
    assert!(own.len() >= 4, "{own:?}");
}

#[test]
fn a_symbol_that_would_move_the_cursor_is_written_out() {
    let scratch = Scratch::new();
    let program = compile(&scratch, "evil", PROGRAM, &[]);
    run("objcopy", &["--redefine-sym", "hidden=evil\x1b[2J\x07", text(&program)]);
    let machine = Machine::shared();
    let mut target = Target::start(&machine, Command::new(&program));
    let stack = {
        let pid = target.pid();
        stack_of(&machine, &mut target, pid)
    };
    assert_eq!(stack["frames"][0]["function"], "evil\u{1b}[2J\u{7}", "JSON says it as it is");
    for format in ["table", "folded"] {
        let leaktrace = machine.attach(target.pid(), &format!("--format {format} 60"));
        target.say("");
        assert_eq!(target.hear(), "done");
        let shown = leaktrace.end().well().output;
        assert!(shown.contains("evil\\x1b[2J"), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }
}
