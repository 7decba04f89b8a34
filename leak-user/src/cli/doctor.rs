//! `leaktrace doctor`: what this kernel and this user can do, and what to change.

use anyhow::{Result, bail};

use crate::doctor::{self, State};

/// Checks, and prints a line for each check. Fails when nothing can be traced.
pub fn doctor() -> Result<()> {
    let checks = doctor::examine();
    for check in &checks {
        let mark = match check.state {
            State::Good => "ok  ",
            State::Poor => "poor",
            State::Bad => "BAD ",
        };
        println!("{mark}  {:<14}  {}", check.what, check.found);
        if let Some(advice) = &check.advice {
            println!("      {:<14}  -> {advice}", "");
        }
    }
    match checks.iter().filter(|check| check.state == State::Bad).count() {
        0 => Ok(()),
        _ => bail!("this user cannot trace anything on this machine yet; the lines marked BAD say what to change"),
    }
}
