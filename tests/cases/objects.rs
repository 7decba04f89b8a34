//! Libraries that come and go while a process is traced, and objects that are broken.

use std::{fs, process::Command, thread::sleep, time::Duration};

use crate::{
    fork::{order, ready},
    harness::{Machine, Scratch, first_function, functions, number, stacks},
    rulings::held_below,
};

/// A library whose function `work` keeps a block of 100 bytes, which the C library's allocator gives it.
const CLIENT: &str = "
    #include <stdlib.h>
    __attribute__((noinline, noipa)) static void NAME(void) { __asm__ volatile(\"\" : : \"r\"(malloc(100)) : \"memory\"); }
    void work(void) { NAME(); __asm__ volatile(\"\"); }
";

/// The same, with an allocator of its own.
const ALLOCATOR: &str = "
    #define PREFIX je_
    #include \"tiny_heap.h\"
    __attribute__((noinline, noipa)) static void je_client(void) {
        __asm__ volatile(\"\" : : \"r\"(je_malloc(100)) : \"memory\");
    }
    void work(void) { je_client(); __asm__ volatile(\"\"); }
";

/// How long a library must have been there for its functions to be named.
const NOTICED: Duration = Duration::from_millis(300);

/// Compiles a library from C, or from assembler; gives its path.
fn library(scratch: &Scratch, name: &str, source: &str, options: &[&str]) -> String {
    let extension = if source.contains(".globl") { "s" } else { "c" };
    let source = scratch.file(&format!("{name}.{extension}"), source);
    let library = scratch.path(name);
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w"]);
    command.args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/targets")]).args(options);
    let made = command.arg("-o").arg(&library).arg(&source).status();
    assert!(made.expect("a C compiler").success());
    library.to_str().expect("a plain path").to_owned()
}

/// Two libraries that differ in their functions' names alone.
fn twins(scratch: &Scratch) -> [String; 2] {
    ["one_client", "other_client"].map(|name| library(scratch, name, CLIENT, &[&format!("-DNAME={name}")]))
}

#[test]
fn a_library_loaded_while_traced_has_its_functions_named_and_so_has_the_next_in_its_place() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let [one, other] = twins(&scratch);
    let mut target = ready(&machine);
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    let mut places = Vec::new();
    for path in [&one, &other, &one, &other] {
        places.push(order(&mut target, &format!("load {path}")));
        order(&mut target, "work 3");
        sleep(NOTICED);
        order(&mut target, "unload");
        sleep(NOTICED);
    }
    assert!(places.windows(2).any(|pair| pair[0] == pair[1]), "one lies where the other lay: {places:x?}");
    let report = leaktrace.end().last_report();
    for name in ["one_client", "other_client"] {
        assert_eq!(held_below(&report, &[name, "work"]), (600, 6));
    }
    for stack in stacks(&report) {
        if let name @ ("one_client" | "other_client") = first_function(stack) {
            assert_eq!(stack["frames"][0]["module"], name, "the library is called as its function is");
        }
    }
}

#[test]
fn a_library_gone_before_it_could_be_looked_at_is_never_taken_for_the_next_in_its_place() {
    const ROUNDS: u64 = 20;
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let [one, other] = twins(&scratch);
    let mut target = ready(&machine);
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    assert!(order(&mut target, &format!("swap {one} {other} {ROUNDS}")) > 0, "one lies where the other lay");
    let report = leaktrace.end().last_report();
    for name in ["one_client", "other_client"] {
        let (_, count) = held_below(&report, &[name]);
        assert!(count <= ROUNDS / 2, "{name} held {} blocks at most, not {count}", ROUNDS / 2);
    }
    // Named or not, each block is counted.
    let blocks = stacks(&report).iter().filter(|stack| number(stack, "outstanding_bytes") > 0);
    let of_100 = blocks
        .filter(|stack| number(stack, "outstanding_bytes") == 100 * number(stack, "outstanding_count"))
        .map(|stack| number(stack, "outstanding_count"));
    assert_eq!(of_100.sum::<u64>(), ROUNDS);
}

#[test]
fn an_allocator_loaded_while_traced_is_traced_and_traced_again_when_it_comes_back() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let path = library(&scratch, "je_client", ALLOCATOR, &[]);
    let mut target = ready(&machine);
    let mut leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    order(&mut target, &format!("load {path}"));
    leaktrace.wait_until_said(&format!("probes in process {}", target.pid()));
    // It was found when it was mapped, and may not have been ready to be used.
    sleep(NOTICED);
    order(&mut target, "work 10");
    order(&mut target, "unload");
    order(&mut target, &format!("load {path}"));
    // Its probes are on its file, and need no time now.
    order(&mut target, "work 5");
    let report = leaktrace.end().last_report();
    let below = |inside: &[&str]| held_below(&report, inside).1;
    // The arena went with the library and came back in the same place or in another, so blocks may be given out again.
    let (held, reused) = (below(&["je_client", "work"]), number(&report["loss"], "frees"));
    assert_eq!(held + reused, 15, "{held} are held and {reused} were given out again");
}

/// An assembler's `malloc` that is not all it should be, and a good `free`.
fn allocator_with(malloc: &str) -> String {
    let free = ".globl free\n.type free, @function\nfree: push %rbp\npop %rbp\nret\n.size free, 3\n";
    format!(".text\n{free}.globl malloc\n.type malloc, @function\n{malloc}\n")
}

/// Has a process map a file as code, and leaktrace look for the allocator there alone; gives why it refuses.
fn refusal(path: &str) -> String {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    order(&mut target, &format!("map {path}"));
    let line = machine.leaktrace(&format!("-p {} -O {path} 1 1", target.pid())).wait().refusal();
    assert!(line.contains(path), "the object is named: {line}");
    line
}

#[test]
fn a_function_chosen_when_the_program_starts_is_refused() {
    let scratch = Scratch::new();
    let source = "
        static void *serve(unsigned long bytes) { return 0; }
        static void *(*choose(void))(unsigned long) { return serve; }
        void *malloc(unsigned long) __attribute__((ifunc(\"choose\")));
        void free(void *block) {}
    ";
    let line = refusal(&library(&scratch, "chosen", source, &["-nostdlib", "-fno-builtin"]));
    assert!(line.contains("malloc") && line.contains("IFUNC"), "{line}");
}

#[test]
fn a_function_outside_of_the_code_is_refused() {
    let scratch = Scratch::new();
    for (name, place) in [("far", ".text + 0x10000000"), ("before", ".text - 0x10000000"), ("data", ".data")] {
        let malloc = format!(".set malloc, {place}\n.size malloc, 16\n.data\n.quad 0");
        let line = refusal(&library(&scratch, name, &allocator_with(&malloc), &["-nostdlib"]));
        assert!(line.contains("malloc") && line.contains("outside"), "{line}");
    }
}

#[test]
fn a_function_longer_than_the_code_is_refused() {
    let scratch = Scratch::new();
    let malloc = "malloc: push %rbp\npop %rbp\nret\n.size malloc, 0x7fffffffffffffff";
    let line = refusal(&library(&scratch, "long", &allocator_with(malloc), &["-nostdlib"]));
    assert!(line.contains("malloc") && line.contains("outside"), "{line}");
}

#[test]
fn a_function_that_begins_with_no_instruction_is_refused() {
    let scratch = Scratch::new();
    // 06 was `push %es`, which 64-bit code does not have.
    let malloc = "malloc: .byte 0x06, 0x06, 0x06, 0x06\nret\n.size malloc, 5";
    let line = refusal(&library(&scratch, "undecodable", &allocator_with(malloc), &["-nostdlib"]));
    assert!(line.contains("malloc") && line.contains("instruction"), "{line}");
}

#[test]
fn a_freeing_function_that_begins_with_no_instruction_is_refused() {
    let scratch = Scratch::new();
    let source = "
        .text\n.globl malloc\n.type malloc, @function\nmalloc: push %rbp\npop %rbp\nret\n.size malloc, 3
        .globl free\n.type free, @function\nfree: .byte 0x06, 0x06, 0x06, 0x06\nret\n.size free, 5
    ";
    let line = refusal(&library(&scratch, "unfreeable", source, &["-nostdlib"]));
    assert!(line.contains("free") && line.contains("instruction"), "{line}");
}

#[test]
fn a_function_that_the_kernel_puts_no_probe_on_is_refused() {
    let scratch = Scratch::new();
    let malloc = "malloc: int3\nret\n.size malloc, 2";
    let line = refusal(&library(&scratch, "trapped", &allocator_with(malloc), &["-nostdlib"]));
    assert!(line.contains("malloc"), "{line}");
}

/// Where a symbol table stands in an object: its section's place in the file and its length.
fn symbol_table(object: &[u8], kind: u32) -> (usize, usize) {
    let word = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().expect("8 bytes")) as usize;
    let (headers, count) = (word(0x28), usize::from(u16::from_le_bytes([object[0x3c], object[0x3d]])));
    let of_kind = |header: &usize| object[header + 4..header + 8] == kind.to_le_bytes();
    let header = (0..count).map(|index| headers + 64 * index).find(of_kind).expect("a symbol table");
    (word(header + 0x18), word(header + 0x20))
}

#[test]
fn an_object_that_ends_within_its_symbols_is_refused() {
    const SHT_DYNSYM: u32 = 11;
    let scratch = Scratch::new();
    let whole = library(&scratch, "whole", &allocator_with("malloc: ret\n.size malloc, 1"), &["-nostdlib"]);
    let object = fs::read(&whole).expect("a library");
    let (start, length) = symbol_table(&object, SHT_DYNSYM);
    let cut = scratch.file("cut", &object[..start + length / 2]);
    refusal(cut.to_str().expect("a plain path"));
}

#[test]
fn an_object_whose_symbols_lie_beyond_its_end_is_refused() {
    let scratch = Scratch::new();
    let path = library(&scratch, "stripped", &allocator_with("malloc: ret\n.size malloc, 1"), &["-nostdlib"]);
    let mut object = fs::read(&path).expect("a library");
    // Every place that the dynamic table tells: DT_HASH to DT_SYMTAB, and DT_GNU_HASH.
    let mut moved = 0;
    for at in (0..object.len() - 16).step_by(8) {
        let tag = u64::from_le_bytes(object[at..at + 8].try_into().expect("8 bytes"));
        if is_dynamic(&object, at) && [4, 5, 6, 0x6fff_fef5].contains(&tag) {
            object[at + 8..at + 16].copy_from_slice(&(1_u64 << 40).to_le_bytes());
            moved += 1;
        }
    }
    assert!(moved >= 3, "a dynamic table");
    // And no section headers to find .symtab by.
    object[0x28..0x30].fill(0xff);
    refusal(scratch.file("beyond", object).to_str().expect("a plain path"));
}

/// Whether this place in an object is in its dynamic table, the segment of type 2.
fn is_dynamic(object: &[u8], at: usize) -> bool {
    let word = |at: usize| u64::from_le_bytes(object[at..at + 8].try_into().expect("8 bytes")) as usize;
    let (headers, count) = (word(0x20), usize::from(u16::from_le_bytes([object[0x38], object[0x39]])));
    let mut headers = (0..count).map(|index| headers + 56 * index);
    headers.any(|header| {
        let (start, length) = (word(header + 8), word(header + 0x20));
        object[header..header + 4] == [2, 0, 0, 0] && (start..start + length).contains(&at)
    })
}

#[test]
fn a_broken_object_beside_a_good_allocator_is_named_and_costs_nothing_else() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let malloc = "malloc: ret\n.size malloc, 1\n.set free, .text + 0x10000000";
    let broken = allocator_with(malloc).replacen("free: push %rbp\npop %rbp\nret\n", "", 1);
    let path = library(&scratch, "broken", &broken, &["-nostdlib"]);
    let mut target = ready(&machine);
    order(&mut target, &format!("map {path}"));
    let mut leaktrace = machine.leaktrace(&format!("-v -s exact -p {} --format json -T 10000 60", target.pid()));
    let said = leaktrace.wait_until_said(&format!("the allocator in {path}"));
    assert!(said.contains("free"), "{said}");
    leaktrace.wait_until_said(&format!("probes in process {}", target.pid()));
    order(&mut target, "keep");
    let report = leaktrace.end().last_report();
    assert_eq!(held_below(&report, &["keep"]), (1000, 10));
    assert!(stacks(&report).iter().all(|stack| functions(stack).contains(&"keep")));
}
