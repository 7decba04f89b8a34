//! What `watch`, `sample` and `history` are told alike: how sessions are made, and where and how many of them are kept.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::args::{Budget, budget};
use crate::{
    look::{Manner, Shelf},
    units::{parse_duration, parse_size},
};

/// Where sessions are.
#[derive(Args, Debug)]
pub struct Directory {
    /// The directory that sessions are kept in
    #[arg(long = "directory", value_name = "DIR", default_value = "/var/lib/leaktrace")]
    pub path: PathBuf,
}

/// How looks are made and what stays of them.
#[derive(Args, Debug)]
pub struct Kept {
    /// Share of its CPU time that tracing may take, in per cent, or off
    #[arg(long, value_name = "PCT", default_value = "5", value_parser = budget)]
    budget: Budget,
    #[command(flatten)]
    directory: Directory,
    /// Remove sessions that are older
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration)]
    keep_for: Duration,
    /// Remove the oldest sessions when all of them take more room
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_size)]
    keep_size: u64,
}

impl Kept {
    /// How a process is looked at for so long.
    pub fn manner(&self, time: Duration, fail_on: Vec<String>) -> Manner {
        Manner { time, budget: self.budget.to_string(), fail_on }
    }

    /// Where its session goes.
    pub fn shelf(&self) -> Shelf {
        Shelf { directory: self.directory.path.clone(), keep_for: self.keep_for, keep_bytes: self.keep_size }
    }
}
