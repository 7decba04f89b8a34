//! `--metrics ADDR`: figures for a monitoring system, on a page over HTTP.
//!
//! What there is to say is a list of [`Family`] values, made when a page is asked for and from what is known then: of a trace
//! the last [`Report`](crate::report::Report) ([`TraceBoard`]), so that the page and every other form of it agree. They are
//! written as `OpenMetrics` or as the older text format ([`exposition`]) and served by a thread of their own ([`Server`]):
//! who asks takes nothing of the time in which the ring is read. Whatever a traced program calls itself is bounded and
//! inert. It leaves out passwords and encryption: by itself the page is on the loopback address.

mod address;
mod exposition;
mod family;
mod health;
mod label;
mod report;
mod server;
mod trace;

pub use address::Address;
pub use family::{Family, Labels, Unit};
pub(crate) use health::Health;
pub(crate) use label::{function_of, name};
pub use server::{Families, Server};
pub use trace::TraceBoard;
