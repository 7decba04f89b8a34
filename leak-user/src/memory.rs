//! How the C library keeps leaktrace's own memory: what was freed goes back to the kernel soon, for leaktrace runs beside
//! programs that are short of it.
//!
//! It is only a matter of room: nothing is wrong where the C library has none of this.

/// Blocks of so many bytes are mappings of their own, which go when they are freed. By itself the GNU C library takes
/// ever larger ones from the heap once one of them was freed, and they leave holes there.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 128 << 10;

/// Has large blocks be mappings of their own. Before there are threads.
pub fn keep_large_blocks_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers; an answer of 0 means that nothing has changed.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}

/// Gives back what has been freed, after work that took much for a while.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}
