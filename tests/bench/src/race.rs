//! Contenders on processes of their own that do the same work, in turns.
//!
//! All stay attached while the processes take turns: whatever else the machine does meets all of them alike. One round
//! is a turn each, and nothing is compared but turns of one round.

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
    /// Turns of each.
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
    series: Series,
    _library: Scratch,
}

/// What has become of a contender.
enum Standing {
    Running(Runner),
    Absent(String),
}

impl Race<'_> {
    /// Runs it.
    pub fn run(&self, setup: &Setup, workload: &dyn Workload) -> Result<Table> {
        let library = Library::of(workload)?;
        let mut field = Vec::new();
        for contender in Contender::ALL {
            progress::show(&format!("attaching {}", contender.short()));
            let standing = enter(contender, setup, workload, &library)
                .with_context(|| format!("{} cannot be measured", contender.short()))?;
            field.push((contender, standing));
        }
        // A round that counts for nobody: caches, tables and a tracer's own settings come to rest.
        turn_each(field.iter_mut(), |_, _| {})?;
        for round in 0..self.rounds {
            // To and fro, so that nobody always comes behind the same other: a tracer may work on after its turn.
            if round % 2 == 0 {
                turn_each(field.iter_mut(), Series::add)?;
            } else {
                turn_each(field.iter_mut().rev(), Series::add)?;
            }
            progress::show(&format!("round {} of {}", round + 1, self.rounds));
        }
        progress::clear();
        let rows = field.into_iter().map(|(contender, standing)| row(contender, standing)).collect::<Result<_>>()?;
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
fn enter(contender: Contender, setup: &Setup, workload: &dyn Workload, library: &Library) -> Result<Standing> {
    let copy = Scratch::make()?;
    let file = copy.path().join(library.path.file_name().unwrap_or(OsStr::new(library.begins)));
    fs::copy(&library.path, &file).with_context(|| format!("{} cannot be copied", library.path.display()))?;
    let subject = workload.start(Some(copy.path()))?;
    let site = Site { pid: subject.pid(), allocator: library.begins, file: &file };
    Ok(match contender.attach(setup, &site)? {
        Attachment::Tracing(tracing) => {
            Standing::Running(Runner { subject, tracing, series: Series::default(), _library: copy })
        }
        Attachment::Absent(reason) => Standing::Absent(reason),
    })
}

/// Gives each a turn, and its measurement to `record`. A peer that breaks its process is out.
fn turn_each<'a>(
    field: impl Iterator<Item = &'a mut (Contender, Standing)>,
    record: fn(&mut Series, f64),
) -> Result<()> {
    for (contender, standing) in field {
        let Standing::Running(runner) = standing else { continue };
        match runner.subject.turn() {
            Ok(measured) => record(&mut runner.series, measured),
            Err(error) if contender.is_peer() => {
                *standing = Standing::Absent(format!("failed under way: {error:#}"));
            }
            Err(error) => return Err(error).with_context(|| format!("under {}", contender.short())),
        }
    }
    Ok(())
}

fn row(contender: Contender, standing: Standing) -> Result<Row> {
    Ok(match standing {
        Standing::Running(Runner { subject, tracing, series, _library }) => {
            // Peers end with their target, the others while it lives.
            let remark = if contender.is_peer() { None } else { tracing.finish()? };
            drop(subject);
            Row { contender, series: Some(series), remark }
        }
        Standing::Absent(reason) => Row { contender, series: None, remark: Some(reason) },
    })
}
