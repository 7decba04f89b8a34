//! The interpreters of the traced processes, followed by a thread of its own: the trace tells it who is there and takes
//! what it knows into its reports; and where stacks are to have Python's functions, it finds the interpreters for them.
//!
//! It promises that nothing here slows the trace or the target: a reading takes leaktrace's own time, one process after the
//! other, and of that no more than a tenth of a processor however many there are. Where there is no Python, it finds that
//! out once and does nothing more. The end of a trace does not wait for it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use super::pythons::Python as Named;
use crate::{
    notice::Notices,
    python::{
        interpreter::{File, Interpreter},
        study::Study,
    },
    report::python::{Interpreter as About, Python, Reading},
};

/// What the watch has seen is read this often.
const REFRESH: Duration = Duration::from_secs(1);

/// After a reading, it rests for so many times as long as that took of a processor: on a busy machine it takes longer, and
/// costs no more.
const REST: u32 = 9;

/// A process in which there is no interpreter yet is looked at again after this long, so often: it may only just begin.
const LOOK_AGAIN: [Duration; 6] = [
    Duration::from_millis(30),
    Duration::from_millis(70),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

enum Word {
    /// A process came; and whether its stacks are to have Python's functions.
    Came(u32, bool),
    Went(u32),
}

/// See the module.
pub struct Interpreters {
    words: Sender<Word>,
    named: Receiver<Named>,
    told: Arc<Mutex<Option<Python>>>,
    /// Those that the thread was told of.
    pids: Vec<u32>,
    /// Those that were traced the last time; none before the first.
    before: Option<Vec<u32>>,
}

impl Interpreters {
    /// Starts the thread.
    pub fn start(notices: Notices) -> Result<Self> {
        let (words, said) = channel();
        let (namer, found) = channel();
        let told = Arc::new(Mutex::new(None));
        let clerk = Clerk {
            told: Arc::clone(&told),
            followed: BTreeMap::new(),
            others: HashSet::new(),
            unnamed: Vec::new(),
            namer,
            notices,
            rests_until: Instant::now(),
        };
        // It ends by itself when nobody tells it anything any more.
        thread::Builder::new()
            .name("python".into())
            .spawn(move || clerk.work(&said))
            .context("no thread could be started to read interpreters")?;
        Ok(Self { words, named: found, told, pids: Vec::new(), before: None })
    }

    /// Says which processes are traced now. What came since the last time may be gone again in a moment, as children mostly are:
    /// it is looked at if it is still there the next time. Of those that are looked at, `wants_names` says whether interpreters
    /// that are found in them are to be handed out by [`Self::named`].
    pub fn follow(&mut self, pids: Vec<u32>, wants_names: impl Fn(u32) -> bool) {
        // An error means that the thread has ended; then there is nothing to tell.
        let stays = |pid: &u32| self.before.as_ref().is_none_or(|before| before.contains(pid));
        let came: Vec<u32> = pids.iter().filter(|pid| !self.pids.contains(pid) && stays(pid)).copied().collect();
        for pid in &came {
            let _ = self.words.send(Word::Came(*pid, wants_names(*pid)));
        }
        let words = &self.words;
        self.pids.retain(|pid| {
            let is_there = pids.contains(pid);
            if !is_there {
                let _ = words.send(Word::Went(*pid));
            }
            is_there
        });
        self.pids.extend(came);
        self.before = Some(pids);
    }

    /// Says that a process runs another program since: it is to be looked at as one that has just come.
    pub fn begin_anew(&mut self, pid: u32) {
        if self.pids.contains(&pid) {
            // As above.
            let _ = self.words.send(Word::Went(pid));
            self.pids.retain(|known| *known != pid);
        }
    }

    /// Interpreters that were found since the last time, of processes whose stacks are to have their functions.
    pub fn named(&self) -> impl Iterator<Item = Named> {
        self.named.try_iter()
    }

    /// What is known now, if any of the processes runs Python.
    pub fn told(&self) -> Option<Python> {
        lock(&self.told).clone()
    }
}

/// Processor time of this thread so far.
fn own_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn lock(told: &Mutex<Option<Python>>) -> MutexGuard<'_, Option<Python>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own.
struct Clerk {
    told: Arc<Mutex<Option<Python>>>,
    followed: BTreeMap<u32, Followed>,
    /// Files in which there is no interpreter.
    others: HashSet<File>,
    unnamed: Vec<Unnamed>,
    namer: Sender<Named>,
    notices: Notices,
    rests_until: Instant,
}

/// A process whose stacks are to have Python's functions, when to look for its interpreter, and how often that was done.
struct Unnamed {
    pid: u32,
    at: Instant,
    times: usize,
}

enum Followed {
    /// No interpreter was found so far; when to look again, and how often that was done.
    Looking(Instant, usize),
    Studied(Box<Study>),
    /// It cannot be read, and why.
    Refused(About),
}

impl Clerk {
    fn work(mut self, words: &Receiver<Word>) {
        loop {
            let wait = self.next().saturating_duration_since(Instant::now()).min(REFRESH);
            match words.recv_timeout(wait) {
                Ok(Word::Came(pid, wants_names)) => {
                    if wants_names {
                        self.unnamed.push(Unnamed { pid, at: Instant::now(), times: 0 });
                    }
                    self.followed.insert(pid, Followed::Looking(Instant::now(), 0));
                    continue;
                }
                Ok(Word::Went(pid)) => {
                    // What is known of it stays in the reports.
                    self.end(pid);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
            *lock(&self.told) = self.report();
        }
    }

    fn next(&self) -> Instant {
        let next = self.followed.values().filter_map(|followed| match followed {
            Followed::Looking(at, _) => Some(*at),
            Followed::Studied(study) => study.next().map(|next| next.max(self.rests_until)),
            Followed::Refused(_) => None,
        });
        let next = next.chain(self.unnamed.iter().map(|unnamed| unnamed.at));
        next.min().unwrap_or_else(|| Instant::now() + REFRESH)
    }

    /// Finds interpreters for stacks, where it is time to look.
    fn name(&mut self) {
        let Self { unnamed, namer, notices, others, .. } = self;
        unnamed.retain_mut(|of| {
            if of.at > Instant::now() {
                return true;
            }
            let is_last = of.times >= LOOK_AGAIN.len();
            match Named::find_beside(of.pid, others) {
                Ok(Some(named)) => {
                    // An error means that the trace is over.
                    let _ = namer.send(named);
                    return false;
                }
                Err(error) if is_last => notices.say(&Named::is_unnamed(of.pid, &error)),
                Ok(None) | Err(_) => {}
            }
            if !is_last {
                of.at = Instant::now() + LOOK_AGAIN[of.times];
                of.times += 1;
            }
            !is_last
        });
    }

    /// Reads the one interpreter that has waited longest, and what all watches have seen.
    fn look(&mut self) {
        self.name();
        let now = Instant::now();
        for (pid, followed) in &mut self.followed {
            if let Followed::Looking(at, times) = followed
                && *at <= now
            {
                *followed = found(*pid, *times, &mut self.others);
            }
        }
        self.followed
            .retain(|_, followed| !matches!(followed, Followed::Looking(_, times) if *times > LOOK_AGAIN.len()));
        let studies = self.followed.values_mut().filter_map(|followed| match followed {
            Followed::Studied(study) => Some(study),
            _ => None,
        });
        let mut due = None;
        for study in studies {
            study.refresh();
            if let Some(next) = study.next().filter(|next| *next <= now && self.rests_until <= now)
                && due.as_ref().is_none_or(|(earliest, _)| next < *earliest)
            {
                due = Some((next, study));
            }
        }
        if let Some((_, study)) = due {
            let before = own_cpu();
            study.read();
            self.rests_until = Instant::now() + own_cpu().saturating_sub(before) * REST;
        }
    }

    fn end(&mut self, pid: u32) {
        self.unnamed.retain(|unnamed| unnamed.pid != pid);
        match self.followed.get_mut(&pid) {
            Some(Followed::Studied(study)) => study.end(),
            Some(Followed::Looking(..)) => {
                self.followed.remove(&pid);
            }
            Some(Followed::Refused(_)) | None => {}
        }
    }

    fn report(&self) -> Option<Python> {
        let mut python = Python::default();
        for followed in self.followed.values() {
            match followed {
                Followed::Studied(study) => study.tell(&mut python),
                Followed::Refused(about) => python.interpreters.push(about.clone()),
                Followed::Looking(..) => {}
            }
        }
        python.holders.sort_by(|a, b| b.bytes_per_s.total_cmp(&a.bytes_per_s));
        python.cycles.sort_by(|a, b| b.bytes_per_s.total_cmp(&a.bytes_per_s));
        (!python.is_empty()).then_some(python)
    }
}

fn found(pid: u32, times: usize, others: &mut HashSet<File>) -> Followed {
    match Interpreter::find_beside(pid, others) {
        Ok(Some(interpreter)) => Followed::Studied(Box::new(Study::begin(interpreter))),
        Ok(None) => {
            let pause = LOOK_AGAIN.get(times).copied().unwrap_or_default();
            Followed::Looking(Instant::now() + pause, times + 1)
        }
        // It may have been caught as it began.
        Err(_) if times < LOOK_AGAIN.len() => Followed::Looking(Instant::now() + LOOK_AGAIN[times], times + 1),
        Err(error) => Followed::Refused(About {
            pid,
            version: None,
            state: Reading::Refused,
            why: Some(format!("{error:#}")),
            scans: 0,
            scan_s: 0.0,
            live_blocks: 0,
            live_bytes: 0,
        }),
    }
}
