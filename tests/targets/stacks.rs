//! Allocates from as many stacks as it is told, each a random path through the kinds of calls that Rust has, and says
//! what each stack was.
//!
//! Usage: stacks SEED CALLS, and the same talk as stacks.c (see witness.h; the recording is witness.rs).
//!
//! Build: rustc --edition 2024 -O -g -o stacks stacks.rs

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

mod witness;
use witness::{LEAST_BYTES, pick, seed_with};

const STEPS_LEAST: u32 = 3;
const STEPS_MOST: u32 = 30;

type Step = fn();

thread_local! {
    static STEPS_LEFT: Cell<u32> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Calls the next step of the path. What follows keeps it from being a tail call.
#[inline(always)]
fn onward() {
    next()();
    black_box(());
}

fn next() -> Step {
    let left = STEPS_LEFT.get();
    if left == 0 {
        return allocate;
    }
    STEPS_LEFT.set(left - 1);
    STEPS[pick(STEPS.len())]
}

// ---- the ends of paths; what they make is never given back ----

#[inline(never)]
fn end_vec() {
    std::mem::forget(black_box(Vec::<u8>::with_capacity(BYTES.get())));
}

#[inline(never)]
fn end_boxed_slice() {
    std::mem::forget(black_box(vec![1_u8; BYTES.get()].into_boxed_slice()));
}

#[inline(never)]
fn end_string_grown() {
    let mut text = String::new();
    text.push_str(witness::text(BYTES.get()));
    std::mem::forget(black_box(text));
}

#[inline(never)]
fn end_vec_reserved() {
    let mut words: Vec<u32> = black_box(Vec::new());
    words.reserve_exact(BYTES.get() / 4);
    std::mem::forget(black_box(words));
}

#[inline(never)]
fn end_collected() {
    std::mem::forget(black_box((0..BYTES.get() as u32 / 4).map(black_box).collect::<Vec<u32>>()));
}

#[inline(never)]
fn allocate() {
    const ENDS: [Step; 5] = [end_vec, end_boxed_slice, end_string_grown, end_vec_reserved, end_collected];
    let end = ENDS[pick(ENDS.len())];
    witness::look(true);
    end();
    witness::look(false);
}

// ---- functions, closures and traits ----

#[inline(never)]
fn step_plain() {
    onward();
}

#[inline(never)]
fn step_with_room() {
    let room = black_box([1_u8; 3000]);
    onward();
    black_box(&room);
}

/// Too large for a frame that is made in one go.
#[inline(never)]
fn step_with_pages() {
    let room = black_box([1_u8; 20_000]);
    onward();
    black_box(&room);
}

#[repr(align(64))]
struct Aligned([u8; 64]);

#[inline(never)]
fn step_aligned() {
    let room = black_box(Aligned([1; 64]));
    onward();
    black_box(&room.0);
}

#[inline(never)]
fn generic<const ROOM: usize, T: Default>() -> T {
    let room = black_box([0_u16; ROOM]);
    onward();
    black_box(&room);
    T::default()
}

fn step_generic() {
    black_box(generic::<8, u8>());
}

fn step_other_generic() {
    black_box(generic::<700, String>());
}

trait Go {
    fn go(&self) -> u32;
}

struct Left(u32);
struct Right(Box<dyn Go>);

impl Go for Left {
    #[inline(never)]
    fn go(&self) -> u32 {
        onward();
        self.0
    }
}

impl Go for Right {
    #[inline(never)]
    fn go(&self) -> u32 {
        self.0.go() + 1
    }
}

#[inline(never)]
fn step_trait() {
    let go: Box<dyn Go> = if pick(2) == 0 { Box::new(Left(1)) } else { Box::new(Right(Box::new(Left(2)))) };
    black_box(black_box(go).go());
}

#[inline(never)]
fn call(closure: &dyn Fn(u32) -> u32) -> u32 {
    closure(black_box(1)) + 1
}

#[inline(never)]
fn step_closure() {
    let kept = black_box(5);
    black_box(call(&|given| {
        onward();
        given + kept
    }));
}

// ---- called back by the standard library ----

#[inline(never)]
fn step_sorted() {
    let mut values: [u32; 30] = black_box(std::array::from_fn(|value| 30 - value as u32));
    let is_first = Cell::new(true);
    values.sort_unstable_by(|one, other| {
        if is_first.replace(false) {
            onward();
        }
        one.cmp(other)
    });
    black_box(values);
}

#[inline(never)]
fn step_folded() {
    let sum = (0..black_box(3)).fold(0, |sum, value| {
        if value == 1 {
            onward();
        }
        sum + value
    });
    black_box(sum);
}

#[inline(never)]
fn step_mapped() {
    let mut map: BTreeMap<u32, u32> = black_box((0..3).map(|key| (key, key)).collect());
    map.retain(|key, _| {
        if *key == 1 {
            onward();
        }
        *key != 1
    });
    black_box(map);
}

#[inline(never)]
fn step_dropped() {
    struct OnDrop(Rc<u32>);
    impl Drop for OnDrop {
        #[inline(never)]
        fn drop(&mut self) {
            onward();
            black_box(&self.0);
        }
    }
    drop(black_box(OnDrop(Rc::new(1))));
}

// ---- unwinding ----

#[inline(never)]
fn step_guarded() {
    black_box(catch_unwind(AssertUnwindSafe(|| onward())).is_ok());
}

#[inline(never)]
fn step_unwound() {
    struct OnUnwind;
    impl Drop for OnUnwind {
        fn drop(&mut self) {
            onward();
        }
    }
    let caught = catch_unwind(|| {
        let _on_unwind = OnUnwind;
        // As a panic, but without its message.
        resume_unwind(Box::new(black_box(1)))
    });
    let caught: Result<(), _> = caught;
    black_box(caught.is_err());
}

const STEPS: [Step; 15] = [
    step_plain, step_with_room, step_with_pages, step_aligned, step_generic, step_other_generic, step_trait,
    step_closure, step_sorted, step_folded, step_mapped, step_dropped, step_guarded, step_unwound, step_plain,
];

#[inline(never)]
fn walk(seed: u64, number: u32) {
    seed_with(seed * 1_000_003 + u64::from(number));
    BYTES.set(LEAST_BYTES + 4 * number as usize);
    STEPS_LEFT.set(STEPS_LEAST + pick((STEPS_MOST - STEPS_LEAST + 1) as usize) as u32);
    onward();
}

fn main() {
    witness::main(|seed, calls| {
        (0..calls).filter(|number| number % 4 != 3).for_each(|number| walk(seed, number));
        let others = move || (0..calls).filter(|number| number % 4 == 3).for_each(|number| walk(seed, number));
        thread::Builder::new().name("second".to_owned()).spawn(others).unwrap().join().unwrap();
    });
}
