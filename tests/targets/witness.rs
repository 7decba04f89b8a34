//! What witness.h does, for stacks.rs: records the stack of each allocation while the thread looks, as the compiler's
//! own runtime walks it, and says so in the same words.

use std::cell::Cell;
use std::env;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::ptr::null;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What tells a call by its bytes: four times its number, and this many more.
pub const LEAST_BYTES: usize = 4096;

const CALLS: usize = 4096;
const FRAMES: usize = 127;

#[derive(Clone, Copy)]
struct Call {
    bytes: usize,
    whole: bool,
    depth: usize,
    /// Frames of the recording itself, still to come.
    skip: usize,
    at: [usize; FRAMES],
}

struct Calls {
    count: usize,
    calls: [Call; CALLS],
}

const NO_CALL: Call = Call { bytes: 0, whole: false, depth: 0, skip: 0, at: [0; FRAMES] };
static RECORDED: Mutex<Calls> = Mutex::new(Calls { count: 0, calls: [NO_CALL; CALLS] });
static RECORDS: AtomicBool = AtomicBool::new(false);
static TEXT: [u8; LEAST_BYTES + 4 * CALLS] = [b'x'; LEAST_BYTES + 4 * CALLS];

thread_local! {
    // const and without a destructor: reading them never allocates.
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
    fn _Unwind_Backtrace(frame: extern "C-unwind" fn(*mut c_void, *mut c_void) -> c_int, into: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(frame: *mut c_void, is_exact: *mut c_int) -> usize;
    fn dladdr(address: *const c_void, info: *mut Found) -> c_int;
}

/// `Dl_info` of `<dlfcn.h>`.
#[repr(C)]
struct Found {
    file: *const c_char,
    base: *const c_void,
    symbol: *const c_char,
    symbol_at: *const c_void,
}

/// A debugger stops here: its caller is malloc.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn witness_seen(bytes: usize) {
    black_box(bytes);
}

extern "C-unwind" fn on_frame(frame: *mut c_void, into: *mut c_void) -> c_int {
    // SAFETY: `record` passes its call, which nobody else has meanwhile.
    let call = unsafe { &mut *into.cast::<Call>() };
    let mut is_exact = 0;
    // SAFETY: the runtime's own frame.
    let at = unsafe { _Unwind_GetIPInfo(frame, &raw mut is_exact) };
    if call.skip > 0 {
        call.skip -= 1;
    } else if at == 0 {
        call.whole = call.depth < FRAMES;
    } else if call.depth < FRAMES {
        call.at[call.depth] = at - usize::from(is_exact == 0);
        call.depth += 1;
    }
    0
}

#[inline(never)]
fn record(bytes: usize) {
    let mut recorded = RECORDED.lock().unwrap();
    let count = recorded.count;
    recorded.count += 1;
    let call = &mut recorded.calls[count];
    // This function and malloc are not told.
    (call.bytes, call.skip) = (bytes, 2);
    // SAFETY: `on_frame` gets the call, which outlives the walk.
    unsafe { _Unwind_Backtrace(on_frame, (&raw mut *call).cast()) };
}

/// The program's own, which also the standard library gets.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn malloc(bytes: usize) -> *mut c_void {
    if LOOKS.get() && RECORDS.load(Relaxed) && bytes >= LEAST_BYTES {
        LOOKS.set(false);
        record(bytes);
        witness_seen(bytes);
        LOOKS.set(true);
    }
    // SAFETY: the C library's own malloc.
    unsafe { __libc_malloc(bytes) }
}

/// Who defines only one of the two is no allocator.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: all blocks are the C library's.
    unsafe { __libc_free(block) }
}

/// From now on this thread's allocations are recorded, or are not.
pub fn look(is_looking: bool) {
    LOOKS.set(is_looking);
}

/// So many bytes.
pub fn text(bytes: usize) -> &'static str {
    str::from_utf8(&TEXT[..bytes]).unwrap()
}

/// Random numbers that are the same in every run.
pub fn pick(below: usize) -> usize {
    RANDOM.set(RANDOM.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    (RANDOM.get() >> 33) as usize % below
}

/// Where they begin.
pub fn seed_with(seed: u64) {
    RANDOM.set(seed);
    pick(2);
}

/// Talks as `witness_main` does.
pub fn main(run: fn(seed: u64, calls: u32)) {
    let arguments: Vec<u64> = env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [seed, calls @ 1..=4096] = arguments[..] else { panic!("usage: stacks SEED CALLS (1 to 4096)") };
    println!("ready {}", std::process::id());
    let mut line = [0; 16];
    let heard = stdin().read(&mut line).unwrap();
    RECORDS.store(line[0] != b'g', Relaxed);
    run(seed, calls as u32);
    tell();
    while heard > 0 && stdin().read(&mut line).unwrap() > 0 {}
}

fn tell() {
    let recorded = RECORDED.lock().unwrap();
    let mut said = String::new();
    for call in &recorded.calls[..recorded.count] {
        write!(said, "call {} {}", call.bytes, u8::from(call.whole)).unwrap();
        for &at in &call.at[..call.depth] {
            let mut found = Found { file: null(), base: null(), symbol: null(), symbol_at: null() };
            // SAFETY: it only fills in what it is given.
            let is_found = unsafe { dladdr(null::<c_void>().with_addr(at), &raw mut found) } != 0;
            // SAFETY: the name of an object that is never unloaded.
            let file = if is_found { unsafe { CStr::from_ptr(found.file) }.to_str().unwrap() } else { "nowhere" };
            // Not that of a link, which names it in another way.
            let file = Path::new(file).canonicalize().unwrap_or_default();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            // Programs that are not PIE lie where they are linked to; this is none.
            write!(said, " {name}+{:#x}", at - found.base.addr()).unwrap();
        }
        said.push('\n');
    }
    stdout().write_all((said + "end\n").as_bytes()).unwrap();
}
