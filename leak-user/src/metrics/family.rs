//! Figures with names, as both forms of the page have them.

use std::collections::HashSet;

/// What is told of one thing, for whatever has it.
#[derive(Clone, Debug)]
pub struct Family {
    /// With its unit and without what the form adds, such as `_total`.
    pub name: &'static str,
    /// What it is, in words without a full stop.
    pub help: &'static str,
    /// How it changes.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    samples: Vec<(Labels, Value)>,
    told: HashSet<Labels>,
}

/// How a figure changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Up and down.
    Gauge,
    /// Up only.
    Counter,
    /// Not at all: the labels tell.
    Info,
}

/// What a figure is measured in, always without a prefix. The name of its family ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    None,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// A share, 0 to 1.
    Ratio,
}

impl Unit {
    /// Its name; none of a number of things.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Bytes => Some("bytes"),
            Self::Seconds => Some("seconds"),
            Self::Ratio => Some("ratio"),
        }
    }
}

/// What tells one figure of a family from the others.
pub type Labels = Vec<(&'static str, String)>;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole one, exactly.
    Whole(u64),
    /// Any other.
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Family {
    /// What goes up and down, of nothing yet.
    pub fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, unit, samples: Vec::new(), told: HashSet::new() }
    }

    /// What only goes up, of nothing yet.
    pub fn counter(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { kind: Kind::Counter, ..Self::gauge(name, unit, help) }
    }

    /// What its labels tell, of nothing yet.
    pub fn info(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Info, ..Self::gauge(name, Unit::None, help) }
    }

    /// With the figure of what has these labels. A second one for the same labels is left out: it would make the whole page
    /// void.
    #[must_use]
    pub fn with(mut self, labels: &Labels, value: impl Into<Value>) -> Self {
        self.push(labels, value);
        self
    }

    /// With the only figure.
    #[must_use]
    pub fn of(self, value: impl Into<Value>) -> Self {
        self.with(&Labels::new(), value)
    }

    /// With the only figure, if it is known.
    #[must_use]
    pub fn of_known(self, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.of(value),
            None => self,
        }
    }

    /// As [`Self::with`].
    pub fn push(&mut self, labels: &Labels, value: impl Into<Value>) {
        if self.told.insert(labels.clone()) {
            self.samples.push((labels.clone(), value.into()));
        }
    }

    /// Its figures.
    pub fn samples(&self) -> &[(Labels, Value)] {
        &self.samples
    }
}
