//! Contenders on processes of their own that do the same work, in turns.
//!
//! All stay attached while the processes take turns: whatever else the machine does meets all of them alike. One round
//! is a turn each, and nothing is compared but turns of one round. A process can be some percent faster or slower than the
//! next for seconds on end, so there are several heats, each with processes of its own.

use std::{ffi::OsStr, fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    contender::{Attachment, Contender, Site, Tracing},
    probes::library_of,
    progress,
    scratch::Scratch,
    series::Series,
    setup::Setup,
    table::{Bar, Row, Table},
    workloads::{Subject, Workload},
};

/// A comparison to be made.
pub struct Race<'a> {
    /// What is measured.
    pub title: String,
    /// Of what: `ns a pair`.
    pub unit: &'static str,
    /// How often all of them start anew.
    pub heats: usize,
    /// Turns of each in a heat.
    pub rounds: usize,
    /// Whom the others are compared with, a column each.
    pub bases: &'a [Contender],
    /// What is demanded.
    pub bars: &'a [Bar],
}

/// A contender on its process. The process goes first: some tracers end with it.
struct Runner {
    subject: Box<dyn Subject>,
    tracing: Box<dyn Tracing>,
    _library: Scratch,
}

/// A contender's part in the race.
struct Lane {
    row: Row,
    runner: Option<Runner>,
}

impl Lane {
    fn of(contender: Contender) -> Self {
        Self { row: Row { contender, series: Some(Series::default()), remark: None }, runner: None }
    }

    /// Out of the race, with all that was measured.
    fn give_up(&mut self, reason: String) {
        self.row.series = None;
        self.row.remark = Some(reason);
        self.runner = None;
    }
}

impl Race<'_> {
    /// Runs it.
    pub fn run(&self, setup: &Setup, workload: &dyn Workload) -> Result<Table> {
        let library = Library::of(workload)?;
        let mut lanes = Contender::ALL.map(Lane::of);
        for heat in 0..self.heats {
            for lane in lanes.iter_mut().filter(|lane| lane.row.series.is_some()) {
                let contender = lane.row.contender;
                progress::show(&format!("heat {} of {}: attaching {}", heat + 1, self.heats, contender.short()));
                enter(lane, setup, workload, &library)
                    .with_context(|| format!("{} cannot be measured", contender.short()))?;
            }
            // A round that counts for nobody: caches, tables and a tracer's own settings come to rest.
            turn_each(lanes.iter_mut(), |_, _| {})?;
            for round in 0..self.rounds {
                // To and fro, so that nobody always comes behind the same other: a tracer may work on after its turn.
                if round % 2 == 0 {
                    turn_each(lanes.iter_mut(), Series::add)?;
                } else {
                    turn_each(lanes.iter_mut().rev(), Series::add)?;
                }
                let (heat, round) = (heat + 1, round + 1);
                progress::show(&format!("heat {heat} of {}: round {round} of {}", self.heats, self.rounds));
            }
            lanes.iter_mut().try_for_each(leave)?;
        }
        progress::clear();
        let rows = lanes.into_iter().map(|lane| lane.row).collect();
        Ok(Table::new(self.title.clone(), self.unit, self.bases.to_vec(), self.bars, rows))
    }
}

/// The library with the allocator.
struct Library {
    begins: &'static str,
    path: PathBuf,
}

impl Library {
    fn of(workload: &dyn Workload) -> Result<Self> {
        let (subject, begins) = (workload.start(None)?, workload.allocator());
        Ok(Self { begins, path: library_of(subject.pid(), begins)?.path })
    }
}

/// Puts a contender on a process of its own, which maps a copy of the library of its own: on a hit in one that all map,
/// the kernel asks the probes of all, and a probe on the returns of one process traps those of each.
fn enter(lane: &mut Lane, setup: &Setup, workload: &dyn Workload, library: &Library) -> Result<()> {
    let copy = Scratch::make()?;
    let file = copy.path().join(library.path.file_name().unwrap_or(OsStr::new(library.begins)));
    fs::copy(&library.path, &file).with_context(|| format!("{} cannot be copied", library.path.display()))?;
    let subject = workload.start(Some(copy.path()))?;
    let site = Site { pid: subject.pid(), allocator: library.begins, file: &file };
    match lane.row.contender.attach(setup, &site)? {
        Attachment::Tracing(tracing) => lane.runner = Some(Runner { subject, tracing, _library: copy }),
        Attachment::Absent(reason) => lane.give_up(reason),
    }
    Ok(())
}

/// Gives each a turn, and its measurement to `record`. A peer that breaks its process is out.
fn turn_each<'a>(lanes: impl Iterator<Item = &'a mut Lane>, record: fn(&mut Series, f64)) -> Result<()> {
    for lane in lanes {
        let (Some(runner), Some(series)) = (&mut lane.runner, &mut lane.row.series) else { continue };
        match runner.subject.turn() {
            Ok(measured) => record(series, measured),
            Err(error) if lane.row.contender.is_peer() => lane.give_up(format!("failed under way: {error:#}")),
            Err(error) => return Err(error).with_context(|| format!("under {}", lane.row.contender.short())),
        }
    }
    Ok(())
}

/// Ends a heat.
fn leave(lane: &mut Lane) -> Result<()> {
    if let Some(Runner { subject, tracing, _library }) = lane.runner.take() {
        // Peers end with their target, the others while it lives.
        if !lane.row.contender.is_peer() {
            lane.row.remark = tracing.finish()?;
        }
        drop(subject);
    }
    Ok(())
}
