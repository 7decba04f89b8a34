//! Takes on the processes that are what was asked for: those that run when the trace begins, and each that comes after, as
//! soon as the kernel tells of its new program.
//!
//! A process is one of them by what can be read of it in `/proc`; what is missed there (a record that was lost, a name that
//! was changed) is found by looking through all of `/proc` every so often.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use anyhow::Result;
use foldhash::fast::RandomState;

use super::Trace;
use crate::{process::identity::start_ticks, units::plural};

/// All of `/proc` is looked through this often.
pub const ROUND: Duration = Duration::from_secs(10);

/// What has been tried.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// Processes that cannot be traced, by id and start: they are not tried again until they run another program.
    refused: HashSet<(u32, u64), RandomState>,
}

impl Trace {
    /// Takes on those that run.
    pub fn take_on_wanted(&mut self) -> Result<()> {
        let Some(wanted) = self.plan.wanted.clone() else { return Ok(()) };
        if wanted.is_all() {
            self.fleet.share_all();
        }
        // Of what has not come yet, most will have the allocator that programs here have.
        for pid in [1, std::process::id()] {
            self.fleet.learn_from(pid);
        }
        self.fleet.hold_newcomers();
        let candidates = wanted.now();
        let all = candidates.len();
        if all > super::commons::OWN {
            self.fleet.share_all();
        }
        let traced = candidates.into_iter().filter(|pid| self.try_on(*pid, false)).count();
        let (traced_count, what) = (plural(traced as u64, "process"), wanted.describe());
        if all == 0 {
            self.notices.say(&format!("there is no process {what} yet; waiting for one"));
        } else if traced < all {
            let rest = plural((all - traced) as u64, "process");
            self.notices
                .say(&format!("tracing {traced_count}, and those to come; {rest} cannot be traced (-v says why)"));
        } else {
            self.notices.say(&format!("tracing {traced_count}, and those to come"));
        }
        Ok(())
    }

    /// Takes on those of these processes, which have just begun to run a program, that are wanted.
    pub(super) fn take_on_newcomers(&mut self, pids: &[u32]) {
        let Some(wanted) = self.plan.wanted.take() else { return };
        for pid in pids {
            if !self.fleet.has(*pid) && wanted.wants(*pid) {
                self.fleet.means.kernel.keep_waiting(*pid);
                self.try_on(*pid, true);
            }
            self.fleet.let_go_on(*pid);
        }
        if !pids.is_empty() {
            self.fleet.hold_newcomers();
        }
        self.plan.wanted = Some(wanted);
    }

    /// Lets go of those in these slots, which run other programs since, that are not wanted any more.
    pub(super) fn let_go_of_unwanted(&mut self, changed: &BTreeSet<u16>) -> Result<()> {
        let Some(wanted) = self.plan.wanted.take() else { return Ok(()) };
        let unwanted = changed.iter().filter(|slot| self.fleet.pid(**slot).is_some_and(|pid| !wanted.wants(pid)));
        let unwanted: BTreeSet<u16> = unwanted.copied().collect();
        self.plan.wanted = Some(wanted);
        self.fleet.release(&unwanted, &mut self.ledger)
    }

    /// Looks through all processes. Says whether what was asked for can still come.
    pub(super) fn look_for_wanted(&mut self) -> bool {
        let Some(wanted) = self.plan.wanted.take() else { return true };
        for pid in wanted.now() {
            if !self.fleet.has(pid)
                && start_ticks(pid).is_some_and(|start| !self.newcomers.refused.contains(&(pid, start)))
            {
                self.try_on(pid, false);
            }
        }
        self.newcomers.refused.retain(|(pid, start)| start_ticks(*pid) == Some(*start));
        let may_come = !wanted.is_gone() || self.fleet.is_alive();
        if !may_come {
            self.notices.say(&format!("there can be no process {} any more: it is gone", wanted.describe()));
        }
        self.plan.wanted = Some(wanted);
        may_come
    }

    fn try_on(&mut self, pid: u32, is_newcomer: bool) -> bool {
        match self.fleet.take_on(pid, is_newcomer) {
            Ok(_) => true,
            Err(error) => {
                self.notices.detail(&format!("{error:#}"));
                self.newcomers.refused.extend(start_ticks(pid).map(|start| (pid, start)));
                false
            }
        }
    }
}
