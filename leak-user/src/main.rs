//! The `leaktrace` program. What it does is in the library beside this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    leak_user::memory::keep_large_blocks_apart();
    leak_user::cli::main()
}
