//! Tracers of others, as their users start them on a running process. What they print is thrown away.
//!
//! One that is missing or does not start makes one sentence with the reason, for the table: the run goes on without it.

mod bpftrace;
mod heaptrack;
mod memleak;
mod peer;

pub use bpftrace::bpftrace;
pub use heaptrack::heaptrack;
pub use memleak::memleak;
pub use peer::Peer;
