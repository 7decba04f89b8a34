//! A sample: one look at a service, at once, as a timer asks for it.
//!
//! Promises that what comes of it is a line and a session on the shelf, or a sentence why there is none. A name is a
//! systemd unit's if one has a control group of that name, and else a program's. Leaves out when it is time: that is
//! the timer's business.

mod program;

use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use procfs::process::Process;
use tokio::time::timeout;

use crate::{
    look::{self, LAST_WORDS, Manner, Outcome, Shelf},
    notice::Notices,
    probe::privilege,
    process::{
        unit,
        who::{Names, Who},
    },
    signals::Signals,
    text::printable,
    units::{plural, seconds},
};

/// Whom to look at, and how.
#[derive(Clone, Debug)]
pub struct SamplePlan {
    /// A unit's name, or a program's.
    pub name: String,
    /// How it is looked at.
    pub manner: Manner,
    /// Where the session is kept.
    pub shelf: Shelf,
}

/// Looks, until the time is over or somebody says to stop. Gives the condition that holds, if one does.
pub async fn sample(plan: SamplePlan, notices: Notices) -> Result<Option<String>> {
    privilege::check()?;
    plan.shelf.prepare()?;
    let mut signals = Signals::new()?;
    let (who, names) = find(&plan.name, notices)?;
    let what = format!("{} (pid {})", printable(&names.comm), who.pid);
    let session = plan.shelf.place(&names.comm, who, SystemTime::now());
    notices.say(&format!("looking at {what} for {}", seconds(plan.manner.time.as_secs_f64())));
    let (look, running) = look::begin(who, names, None, &plan.manner, session)?;
    let mut ending = std::pin::pin!(running.finish());
    let outcome = tokio::select! {
        outcome = &mut ending => Some(outcome),
        () = signals.any() => {
            look.end();
            timeout(LAST_WORDS, ending).await.ok()
        }
    };
    for removed in plan.shelf.tidy(SystemTime::now(), &[&look.session]) {
        notices.say(&removed);
    }
    let Some(Outcome { session, found, .. }) = outcome else {
        bail!("{what}: told to stop, and the look came to no end in time; {} has what it saw until then", shown(&look));
    };
    let found = found.with_context(|| format!("{what}: nothing found"))?;
    notices.say(&format!("{what}: {}; kept in {}", found.words, printable(&session.to_string_lossy())));
    Ok(found.condition)
}

/// The process that a name stands for.
fn find(name: &str, notices: Notices) -> Result<(Who, Names)> {
    let shown = printable(name);
    if let Some(main) = unit::main_process(name)? {
        let unit = printable(&main.unit).into_owned();
        if main.namesakes > 0 {
            let others = plural(main.namesakes as u64, "more control group");
            notices.say(&format!("there is {others} called like {unit}; taken is the first that has processes"));
        }
        let ended = || format!("the main process of {unit} has ended; look at the unit again when it runs");
        return known(main.pid).with_context(ended);
    }
    let Some((who, others)) = program::largest(name)? else {
        bail!(
            "there is neither a unit nor a program {shown} that runs; `systemctl status` lists the units, `ps -e` the programs"
        );
    };
    if others > 0 {
        let others = plural(others as u64, "more process");
        notices.say(&format!("{others} called {shown}; taken is pid {}, which has most memory for itself", who.pid));
    }
    known(who.pid).filter(|(now, _)| *now == who).with_context(|| format!("{shown} (pid {}) has ended", who.pid))
}

/// Who a process is that runs.
fn known(pid: u32) -> Option<(Who, Names)> {
    let start_ticks = Process::new(pid.cast_signed()).ok()?.stat().ok()?.starttime;
    let who = Who { pid, start_ticks };
    Some((who, who.names()?))
}

fn shown(look: &look::Look) -> String {
    printable(&look.session.to_string_lossy()).into_owned()
}
