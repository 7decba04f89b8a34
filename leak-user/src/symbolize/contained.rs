//! Lookups that may panic, and must not take leaktrace along.
//!
//! blazesym believes some of what debug information says and panics where that is a lie; whoever is traced writes it.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// What `lookup` gives, or nothing if it panics, which is not said on standard error. What it has worked on is then not
/// to be used any more.
pub fn contained<T>(lookup: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_CONTAINED.get() {
                usual(panic);
            }
        }));
    });
    IS_CONTAINED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(lookup)).ok();
    IS_CONTAINED.set(false);
    result
}
