//! Carries out what the governors of the processes decide: in an order in which no free is missed that was to be seen.

use std::time::Instant;

use anyhow::{Context, Result};
use leak_ebpf::{BlockKey, EXACT, STRANGERS_SLOT};

use super::{
    Trace,
    governor::{Decision, Orders, Watch},
};
use crate::{process::monotonic_now, report::Change};

impl Trace {
    /// Has the governors judge, and does what they say.
    pub(super) fn keep_to_budget(&mut self) -> Result<()> {
        let now = Instant::now();
        self.judge_strangers(now)?;
        self.settle_commons()?;
        for slot in self.fleet.to_be_judged(now) {
            let hits = self.upward.hits.of(slot)?;
            let decision = self.fleet.parts(slot).and_then(|(traced, ..)| traced.judge(now, hits));
            match decision {
                None => {}
                Some(Decision::Warning(text)) => self.tell(slot, text),
                Some(Decision::Orders(orders, reason)) => {
                    if let Some(reason) = reason {
                        self.tell(slot, reason);
                    }
                    self.carry_out(slot, orders)?;
                }
                Some(Decision::LetGo(reason)) => {
                    self.tell(slot, format!("no longer traced: {reason}"));
                    self.watch(slot, Watch::Nothing)?;
                    if let Some((traced, ..)) = self.fleet.parts(slot) {
                        traced.watched.let_go();
                    }
                }
            }
        }
        Ok(())
    }

    /// Has what strangers pay for probes that are in every process judged.
    fn judge_strangers(&mut self, now: Instant) -> Result<()> {
        if !self.fleet.means.commons.is_due(now) {
            return Ok(());
        }
        let hits = self.upward.hits.of(STRANGERS_SLOT)?;
        match self.fleet.means.commons.judge(now, hits) {
            None | Some(Decision::Warning(_)) => Ok(()),
            Some(Decision::Orders(orders, _)) => self.share_out(STRANGERS_SLOT, orders.watch),
            Some(Decision::LetGo(_)) => self.share_out(STRANGERS_SLOT, Watch::Nothing),
        }
    }

    /// Takes note of what one of those that share probes can afford, and watches what all can.
    fn share_out(&mut self, slot: u16, watch: Watch) -> Result<()> {
        self.fleet.means.commons.set_affordable(slot, watch);
        if self.fleet.parts(slot).is_some() {
            // Its own orders may be others too.
            self.watch_alone(slot, self.fleet.means.commons.in_force())?;
        }
        self.settle_commons()
    }

    /// Watches what all that share probes can afford: one may have gone that could not.
    fn settle_commons(&mut self) -> Result<()> {
        let commons = &mut self.fleet.means.commons;
        let watch = commons.affordable();
        if watch == commons.in_force() {
            return Ok(());
        }
        let sharers = commons.sharers();
        commons.put_back(&mut self.fleet.means.kernel, watch).context("probes cannot be put back")?;
        for slot in sharers {
            self.watch_alone(slot, watch)?;
        }
        let withdrawn = self.fleet.means.commons.withdraw(watch);
        self.fleet.take_out(withdrawn);
        Ok(())
    }

    /// Has the frees of what a new child holds told, where not all are.
    pub(super) fn watch_children(&mut self) -> Result<()> {
        for slot in self.fleet.take_unwatched_children() {
            self.watch_known(slot)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, slot: u16, orders: Orders) -> Result<()> {
        let Some((traced, means, _)) = self.fleet.parts(slot) else { return Ok(()) };
        let before = traced.watched.orders().period;
        traced.watched.set_period(orders.period);
        if before == EXACT && orders.period != EXACT {
            // Every free is told until those of all blocks in the books will be. A block that is freed meanwhile stays
            // watched for nothing, until its address is freed the next time.
            traced.watched.set_tells_all_frees(true);
            traced.watched.put_in_force(slot, &mut means.kernel)?;
            self.drain()?;
            self.watch_known(slot)?;
        }
        self.watch(slot, orders.watch)
    }

    /// Sees to it that this is watched from now on.
    fn watch(&mut self, slot: u16, watch: Watch) -> Result<()> {
        let shares = self.fleet.parts(slot).is_some_and(|(traced, ..)| traced.shares);
        if shares { self.share_out(slot, watch) } else { self.watch_alone(slot, watch) }
    }

    fn watch_alone(&mut self, slot: u16, watch: Watch) -> Result<()> {
        let Some((traced, means, removal)) = self.fleet.parts(slot) else { return Ok(()) };
        let before = traced.watched.orders().watch;
        // Probes are in place before what they see counts, and longer.
        if watch != Watch::Nothing
            && let Err(error) = traced.put_back(watch, means)
        {
            if traced.target.has_exited() {
                return Ok(());
            }
            return Err(error.context("probes cannot be put back"));
        }
        if before == Watch::Nothing && watch != Watch::Nothing {
            self.ledger.watch_again(slot, monotonic_now());
        }
        traced.watched.set_watch(watch);
        traced.watched.put_in_force(slot, &mut means.kernel)?;
        removal.take_out(traced.withdraw());
        if watch == Watch::Nothing && before != Watch::Nothing {
            self.drain()?;
            self.ledger.unwatch(slot);
        }
        Ok(())
    }

    /// Has the kernel side tell the frees of all blocks in the books, and of those alone.
    fn watch_known(&mut self, slot: u16) -> Result<()> {
        let Some((traced, means, _)) = self.fleet.parts(slot) else { return Ok(()) };
        if traced.watched.orders().period != EXACT {
            let blocks = self.ledger.addresses(slot).map(|addr| BlockKey::new(slot, addr));
            let (all, room) = (self.ledger.addresses(slot).count() as u64, means.kernel.watch_blocks(blocks)?);
            if room < all {
                self.ledger.unwatch(slot);
                self.ledger.watch_again(slot, monotonic_now());
                let text = "more blocks are outstanding than can be watched: what becomes of them is not known";
                self.tell(slot, text.to_owned());
            }
        }
        let Some((traced, means, _)) = self.fleet.parts(slot) else { return Ok(()) };
        traced.watched.set_tells_all_frees(false);
        traced.watched.put_in_force(slot, &mut means.kernel)
    }

    fn tell(&mut self, slot: u16, what: String) {
        let pid = self.fleet.pid(slot).unwrap_or(0);
        self.notices.say(&format!("process {pid}: {what}"));
        self.changes.push(Change { at_s: self.began.elapsed().as_secs_f64(), pid, what });
    }
}
