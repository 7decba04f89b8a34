//! The thread that gives a draft its names and writes it out. One at a time, in order; the trace never waits for it.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};

use super::draft::Draft;
use crate::{memory, process::modules::Location, report::Renderer, symbolize::Symbolizer};

/// Drafts that may wait. While one is being named, the next waits; a third is dropped, as its figures would be stale.
const WAITING: usize = 1;

/// The handle to the thread.
pub struct Reporter {
    drafts: SyncSender<Draft>,
    thread: JoinHandle<io::Result<()>>,
}

impl Reporter {
    /// Starts the thread.
    pub fn start(renderer: Renderer) -> Result<Self> {
        let (drafts, waiting) = sync_channel(WAITING);
        let thread = thread::Builder::new()
            .name("reporter".into())
            .spawn(move || write_all(&waiting, renderer))
            .context("no thread could be started to write reports")?;
        Ok(Self { drafts, thread })
    }

    /// Hands over a draft; drops it when one is waiting already. `false` when nobody reads the output any more.
    pub fn submit(&self, draft: Draft) -> bool {
        !matches!(self.drafts.try_send(draft), Err(TrySendError::Disconnected(_)))
    }

    /// Hands over the last draft, waiting for its turn: it is never dropped.
    pub fn submit_last(&self, draft: Draft) {
        // An error means that the thread has ended; `finish` says why.
        let _ = self.drafts.send(draft);
    }

    /// Whether the thread has given up on its output.
    pub fn is_closed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until all is written. A reader that went away (`| head`) is no error.
    pub fn finish(self) -> Result<()> {
        drop(self.drafts);
        match self.thread.join() {
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(written) => written.context("the report could not be written to standard output"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn write_all(drafts: &Receiver<Draft>, renderer: Renderer) -> io::Result<()> {
    let mut symbolizer = Symbolizer::default();
    for mut draft in drafts {
        let stacks = draft.report.stacks.iter_mut().zip(&draft.calls).zip(&draft.origins);
        for ((stack, calls), origin) in stacks {
            let frames = |call: &Location| symbolizer.frames(&draft.modules, origin.as_ref(), *call).to_vec();
            stack.frames = calls.iter().flat_map(frames).collect();
        }
        let mut out = io::stdout().lock();
        renderer.write(&draft.report, &mut out)?;
        out.flush()?;
        memory::give_back();
    }
    Ok(())
}
