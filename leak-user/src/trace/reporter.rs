//! The thread that gives drafts their names, writes reports out and keeps the session. One thing at a time, in order; the
//! trace never waits for it.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};

use super::{draft::Draft, recording::SnapshotDraft};
use crate::{
    memory,
    metrics::TraceBoard,
    notice::Notices,
    process::{memory_use::memory_of, modules::Location},
    progress::Steps,
    report::Renderer,
    session::{Head, Recorder, events::Block},
    symbolize::{Interpreted, Symbolizer},
};

/// Reports that may wait. While one is being named, the next waits; a third is dropped, as its figures would be stale.
const WAITING_REPORTS: usize = 1;

/// Blocks of events that may wait for a slow disk; each is some megabyte.
const WAITING_BLOCKS: usize = 32;

enum Work {
    Report(Box<Draft>),
    Snapshot(Box<SnapshotDraft>),
    Events(Block),
}

/// The handle to the thread.
pub struct Reporter {
    work: Sender<Work>,
    state: Arc<State>,
    thread: JoinHandle<io::Result<()>>,
}

/// What both sides know.
#[derive(Default)]
struct State {
    reports_waiting: AtomicUsize,
    blocks_waiting: AtomicUsize,
    /// Nobody reads the reports any more.
    is_closed: AtomicBool,
    /// A snapshot was not written, and with it the names of its stacks.
    names_lost: AtomicBool,
}

impl Reporter {
    /// Starts the thread.
    pub fn start(
        renderer: Renderer,
        recorder: Option<Recorder>,
        board: Option<TraceBoard>,
        notices: Notices,
        interpreted: Interpreted,
    ) -> Result<Self> {
        let (work, waiting) = channel();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let clerk = move || Clerk {
            symbolizer: Symbolizer::knowing(interpreted),
            renderer,
            session: recorder.map(|recorder| Session { recorder, is_failing: false }),
            board,
            notices,
            state: shared,
        };
        let thread = thread::Builder::new()
            .name("reporter".into())
            .spawn(move || clerk().work(&waiting))
            .context("no thread could be started to write reports")?;
        Ok(Self { work, state, thread })
    }

    /// Hands over a draft; drops it when one is waiting already. `false` when nobody reads the output any more.
    pub fn submit(&self, draft: Draft) -> bool {
        if self.state.reports_waiting.load(Relaxed) <= WAITING_REPORTS {
            self.submit_surely(draft);
        }
        !self.is_closed()
    }

    /// Hands over a draft that is never dropped.
    pub fn submit_surely(&self, draft: Draft) {
        self.state.reports_waiting.fetch_add(1, Relaxed);
        self.send(Work::Report(Box::new(draft)));
    }

    /// Hands over a snapshot for the session. None is ever dropped.
    pub fn record(&self, snapshot: SnapshotDraft) {
        self.send(Work::Snapshot(Box::new(snapshot)));
    }

    /// Hands over events for the session. Gives for how many there was no room.
    pub fn record_events(&self, block: Block) -> usize {
        if self.state.blocks_waiting.load(Relaxed) >= WAITING_BLOCKS {
            return block.len();
        }
        self.state.blocks_waiting.fetch_add(1, Relaxed);
        self.send(Work::Events(block));
        0
    }

    /// Whether names of stacks that were handed over have to be handed over again. Asking makes it forget.
    pub fn has_lost_names(&self) -> bool {
        self.state.names_lost.swap(false, Relaxed)
    }

    /// Whether nobody reads the output any more.
    pub fn is_closed(&self) -> bool {
        self.state.is_closed.load(Relaxed) || self.thread.is_finished()
    }

    /// Waits until all is written. A reader that went away (`| head`) is no error.
    pub fn finish(self) -> Result<()> {
        drop(self.work);
        match self.thread.join() {
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(written) => written.context("the report could not be written to standard output"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn send(&self, work: Work) {
        // An error means that the thread has ended; `finish` says why.
        let _ = self.work.send(work);
    }
}

/// The thread's own.
struct Clerk {
    symbolizer: Symbolizer,
    renderer: Renderer,
    session: Option<Session>,
    /// Where the last report is left for whoever asks.
    board: Option<TraceBoard>,
    notices: Notices,
    state: Arc<State>,
}

struct Session {
    recorder: Recorder,
    /// Whether the last thing could not be written.
    is_failing: bool,
}

impl Clerk {
    fn work(&mut self, waiting: &Receiver<Work>) -> io::Result<()> {
        let mut outcome = Ok(());
        for work in waiting {
            match work {
                Work::Report(draft) => {
                    self.state.reports_waiting.fetch_sub(1, Relaxed);
                    // Of a session, the rest is to be written also when nobody reads the reports.
                    if outcome.is_ok() {
                        outcome = self.write(*draft);
                        self.state.is_closed.store(outcome.is_err(), Relaxed);
                    }
                }
                Work::Snapshot(snapshot) => self.record(*snapshot),
                Work::Events(block) => {
                    self.state.blocks_waiting.fetch_sub(1, Relaxed);
                    self.keep(|recorder, _| recorder.events(&block));
                }
            }
        }
        outcome
    }

    fn write(&mut self, mut draft: Draft) -> io::Result<()> {
        let is_told = self.notices != Notices::Quiet;
        let mut steps = is_told.then(|| Steps::of("naming the calls of stack", draft.calls.len()));
        let stacks = draft.report.stacks.iter_mut().zip(&draft.calls).zip(&draft.origins);
        for ((stack, calls), origin) in stacks {
            steps.iter_mut().for_each(Steps::step);
            let frames = |call: &Location| self.symbolizer.frames(&draft.modules, origin.as_ref(), *call).to_vec();
            stack.frames = calls.iter().flat_map(frames).collect();
        }
        drop(steps);
        let mut out = io::stdout().lock();
        self.renderer.write(&draft.report, &mut out)?;
        out.flush()?;
        drop(out);
        if let Some(board) = &self.board {
            board.put(draft.report);
        }
        memory::give_back();
        Ok(())
    }

    fn record(&mut self, snapshot: SnapshotDraft) {
        let SnapshotDraft { report, stacks, mut calls, modules, sizes } = snapshot;
        let memory = report.processes.iter().map(|process| memory_of(process.pid)).collect();
        let head = Head { report, memory, sizes };
        let is_written = self.keep(|recorder, symbolizer| {
            recorder.snapshot(&head, &stacks, |place| {
                let (calls, origin) = calls.remove(&place)?;
                let frames = |call: &Location| symbolizer.frames(&modules, origin.as_ref(), *call).to_vec();
                Some(calls.iter().flat_map(frames).collect())
            })
        });
        if !is_written {
            self.state.names_lost.store(true, Relaxed);
        }
        memory::give_back();
    }

    /// Writes to the session. That it cannot be done is said once, and so is that it can be again.
    fn keep(&mut self, write: impl FnOnce(&mut Recorder, &mut Symbolizer) -> Result<()>) -> bool {
        let Some(session) = &mut self.session else { return true };
        let written = write(&mut session.recorder, &mut self.symbolizer);
        let was_failing = std::mem::replace(&mut session.is_failing, written.is_err());
        let name = session.recorder.path().display().to_string();
        let name = crate::text::printable(&name);
        match &written {
            Err(error) if !was_failing => {
                self.notices.say(&format!("{name} cannot be written for now, and tracing goes on: {error:#}"));
            }
            Ok(()) if was_failing => self.notices.say(&format!("{name} is written again")),
            _ => {}
        }
        written.is_ok()
    }
}
