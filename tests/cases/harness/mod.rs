//! What every case stands on: programs that are started, heard, and always ended.
//!
//! All begins with a [`Machine`], shared with other tests or had alone to measure speed. What it starts is killed, by
//! id, and reaped when its handle goes out of scope, so also when a test fails. Nothing waits for ever: what does not
//! come within [`PATIENCE`] is a failure that says what was waited for.

mod books;
mod leaktrace;
mod lines;
mod report;
mod running;
mod scratch;
mod target;
mod text;

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::Command,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::sleep,
    time::{Duration, Instant},
};

pub use books::Books;
pub use leaktrace::{Leaktrace, Outcome};
pub use lines::Lines;
pub use report::{called_functions, figure, first_function, functions, number, stacks, whole_share};
pub use running::Running;
pub use scratch::Scratch;
pub use target::Target;
pub use text::CodeText;

/// How long anything may take on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Measuring tests write, the others read.
static TURNS: RwLock<()> = RwLock::new(());

/// The right to start programs.
pub struct Machine {
    _turn: Turn,
}

enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Machine {
    /// For tests that bear others beside them.
    pub fn shared() -> Self {
        // A failed test leaves nothing behind that the next one would have to fear.
        Self { _turn: Turn::Shared { _guard: TURNS.read().unwrap_or_else(PoisonError::into_inner) } }
    }

    /// For tests that measure speed: no other test runs meanwhile.
    pub fn alone() -> Self {
        Self { _turn: Turn::Alone { _guard: TURNS.write().unwrap_or_else(PoisonError::into_inner) } }
    }

    /// Starts one of `tests/targets`, to talk with over its standard streams. Arguments are split at spaces.
    pub fn target(&self, name: &str, arguments: &str) -> Target {
        let mut command = Command::new(target_path(name));
        command.args(arguments.split_whitespace());
        Target::start(self, command)
    }

    /// Starts leaktrace. Arguments are split at spaces.
    pub fn leaktrace(&self, arguments: &str) -> Leaktrace {
        self.leaktrace_with(arguments.split_whitespace())
    }

    /// Starts leaktrace with arguments that may hold spaces.
    pub fn leaktrace_with(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Leaktrace {
        let mut command = Command::new(leaktrace_path());
        command.args(arguments);
        self.leaktrace_by(command)
    }

    /// Starts a command that is, or becomes, leaktrace.
    pub fn leaktrace_by(&self, command: Command) -> Leaktrace {
        Leaktrace::start(self, command)
    }

    /// Has leaktrace trace every allocation of a process; returns when its probes are in place. It runs with `-v`.
    pub fn attach(&self, pid: u32, arguments: &str) -> Leaktrace {
        self.attach_as_is(pid, &format!("-s exact --budget off {arguments}"))
    }

    /// Has leaktrace attach to a process with these arguments alone; returns when its probes are in place. It runs with
    /// `-v`.
    pub fn attach_as_is(&self, pid: u32, arguments: &str) -> Leaktrace {
        let mut leaktrace = self.leaktrace(&format!("-v -p {pid} {arguments}"));
        leaktrace.wait_until_said(&format!("probes in process {pid}"));
        leaktrace
    }

    /// Starts any other program.
    #[expect(clippy::unused_self, reason = "who has a machine may start programs")]
    pub fn program(&self, command: &mut Command) -> Running {
        Running::start(command)
    }
}

/// Whether the long versions are asked for.
pub fn is_full() -> bool {
    env::var_os("LEAKTRACE_FULL").is_some_and(|value| value == "1")
}

/// The leaktrace to test.
pub fn leaktrace_path() -> PathBuf {
    from_environment("LEAKTRACE_BIN", "target/release/leaktrace")
}

/// One of the compiled `tests/targets`.
pub fn target_path(name: &str) -> PathBuf {
    from_environment("LEAKTRACE_TARGETS", "target/targets").join(name)
}

/// A Python that has the packages that read exports.
pub fn python_path() -> PathBuf {
    from_environment("LEAKTRACE_PYTHON", "target/python/bin/python3")
}

/// The folder of exported sessions.
pub fn exports_path() -> PathBuf {
    from_environment("LEAKTRACE_EXPORTS", "target/exports")
}

/// The folder of pages of made-up sessions.
pub fn pages_path() -> PathBuf {
    from_environment("LEAKTRACE_PAGES", "target/pages")
}

/// What `cargo xtask dist` made.
pub fn dist_path() -> PathBuf {
    from_environment("LEAKTRACE_DIST", "target/dist")
}

/// The folder of a clean Debian's disk and kernel.
pub fn clean_debian_path() -> PathBuf {
    from_environment("LEAKTRACE_CLEAN_DEBIAN", "target/clean-debian")
}

fn from_environment(variable: &str, else_in_repository: &str) -> PathBuf {
    let path = env::var_os(variable).map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(else_in_repository),
        PathBuf::from,
    );
    assert!(path.exists(), "there is no {}; `cargo xtask test` makes it", path.display());
    path
}

/// Waits until something has come about.
pub fn wait_until(what: &str, mut has_come: impl FnMut() -> bool) {
    let began = Instant::now();
    while !has_come() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(10));
    }
}
