//! What compiling unwind tables takes: of the largest program here that anyone would unwind, a Rust compiler.
//!
//! Alone in its process, for the counting of memory to be of this alone.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use leak_user::unwind::{self, Rules, cache::Cache};

/// Counts the bytes that are out, and the most that ever were.
struct Counting;

static OUT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is done by the system's allocator; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(OUT.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        OUT.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The library that is the compiler, of the toolchain that built this.
fn compiler() -> PathBuf {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let libraries = PathBuf::from(String::from_utf8(sysroot).expect("a path").trim()).join("lib");
    let is_compiler =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("rustc_driver"));
    fs::read_dir(libraries)
        .expect("libraries")
        .map(|entry| entry.expect("an entry").path())
        .find(is_compiler)
        .expect("the compiler")
}

#[test]
fn a_table_takes_eight_bytes_a_row_and_compiling_it_little_more() {
    let path = std::env::var_os("LEAKTRACE_UNWIND_SAMPLE").map_or_else(compiler, PathBuf::from);
    let data = fs::read(&path).expect("the compiler can be read");
    let before = OUT.load(Relaxed);
    PEAK.store(before, Relaxed);
    let began = Instant::now();
    let compiled = unwind::compile(&data).expect("it compiles");
    let took = began.elapsed();
    let peak = PEAK.load(Relaxed) - before;
    let mut rules = Rules::new();
    let local = compiled.rules.len();
    let began = Instant::now();
    let table = compiled.publish(&mut rules);
    let published = began.elapsed();
    println!(
        "{}: {took:.1?} and {:.1} MiB at most for {} rows ({:.1} MiB) of {local} rules; published in {published:.1?}; {:?}",
        path.display(),
        peak as f64 / f64::from(1 << 20),
        table.rows.len(),
        (table.rows.len() * 8) as f64 / f64::from(1 << 20),
        table.stats
    );
    assert!(table.rows.len() > 100_000);
    assert!(peak < 100 << 20, "{peak} bytes at most");
    assert!(OUT.load(Relaxed) - before < table.rows.len() * 8 + (1 << 20), "{} bytes kept", OUT.load(Relaxed) - before);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unwind-cache");
    let _ = fs::remove_dir_all(&directory);
    let cache = Cache::open(&directory).expect("a cache");
    let stored = cache.compile(&data).expect("it compiles");
    let began = Instant::now();
    let loaded = cache.compile(&data).expect("it is there");
    println!("from the cache in {:.1?}", began.elapsed());
    assert!(loaded == stored);
    fs::remove_dir_all(&directory).expect("the cache is ours");
}
