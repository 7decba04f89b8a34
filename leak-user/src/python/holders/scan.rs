//! What is kept of a heap between scans: how many objects each type has, and the containers with many entries.

use crate::python::{
    containers::{self, Container},
    view::View,
};

/// A heap at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan {
    /// When it was, in seconds since any moment that all scans share.
    pub seconds: f64,
    /// The types that have objects, in order of address.
    pub types: Vec<TypeCount>,
    /// The containers that are worth watching, in order of address.
    pub containers: Vec<Container>,
}

/// How much there is of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeCount {
    /// Address of the type.
    pub address: u64,
    /// Its name, module and all: `app.Session`. It may hold anything.
    pub name: String,
    /// Its objects.
    pub count: u64,
    /// Bytes of those by themselves: with their tables, without what they refer to.
    pub bytes: u64,
}

impl Scan {
    /// Of a heap that was read at this moment.
    pub fn of(view: &View, seconds: f64) -> Self {
        let counts = view.heap().types.iter();
        let mut types: Vec<TypeCount> = counts
            .map(|of| TypeCount {
                address: of.kind.address,
                name: of.kind.name.clone(),
                count: of.count,
                bytes: of.bytes,
            })
            .collect();
        types.sort_unstable_by_key(|kind| kind.address);
        Self { seconds, types, containers: containers::collect(view) }
    }
}
