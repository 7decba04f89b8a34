//! How many files leaktrace may have open. Each process under trace takes several, and shells allow 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as it may be. Programs started before keep theirs.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, what does not fit is refused with a word on it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
