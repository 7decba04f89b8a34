//! One line on a terminal that says what is being done; nothing elsewhere.

use std::io::{IsTerminal, stderr};

/// Says it in place of what was said before.
pub fn show(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// Takes the line away.
pub fn clear() {
    show("");
}
