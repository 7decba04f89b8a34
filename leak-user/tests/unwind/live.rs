//! Walks of this very process, by table alone, against the C++ runtime's own walk of the same stack.
//!
//! The chains lead through Rust without frame pointers, C that realigns its stack, the C library (sort, thread start,
//! signal return) and the loader's part of starting a thread, down to the bottom.

use std::{
    arch::asm,
    cell::RefCell,
    collections::HashMap,
    ffi::{CString, c_int, c_void},
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use leak_ebpf::frame::{Registers, Step, step};
use leak_user::unwind::{self, Rules, Table};

use crate::samples;

/// A walk, innermost first, and whether it came to the bottom.
#[derive(Debug, PartialEq, Eq)]
struct Walk {
    ips: Vec<u64>,
    at_bottom: bool,
}

/// The code that this process maps, and its tables.
struct Modules {
    rules: Rules,
    /// First and last address of code, address of the module's base, place of its table.
    code: Vec<(u64, u64, u64, usize)>,
    tables: Vec<Table>,
}

impl Modules {
    fn read() -> Self {
        let mut modules = Self { rules: Rules::new(), code: vec![], tables: vec![] };
        let mut bases: HashMap<String, (u64, Option<usize>)> = HashMap::new();
        for line in fs::read_to_string("/proc/self/maps").expect("maps").lines() {
            let mut words = line.split_whitespace();
            let (start, end) = words.next().and_then(|range| range.split_once('-')).expect("a range");
            let parse = |text| u64::from_str_radix(text, 16).expect("an address");
            let (start, end) = (parse(start), parse(end));
            let is_code = words.next().is_some_and(|permissions| permissions.contains('x'));
            let Some(name) = words.nth(3) else { continue };
            let (base, table) = bases.entry(name.to_owned()).or_insert((start, None));
            if is_code && table.is_none() {
                let data = if name == "[vdso]" { samples::vdso() } else { fs::read(name).ok() };
                if let Some(compiled) = data.and_then(|data| unwind::compile(&data).ok()) {
                    *table = Some(modules.tables.len());
                    modules.tables.push(compiled.publish(&mut modules.rules));
                }
            }
            if let Some(table) = *table
                && is_code
            {
                modules.code.push((start, end, *base, table));
            }
        }
        modules
    }

    fn walk(&self, mut at: Registers) -> Walk {
        let memory = File::open("/proc/self/mem").expect("memory");
        let read = |addr: u64| {
            let mut word = [0; 8];
            memory.read_exact_at(&mut word, addr).ok().map(|()| u64::from_ne_bytes(word))
        };
        let mut ips = vec![];
        let mut exact = true;
        while ips.len() < 200 {
            ips.push(at.ip);
            let ip = if exact { at.ip } else { at.ip - 1 };
            let found = self.code.iter().find(|(start, end, ..)| (*start..*end).contains(&ip));
            let Some((.., base, table)) = found else { break };
            let Some(index) = self.tables[*table].rule_at((ip - base) as u32) else { break };
            (at, exact) = match step(self.rules.all()[usize::from(index)], at, read) {
                Step::Up(up) => (up, false),
                Step::Interrupted(up) => (up, true),
                Step::Bottom => return Walk { ips, at_bottom: true },
                Step::Lost(_) => break,
            };
        }
        Walk { ips, at_bottom: false }
    }
}

mod runtime {
    //! The C++ runtime's unwinder, which Rust links for panics.

    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn _Unwind_Backtrace(trace: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
        fn _Unwind_GetIP(context: *mut c_void) -> usize;
    }

    extern "C" fn note(context: *mut c_void, ips: *mut c_void) -> c_int {
        // SAFETY: the runtime calls this with its context, and with the argument that `walk` gave it.
        unsafe { (*ips.cast::<Vec<u64>>()).push(_Unwind_GetIP(context) as u64) };
        0
    }

    /// The addresses from the caller of this function outwards.
    #[inline(never)]
    pub fn walk() -> Vec<u64> {
        let mut ips: Vec<u64> = vec![];
        // SAFETY: the vector lives as long as the call.
        unsafe { _Unwind_Backtrace(note, (&raw mut ips).cast()) };
        ips
    }
}

thread_local! {
    static WALKS: RefCell<Option<(Walk, Vec<u64>)>> = const { RefCell::new(None) };

    /// As they are when the thread first walks.
    static MODULES: Modules = Modules::read();
}

/// Walks the stack from here both ways; a plain C function, for all sorts of code to call.
#[inline(never)]
extern "C" fn walk_both_ways() {
    let mut at = Registers::default();
    // SAFETY: reads registers only. All in one place, so that one rule holds for them all.
    unsafe {
        asm!(
            "lea {ip}, [rip]",
            "mov {sp}, rsp",
            "mov {bp}, rbp",
            "mov {bx}, rbx",
            ip = out(reg) at.ip,
            sp = out(reg) at.sp,
            bp = out(reg) at.bp,
            bx = out(reg) at.bx,
            options(nostack, nomem),
        );
    }
    let ours = MODULES.with(|modules| modules.walk(black_box(at)));
    let theirs = runtime::walk();
    WALKS.with(|walks| *walks.borrow_mut() = Some((ours, theirs)));
}

/// Compares the walks that a call of this leaves behind; gives their depth.
fn compare(call: impl FnOnce()) -> usize {
    WALKS.with(|walks| walks.borrow_mut().take());
    call();
    let (ours, theirs) = WALKS.with(|walks| walks.borrow_mut().take()).expect("the chain has reached its end");
    assert!(ours.at_bottom, "{ours:x?}\n{theirs:x?}");
    // The innermost is this function's caller, at different instructions. Theirs begins inside their own `walk` and
    // ends with the address of the bottom's caller, which is none.
    let end = theirs.iter().position(|ip| *ip == 0).unwrap_or(theirs.len());
    let common = theirs[..end].iter().rev().zip(ours.ips.iter().rev()).take_while(|(a, b)| a == b).count();
    assert_eq!(common, ours.ips.len() - 1, "{ours:x?}\n{theirs:x?}");
    common
}

#[inline(never)]
fn chain(depth: u64, call: &mut dyn FnMut()) {
    let saved = black_box([depth; 5]);
    if depth == 0 {
        call();
    } else {
        chain(depth - 1, call);
    }
    black_box(saved);
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Aligned([u64; 8]);

/// A stack frame at a multiple of 64, which LLVM finds back by `rbp`.
#[inline(never)]
fn realigned(call: &mut dyn FnMut()) {
    let saved = black_box(Aligned([3; 8]));
    call();
    assert_eq!(black_box(saved).0, [3; 8]);
}

extern "C" fn compare_ints(_: *const c_void, _: *const c_void) -> c_int {
    walk_both_ways();
    0
}

extern "C" fn on_signal(_: c_int) {
    walk_both_ways();
}

/// C as GCC compiles it without frame pointers, in a library of its own.
fn c_library() -> PathBuf {
    const SOURCE: &str = r"
        #include <alloca.h>
        #include <string.h>
        typedef void call(void);
        /* A frame at a multiple of 64 and of a size known only at run time: GCC finds the CFA through memory. */
        __attribute__((noinline)) int realigned(call *call, int size) {
            _Alignas(64) volatile char kept[64];
            char *more = alloca(size);
            memset(more, 1, size);
            kept[0] = more[size - 1];
            call();
            return kept[0] + more[0];
        }
        __attribute__((noinline)) int plain(call *call, int size) {
            volatile long kept[9] = { size };
            return realigned(call, size + 5) + kept[0];
        }
        int outer(call *call, int size) {
            volatile char kept[3000];
            kept[size] = 1;
            return plain(call, size * 3) + kept[size];
        }
    ";
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = directory.join("unwind_live.c");
    let library = directory.join("unwind_live.so");
    fs::write(&source, SOURCE).expect("the source can be written");
    let flags = ["-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-o"];
    let status = Command::new("cc").args(flags).args([&library, &source]).status().expect("cc runs");
    assert!(status.success());
    library
}

/// The C library's `outer`.
fn load(library: &Path) -> extern "C" fn(extern "C" fn(), c_int) -> c_int {
    let path = CString::new(library.as_os_str().as_encoded_bytes()).expect("a path");
    // SAFETY: the library is our own, without constructors, and stays loaded; the symbol has this type.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        let symbol = libc::dlsym(handle, c"outer".as_ptr());
        assert!(!symbol.is_null());
        std::mem::transmute(symbol)
    }
}

#[test]
fn a_walk_by_table_is_the_runtimes_own_down_to_the_bottom() {
    let outer = load(&c_library());
    thread::spawn(move || {
        let mut depths = vec![];
        depths.push(compare(|| walk_both_ways()));
        depths.push(compare(|| chain(20, &mut || walk_both_ways())));
        depths.push(compare(|| chain(3, &mut || realigned(&mut || walk_both_ways()))));
        depths.push(compare(|| assert!(outer(walk_both_ways, 40) > 0)));
        depths.push(compare(|| {
            let mut numbers = [1, 2];
            // SAFETY: two ints, and a comparison of ints.
            unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 2, 4, Some(compare_ints)) };
        }));
        println!("depths: {depths:?}");
        assert!(depths[1] >= depths[0] + 20, "{depths:?}");
        assert!(depths[3] >= depths[0] + 3, "{depths:?}");
    })
    .join()
    .expect("the walks agree");
}

#[test]
fn a_walk_from_a_signal_handler_goes_on_where_the_signal_came() {
    thread::spawn(|| {
        let mut alternate = vec![0_u8; 1 << 18];
        // SAFETY: the handler's stack lives until the signal has been handled; the handler only walks.
        unsafe {
            let stack = libc::stack_t { ss_sp: alternate.as_mut_ptr().cast(), ss_flags: 0, ss_size: alternate.len() };
            assert_eq!(libc::sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            for flags in [0, libc::SA_ONSTACK] {
                action.sa_flags = flags;
                assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
                let depth = compare(|| chain(5, &mut || assert_eq!(libc::raise(libc::SIGUSR2), 0)));
                assert!(depth > 10, "{depth}");
            }
            let none = libc::stack_t { ss_flags: libc::SS_DISABLE, ..stack };
            libc::sigaltstack(&raw const none, std::ptr::null_mut());
        }
    })
    .join()
    .expect("the walks agree");
}
