//! The books of leak.rs: a global allocator that forwards to System and books
//! every call for the site that the thread is in.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub struct Book {
    pub live_bytes: AtomicU64,
    pub live_count: AtomicU64,
    pub total_bytes: AtomicU64,
    pub total_count: AtomicU64,
}

impl Book {
    const fn new() -> Self {
        Book {
            live_bytes: AtomicU64::new(0),
            live_count: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            total_count: AtomicU64::new(0),
        }
    }

    fn alloc(&self, bytes: usize) {
        self.live_bytes.fetch_add(bytes as u64, Relaxed);
        self.live_count.fetch_add(1, Relaxed);
        self.total_bytes.fetch_add(bytes as u64, Relaxed);
        self.total_count.fetch_add(1, Relaxed);
    }

    fn free(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes as u64, Relaxed);
        self.live_count.fetch_sub(1, Relaxed);
    }
}

/// The last book is for what happens outside all sites.
pub const OUTSIDE: usize = 15;
pub static BOOKS: [Book; OUTSIDE + 1] = [const { Book::new() }; OUTSIDE + 1];

thread_local! {
    // const and without a destructor: reading it never allocates.
    static SITE: Cell<usize> = const { Cell::new(OUTSIDE) };
}

/// From now on this thread's calls go into that book.
pub fn enter(site: usize) {
    SITE.set(site);
}

fn book() -> &'static Book {
    &BOOKS[SITE.get()]
}

pub struct Counting;

// SAFETY: every call is System's own; the books touch no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let p = unsafe { System.alloc(layout) };
        if !p.is_null() {
            book().alloc(layout.size());
        }
        p
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let p = unsafe { System.alloc_zeroed(layout) };
        if !p.is_null() {
            book().alloc(layout.size());
        }
        p
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let p = unsafe { System.realloc(old, layout, size) };
        if !p.is_null() {
            book().free(layout.size());
            book().alloc(size);
        }
        p
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        book().free(layout.size());
        unsafe { System.dealloc(p, layout) }
    }
}
