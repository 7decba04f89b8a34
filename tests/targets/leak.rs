//! A Rust program that leaks known amounts and keeps its own books.
//!
//! Usage: leak [ROUNDS [PAUSE_US]], and the same talk as leak.c (see books.h).
//!
//! Build: rustc --edition 2024 -O -g -C force-frame-pointers=yes -o leak leak.rs
//!
//! The books are kept by the global allocator (books.rs). A site's blocks are
//! only freed inside the site, so that no block has to remember where it is
//! from. A realloc is an allocation of the new size and a free of the old one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

mod books;
use books::{BOOKS, OUTSIDE};

#[global_allocator]
static COUNTING: books::Counting = books::Counting;

/// Makes the Site constants and their names.
macro_rules! sites {
    ($($name:ident),* $(,)?) => {
        #[expect(non_camel_case_types, reason = "a site bears the name of its function")]
        enum Site { $($name),* }
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        const _: () = assert!(NAMES.len() <= OUTSIDE);
    };
}
sites!(
    vec_site, string_site, box_site, zeroed_site, aligned_site, hashmap_site, rc_cycle_site,
    temporary_site, ring_site, handoff_site,
);

struct Worker {
    id: usize,
    round: usize,
    random: u32,
    map: HashMap<u32, u64>,
    ring: [Option<Box<[u8]>>; 64],
}

impl Worker {
    fn pick(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.random >> 8) as usize % below
    }
}

/// Functions that call one another, outermost first and never as tail calls;
/// the last one but one books for the site, which is the last one.
macro_rules! chain {
    ($outer:ident, $middle:ident, $caller:ident, $site:ident) => {
        #[inline(never)]
        fn $outer(w: &mut Worker) {
            $middle(w);
            black_box(());
        }
        #[inline(never)]
        fn $middle(w: &mut Worker) {
            $caller(w);
            black_box(());
        }
        #[inline(never)]
        fn $caller(w: &mut Worker) {
            books::enter(Site::$site as usize);
            $site(w);
            books::enter(OUTSIDE);
        }
    };
}
chain!(vec_site_outer, vec_site_middle, vec_site_caller, vec_site);
chain!(string_site_outer, string_site_middle, string_site_caller, string_site);
chain!(box_site_outer, box_site_middle, box_site_caller, box_site);
chain!(zeroed_site_outer, zeroed_site_middle, zeroed_site_caller, zeroed_site);
chain!(aligned_site_outer, aligned_site_middle, aligned_site_caller, aligned_site);
chain!(hashmap_site_outer, hashmap_site_middle, hashmap_site_caller, hashmap_site);
chain!(rc_cycle_site_outer, rc_cycle_site_middle, rc_cycle_site_caller, rc_cycle_site);
chain!(temporary_site_outer, temporary_site_middle, temporary_site_caller, temporary_site);
chain!(ring_site_outer, ring_site_middle, ring_site_caller, ring_site);
chain!(handoff_site_outer, handoff_site_middle, handoff_site_caller, handoff_site);

fn keep_or_drop<T>(w: &mut Worker, value: T, drop_one_in: usize) {
    let value = black_box(value);
    if w.pick(drop_one_in) != 0 {
        std::mem::forget(value);
    }
}

/// Used by both threads: two stacks. Growth is by realloc.
#[inline(never)]
fn vec_site(w: &mut Worker) {
    let mut v = Vec::new();
    for n in 0..=w.pick(60) {
        v.push(n as u32);
    }
    keep_or_drop(w, v, 4);
}

#[inline(never)]
fn string_site(w: &mut Worker) {
    let mut s = String::new();
    for _ in 0..w.pick(8) {
        s.push_str("a few words ");
    }
    keep_or_drop(w, s, 4);
}

#[inline(never)]
fn box_site(w: &mut Worker) {
    let block = Box::new([w.round as u64; 12]);
    keep_or_drop(w, block, 3);
}

/// Zeroed memory comes from calloc.
#[inline(never)]
fn zeroed_site(w: &mut Worker) {
    let block = vec![0u8; 1 + w.pick(700)];
    keep_or_drop(w, block, 3);
}

/// Aligned beyond malloc's promise: System does not call malloc for it.
#[repr(align(64))]
struct Lane {
    _cells: [u64; 16],
}

#[inline(never)]
fn aligned_site(w: &mut Worker) {
    let lane = Box::new(Lane { _cells: [w.round as u64; 16] });
    keep_or_drop(w, lane, 2);
}

/// A map that only ever grows.
#[inline(never)]
fn hashmap_site(w: &mut Worker) {
    let key = w.pick(1_000_000) as u32;
    black_box(w.map.insert(key, w.round as u64));
}

struct Node {
    next: RefCell<Option<Rc<Node>>>,
    _pad: [u64; 5],
}

#[inline(never)]
fn rc_cycle_site(w: &mut Worker) {
    let node = || Rc::new(Node { next: RefCell::new(None), _pad: [3; 5] });
    let (first, second) = (node(), node());
    *second.next.borrow_mut() = Some(first.clone());
    if w.pick(3) != 0 {
        *first.next.borrow_mut() = Some(second.clone());
    }
    black_box(&first);
}

#[inline(never)]
fn temporary_site(w: &mut Worker) {
    let mut lines = Vec::new();
    for n in 0..w.pick(6) {
        lines.push("x".repeat(10 * n + 1));
    }
    black_box(&lines);
}

#[inline(never)]
fn ring_site(w: &mut Worker) {
    let block = vec![1u8; 1 + w.pick(2000)].into_boxed_slice();
    let at = w.round % w.ring.len();
    w.ring[at] = Some(black_box(block));
}

/// One thread makes it, the other drops it: each thread fills its own slots
/// and empties the other's.
static SLOTS: [[AtomicPtr<[u64; 20]>; 32]; 2] =
    [const { [const { AtomicPtr::new(null_mut()) }; 32] }; 2];

#[inline(never)]
fn handoff_site(w: &mut Worker) {
    let at = w.round % 32;
    let mine = Box::into_raw(black_box(Box::new([w.round as u64; 20])));
    let unfetched = SLOTS[w.id][at].swap(mine, AcqRel);
    let theirs = SLOTS[1 - w.id][at].swap(null_mut(), AcqRel);
    for taken in [unfetched, theirs] {
        if !taken.is_null() {
            // SAFETY: it came from Box::into_raw, and swap gives it out once.
            drop(unsafe { Box::from_raw(taken) });
        }
    }
}

// ---- the threads ----

#[inline(never)]
fn round_both(w: &mut Worker) {
    vec_site_outer(w);
    temporary_site_outer(w);
    ring_site_outer(w);
    handoff_site_outer(w);
    black_box(());
}

#[inline(never)]
fn round_one(w: &mut Worker) {
    round_both(w);
    string_site_outer(w);
    box_site_outer(w);
    zeroed_site_outer(w);
    black_box(());
}

#[inline(never)]
fn round_two(w: &mut Worker) {
    round_both(w);
    aligned_site_outer(w);
    hashmap_site_outer(w);
    rc_cycle_site_outer(w);
    black_box(());
}

/// The two threads and main meet when all are born, for "go", and at the end.
static TOGETHER: Barrier = Barrier::new(3);

/// Never returns: a thread's end would free its own things.
fn work(id: usize, rounds: usize, pause: Duration, one_round: fn(&mut Worker)) {
    let random = 12345 + id as u32 * 777;
    let map = HashMap::new();
    let mut w = Worker { id, round: 0, random, map, ring: [const { None }; 64] };
    TOGETHER.wait();
    TOGETHER.wait();
    while w.round < rounds {
        one_round(&mut w);
        w.round += 1;
        if w.round % 20 == 0 {
            thread::sleep(pause);
        }
    }
    TOGETHER.wait();
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn main() {
    let number = |at, default| {
        std::env::args().nth(at).map_or(default, |a| a.parse::<u64>().expect("a number"))
    };
    let (rounds, pause) = (number(1, 2000) as usize, Duration::from_micros(number(2, 9000)));
    thread::spawn(move || work(0, rounds, pause, round_one));
    thread::spawn(move || work(1, rounds, pause, round_two));
    TOGETHER.wait();

    // The buffers of both streams come into being before "go" is read.
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut line = String::with_capacity(4096);
    writeln!(output, "ready {}", std::process::id()).expect("stdout");
    output.flush().expect("stdout");
    if input.read_line(&mut line).expect("stdin") == 0 {
        std::process::exit(1);
    }
    let before = BOOKS[OUTSIDE].total_count.load(Relaxed);
    TOGETHER.wait();
    TOGETHER.wait();
    for (name, book) in NAMES.iter().zip(&BOOKS) {
        let [live_bytes, live_count, total_bytes, total_count] =
            [&book.live_bytes, &book.live_count, &book.total_bytes, &book.total_count]
                .map(|n| n.load(Relaxed));
        writeln!(output, "site {name} {live_bytes} {live_count} {total_bytes} {total_count}")
            .expect("stdout");
    }
    assert_eq!(BOOKS[OUTSIDE].total_count.load(Relaxed), before, "allocated outside the sites");
    writeln!(output, "end").expect("stdout");
    output.flush().expect("stdout");
    loop {
        line.clear();
        if input.read_line(&mut line).expect("stdin") == 0 || line.trim_end() == "quit" {
            std::process::exit(0);
        }
    }
}
