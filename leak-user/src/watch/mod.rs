//! The watch: all processes for almost nothing, and a close look at those that grow.
//!
//! Without a probe until one grows: every so often it reads how much memory each process has for itself ([`census`]), tells
//! which of them rise ([`watchlist`]), and has those that may be looked at ([`lists`]) traced under a budget for a while
//! ([`look`]), into a session that is kept. Each decision is a line on standard error, with its reason.

mod lists;
mod reason;
mod service;
mod tally;
mod watchlist;

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use tokio::{
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    growth::Rise,
    look::{self, LAST_WORDS, Look, Manner, Outcome, Shelf},
    metrics::{Address, Server},
    notice::Notices,
    probe::privilege,
    process::{
        census::Census,
        who::{Names, Who},
    },
    signals::Signals,
    text::printable,
    units::{plural, seconds},
};
use lists::Lists;
use service::Service;
use tally::Tally;
use watchlist::{Decision, Terms, Watchlist};

/// Samples of the rise that a look should see.
const SAMPLES: f64 = 200.0;

/// As finely as any look samples, and as coarsely, in bytes.
const PERIODS: (f64, f64) = (1024.0, 524_288.0);

/// What to watch, and what to do about it.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// Time between two rounds.
    pub interval: Duration,
    /// Shortest time in which a process's growth must show.
    pub within: Duration,
    /// Least growth in it, in bytes.
    pub least_growth: u64,
    /// How processes are looked at.
    pub manner: Manner,
    /// How many processes are looked at at a time.
    pub at_once: usize,
    /// After a look at a process, time to the next, which doubles with each.
    pub cool_down: Duration,
    /// Where sessions are kept, and how many.
    pub shelf: Shelf,
    /// Patterns of what may be looked at.
    pub allow: Vec<String>,
    /// Patterns of what may not.
    pub deny: Vec<String>,
    /// A file with more of both.
    pub list: Option<PathBuf>,
    /// Where figures are served, if they are.
    pub metrics: Option<Address>,
}

/// Watches until told to stop.
pub async fn watch(plan: WatchPlan, notices: Notices) -> Result<()> {
    privilege::check()?;
    let mut watch = Watch::new(plan, notices)?;
    watch.run().await
}

struct Watch {
    plan: WatchPlan,
    notices: Notices,
    lists: Lists,
    census: Census,
    watchlist: Watchlist,
    began: Instant,
    own_program: Option<PathBuf>,
    service: Service,
    /// Under way, with the rise that led to each, in bytes a second.
    looks: Vec<(Look, f64)>,
    outcomes: JoinSet<Outcome>,
    tally: Tally,
    /// The page of figures, as soon as it can be served.
    page: Option<Server>,
    is_page_missed: bool,
}

impl Watch {
    fn new(plan: WatchPlan, notices: Notices) -> Result<Self> {
        plan.shelf.prepare()?;
        let terms = Terms {
            shortest_s: plan.within.as_secs_f64(),
            least_bytes: plan.least_growth as f64,
            at_once: plan.at_once,
            cool_down_s: plan.cool_down.as_secs_f64(),
        };
        Ok(Self {
            lists: Lists::read(&plan.allow, &plan.deny, plan.list.as_deref())?,
            census: Census::default(),
            watchlist: Watchlist::new(terms),
            began: Instant::now(),
            own_program: env::current_exe().ok(),
            service: Service::from_environment(),
            looks: Vec::new(),
            outcomes: JoinSet::new(),
            tally: Tally::new(),
            page: None,
            is_page_missed: false,
            plan,
            notices,
        })
    }

    async fn run(&mut self) -> Result<()> {
        let mut signals = Signals::new()?;
        let mut rounds = interval(self.plan.interval);
        // After a pause of the machine one round is enough.
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(self.service.beat());
        self.notices.say(&format!(
            "watching every process, every {}; sessions go to {}",
            seconds(self.plan.interval.as_secs_f64()),
            printable(&self.plan.shelf.directory.to_string_lossy())
        ));
        self.service.ready();
        loop {
            tokio::select! {
                biased;
                _ = signals.interrupt.recv() => break,
                _ = signals.terminate.recv() => break,
                _ = signals.hangup.recv() => self.read_lists(),
                Some(outcome) = self.outcomes.join_next() => self.conclude(outcome),
                _ = beat.tick() => self.service.alive(),
                _ = rounds.tick() => {
                    self.serve();
                    let began = Instant::now();
                    match self.round() {
                        Ok(decisions) => {
                            self.tally.round(self.watchlist.len(), began.elapsed());
                            for decision in decisions {
                                self.act(decision);
                            }
                        }
                        // Too many open files, say: the next round may do better.
                        Err(error) => {
                            self.tally.round_left_out();
                            self.notices.say(&format!("a round is left out: {error:#}"));
                        }
                    }
                    self.tidy();
                    self.service.status(&self.state());
                }
            }
        }
        self.service.stopping();
        self.stop().await;
        Ok(())
    }

    /// Serves the figures, unless that is done or not wanted. What cannot be now may be at the next round: who has the port
    /// may go.
    fn serve(&mut self) {
        let Some(address) = self.plan.metrics.filter(|_| self.page.is_none()) else { return };
        match Server::start(address, self.tally.source(), self.notices) {
            Ok(page) => self.page = Some(page),
            Err(error) => {
                if !std::mem::replace(&mut self.is_page_missed, true) {
                    self.notices.say(&format!("watching without metrics until they can be served: {error:#}"));
                }
            }
        }
    }

    /// Looks at all processes' figures, and decides.
    fn round(&mut self) -> Result<Vec<Decision>> {
        let now = self.now();
        let watchlist = &mut self.watchlist;
        self.census.take(|who, bytes| watchlist.note(now, who, bytes, Who::group)).context("/proc cannot be read")?;
        // Neither at this process nor at the looks that it has begun, which grow with what they see.
        let names = |who: Who| who.names().filter(|names| self.own_program.as_deref() != Some(Path::new(&names.exe)));
        Ok(self.watchlist.decide(now, names, |names| self.lists.objection(names)))
    }

    fn act(&mut self, decision: Decision) {
        match decision {
            Decision::Pass(who, names, rise, why) => {
                self.tally.passed(why);
                self.notices.say(&format!("{} {}; not looked at, for {why}", shown(who, &names), rise.why));
            }
            Decision::Look(who, names, rise) => {
                let session = self.plan.shelf.place(&names.comm, who, SystemTime::now());
                let manner = &self.plan.manner;
                let time = seconds(manner.time.as_secs_f64());
                let what = shown(who, &names);
                match look::begin(who, names.clone(), Some(period(&rise, manner.time)), manner, session) {
                    Ok((look, running)) => {
                        let since = seconds(rise.seconds);
                        self.notices.say(&format!("{what} {} over {since}; looking closer for {time}", rise.why));
                        self.looks.push((look, rise.bytes_per_s()));
                        self.tally.under_way(self.looks.len());
                        self.outcomes.spawn(running.finish());
                    }
                    Err(error) => {
                        self.notices.say(&format!("{what} {}; not looked at: {error:#}", rise.why));
                        self.tally.ended(who, &names, rise.bytes_per_s(), None);
                        self.watchlist.looked(self.now(), who);
                    }
                }
            }
        }
    }

    fn conclude(&mut self, outcome: Result<Outcome, JoinError>) {
        let Outcome { who, names, session, found } = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.tally.lost();
                return self.notices.say(&format!("a look came to no end: {error}"));
            }
        };
        let rise = self.looks.iter().find(|(look, _)| look.who == who).map_or(0.0, |(_, rise)| *rise);
        self.looks.retain(|(look, _)| look.who != who);
        self.tally.under_way(self.looks.len());
        self.tally.ended(who, &names, rise, found.as_ref().ok().cloned());
        let rest = self.watchlist.looked(self.now(), who);
        let what = shown(who, &names);
        let next = format!("no other look for {}", seconds(rest));
        let kept = printable(&session.to_string_lossy()).into_owned();
        match found {
            Ok(found) => self.notices.say(&format!("{what}: {}; kept in {kept}; {next}", found.words)),
            Err(error) => self.notices.say(&format!("{what}: nothing found: {error:#}; {next}")),
        }
    }

    /// Lets looks that are under way have their last word.
    async fn stop(&mut self) {
        self.looks.iter().for_each(|(look, _)| look.end());
        let last_words = async {
            while let Some(outcome) = self.outcomes.join_next().await {
                self.conclude(outcome);
            }
        };
        // Those that have not ended then end with the watch.
        let _ = timeout(LAST_WORDS, last_words).await;
    }

    fn read_lists(&mut self) {
        self.service.reloading();
        match Lists::read(&self.plan.allow, &self.plan.deny, self.plan.list.as_deref()) {
            Ok(lists) => {
                self.lists = lists;
                self.notices.say("the lists were read again");
            }
            Err(error) => self.notices.say(&format!("the lists stay as they were: {error:#}")),
        }
        self.service.ready();
    }

    fn tidy(&self) {
        let spare: Vec<_> = self.looks.iter().map(|(look, _)| look.session.as_path()).collect();
        for removed in self.plan.shelf.tidy(SystemTime::now(), &spare) {
            self.notices.say(&removed);
        }
        let (sessions, bytes) = self.plan.shelf.holds();
        self.tally.kept(sessions, bytes);
    }

    fn state(&self) -> String {
        format!("watching {}, looking at {}", plural(self.watchlist.len() as u64, "process"), self.looks.len())
    }

    /// Seconds since the watch began, by a clock that nobody sets.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// How finely a look samples, in bytes, so that it sees enough of a rise.
fn period(rise: &Rise, time: Duration) -> u64 {
    (rise.bytes_per_s() * time.as_secs_f64() / SAMPLES).clamp(PERIODS.0, PERIODS.1) as u64
}

fn shown(who: Who, names: &Names) -> String {
    format!("{} (pid {})", printable(&names.comm), who.pid)
}
