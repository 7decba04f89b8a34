//! The kernel side, driven from here: load the programs, place and attach probes, read what comes up.
//!
//! Only this module talks to the kernel about BPF. It sends down settings and probes, and gives up
//! [`Record`](leak_ebpf::Record)s and counts; what they mean is the ledger's business.

pub mod attach;
mod bell;
mod bpf_call;
pub mod calibrate;
pub mod counts;
pub mod generations;
pub mod hits;
pub mod kernel_types;
pub mod known;
pub mod load;
pub mod multi;
pub mod place;
pub mod privilege;
pub mod ring;
mod ring_memory;
pub mod tables;
mod watched;
