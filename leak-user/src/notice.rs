//! What leaktrace says beside its reports: on standard error, one line each, never on standard output.

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// Only errors (`-q`).
    Quiet,
    /// What a person must know.
    Normal,
    /// Also what was found and done (`-v`).
    Verbose,
}

/// What the kernel's programs log, through aya-log, is a detail.
impl log::Log for Notices {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        *self == Self::Verbose
    }

    fn log(&self, record: &log::Record<'_>) {
        self.detail(&format!("kernel side: {}", record.args()));
    }

    fn flush(&self) {}
}

impl Notices {
    /// Says what a person must know to read the reports right.
    pub fn say(self, text: &str) {
        if self != Self::Quiet {
            eprintln!("leaktrace: {text}");
        }
    }

    /// Says what helps to find out why something is as it is.
    pub fn detail(self, text: &str) {
        if self == Self::Verbose {
            eprintln!("leaktrace: {text}");
        }
    }
}
