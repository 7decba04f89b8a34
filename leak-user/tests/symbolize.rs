//! Names through the library: of the kernel's code in a process, and of very many calls at once.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use leak_ebpf::Changes;
use leak_user::{
    process::{
        elf::ElfFile,
        maps::{MappedFile, code_mappings},
        modules::{Location, Module, Modules},
    },
    symbolize::{FrameKind, Symbolizer},
};

/// Functions of the large program, and the bytes of each.
const FUNCTIONS: u64 = 500_000;
const FUNCTION: u64 = 16;

/// Distinct stacks of the large report, and frames of each.
const STACKS: usize = 10_000;
const DEPTH: usize = 20;

/// One test at a time: one of them measures.
static TURNS: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that is ended when this is dropped, and its folder.
struct Running {
    child: Child,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    /// Compiles a program, in assembler or C by the extension, and starts it; it says a line once it runs.
    fn start(name: &str, source: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("leaktrace-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (source_path, program) = (folder.join(name), folder.join("program"));
        fs::write(&source_path, source).expect("our folder");
        let made = Command::new("cc").args(["-g", "-O2", "-o"]).args([&program, &source_path]).status();
        assert!(made.expect("a compiler").success());
        let mut child = Command::new(&program).stdout(Stdio::piped()).spawn().expect("our program");
        let output = child.stdout.take().expect("a pipe");
        let running = Self { child, folder };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a line");
        running
    }

    fn program(&self) -> PathBuf {
        self.folder.join("program")
    }

    /// Where a function is in memory.
    fn address_of(&self, function: &str) -> u64 {
        let data = fs::read(self.program()).expect("our program");
        let object = ElfFile::parse(&data, "the program").expect("a program");
        let symbol = object.symbols(&[function], |_| true).expect("symbols").into_iter().next().expect("the function");
        let offset = object.code(&symbol).expect("its code").offset;
        let mappings = code_mappings(self.child.id()).expect("a running process");
        let mapping = mappings.iter().find(|mapping| mapping.path == self.program()).expect("its code");
        offset - mapping.file_offset + mapping.start
    }

    fn modules(&self) -> Modules {
        let mut modules = Modules::new(|_| Changes::default());
        modules.read(0, self.child.id()).expect("a running process");
        modules
    }
}

/// A `main` that says a line and waits to be ended.
const MAIN: &str = ".text\n.globl main\n.type main, @function\nmain: push %rbp\nlea line(%rip), %rdi\n\
    call puts@plt\nxor %edi, %edi\ncall fflush@plt\ncall pause@plt\n.size main, . - main\n\
    .data\nline: .asciz \"ready\"\n.section .note.GNU-stack,\"\",@progbits\n.text\n";

#[test]
fn the_kernels_code_in_a_process_has_its_names_and_is_no_file_to_search() {
    let _turn = turn();
    let running = Running::start("vdso.s", MAIN);
    let mappings = code_mappings(running.child.id()).expect("a running process");
    let vdso = mappings.iter().find(|mapping| mapping.path == Path::new("[vdso]")).expect("a vDSO");
    let file = vdso.open(running.child.id()).expect("leaktrace's own copy");
    let data = fs::read(file.path()).expect("a file in memory");
    let object = ElfFile::parse(&data, "the vDSO").expect("an object");
    let symbols = object.symbols(&["__vdso_clock_gettime"], |_| true).expect("symbols");
    let offset = object.code(symbols.first().expect("the function")).expect("its code").offset;
    assert!(file.file.set_len(0).is_err(), "nobody changes it");

    let mut modules = running.modules();
    assert!(modules.of_process(0).iter().all(|(_, mapping)| !mapping.is_vdso()));
    let calls = modules.locate(0, 0, [vdso.start + offset + 4].into_iter());
    let frames = Symbolizer::default().frames(modules.all(), modules.origin(0), calls[0]);
    let frame = frames.last().expect("a frame");
    assert!(frame.function.as_deref().is_some_and(|name| name.contains("clock_gettime")), "{frame:?}");
    assert_eq!((frame.module.as_deref(), frame.kind), (Some("[vdso]"), FrameKind::Native));
    assert!(frame.build_id.is_some() && frame.offset > 0);
}

/// A program with something inlined into its `work`.
const INLINED: &str = "
    #include <stdio.h>
    #include <stdlib.h>
    #include <unistd.h>
    static inline void inner(const char *text) { if (!malloc(100)) puts(text); }
    static inline void outer(int number) { inner(number ? \"one\" : \"none\"); }
    __attribute__((noinline)) void work(int number) { outer(number); putchar(number); }
    int main(int argc, char **argv) { work(argc); puts(\"ready\"); fflush(stdout); pause(); }
";

/// Variants of the broken program, in all and one after the other.
const VARIANTS: u64 = 1000;

#[test]
fn an_object_that_is_broken_anywhere_costs_names_and_no_more() {
    let _turn = turn();
    let running = Running::start("broken.c", INLINED);
    let work = running.address_of("work");
    let mut modules = running.modules();
    let calls = modules.locate(0, 0, (work..work + 64).step_by(4));
    let program = calls[1].module.expect("the program").place();
    let whole = fs::read(running.program()).expect("our program");
    let mut draw = drawn();
    let (mut named, mut nameless) = (0, 0);
    for variant in 0..VARIANTS {
        let mut data = whole.clone();
        // Behind the headers of the file and of its segments, which the kernel has agreed to.
        for _ in 0..=variant % 24 {
            let at = 0x400 + draw() as usize % (data.len() - 0x400);
            let length = (1 + draw() as usize % 8).min(data.len() - at);
            data[at..at + length].fill(if draw().is_multiple_of(2) { draw() as u8 } else { 0xff });
        }
        if variant.is_multiple_of(50) {
            data.truncate(draw() as usize % whole.len());
        }
        let path = running.folder.join("broken");
        fs::write(&path, &data).expect("our folder");
        let mut all = modules.all().to_vec();
        let file = fs::File::open(&path).expect("our file");
        all[program] = Arc::new(Module::new(path, Some(MappedFile { file }), None));
        let mut symbolizer = Symbolizer::default();
        for call in &calls {
            let frames = symbolizer.frames(&all, None, *call);
            let frame = frames.last().expect("a frame");
            *(if frame.function.is_some() { &mut named } else { &mut nameless }) += 1;
        }
        fs::remove_file(running.folder.join("broken")).expect("our file");
    }
    println!("{named} calls named, {nameless} not");
    assert!(named > 0 && nameless > 0);
}

/// The large program: very many functions, named as those of Rust.
fn large_program() -> String {
    let mut source = MAIN.to_owned();
    source.push_str(".p2align 4\n.globl functions_begin\n.type functions_begin, @function\nfunctions_begin:\n");
    for number in 0..FUNCTIONS {
        let symbol = format!("_ZN7program6module8f_{number:06}17h{number:016x}E");
        let code = format!("{symbol}: nop\nret\n.size {symbol}, . - {symbol}\n");
        write!(source, ".p2align 4\n.type {symbol}, @function\n{code}").expect("memory");
    }
    source + ".size functions_begin, 16\n"
}

/// Numbers that look drawn at random and are the same every time.
fn drawn() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").expect("our own");
    status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

#[test]
fn many_stacks_in_a_large_program_are_named_in_little_more_time_than_its_symbols_are_read() {
    let _turn = turn();
    let running = Running::start("large.s", &large_program());
    let first_address = running.address_of("functions_begin");
    let mut modules = running.modules();
    let mut draw = drawn();
    let stacks: Vec<Box<[Location]>> = (0..STACKS)
        .map(|_| {
            let returns: Vec<u64> = (0..DEPTH).map(|_| first_address + draw() % FUNCTIONS * FUNCTION + 2).collect();
            modules.locate(0, 0, returns.into_iter())
        })
        .collect();
    let before = resident();
    let mut symbolizer = Symbolizer::default();
    let began = Instant::now();
    symbolizer.frames(modules.all(), None, stacks[0][0]);
    let first = began.elapsed();
    for call in stacks.iter().flatten() {
        let frames = symbolizer.frames(modules.all(), None, *call);
        let name = frames[0].function.as_deref().expect("a name");
        assert!(name.starts_with("program::module::f_"), "{name}");
    }
    let all = began.elapsed();
    println!(
        "{STACKS} stacks of {DEPTH} frames in {FUNCTIONS} functions: {all:.2?}, the first call {first:.2?}, {} MiB",
        (resident().saturating_sub(before)) >> 20
    );
    assert!(all < 30 * first.max(Duration::from_millis(50)), "{all:?} in all, {first:?} for the first call");
    if std::env::var_os("LEAKTRACE_FULL").is_some_and(|value| value == "1") {
        assert!(all < Duration::from_secs(2), "{all:?}");
    }
}
