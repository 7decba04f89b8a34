//! A thread that sees to turns: it asks again and again what is due, and ends when its handle is dropped.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// What is given turns.
pub trait InTurns: Send + 'static {
    /// Sees to what is due, and says when to look again.
    fn look(&mut self) -> Duration;

    /// Ends the turns that are under way.
    fn end(&mut self);
}

/// The handle.
pub struct Turns<S: InTurns> {
    desk: Arc<Desk<S>>,
    timer: Option<JoinHandle<()>>,
}

/// What both sides share.
struct Desk<S> {
    state: Mutex<State<S>>,
    end: Condvar,
}

struct State<S> {
    of: S,
    is_over: bool,
}

impl<S: InTurns> Turns<S> {
    /// Starts the thread, which has this name and looks after so long for the first time.
    pub fn start(name: &str, of: S, first_look: Duration) -> io::Result<Self> {
        let desk = Arc::new(Desk { state: Mutex::new(State { of, is_over: false }), end: Condvar::new() });
        let timer = Arc::clone(&desk);
        let timer = thread::Builder::new().name(name.to_owned()).spawn(move || timer.work(first_look))?;
        Ok(Self { desk, timer: Some(timer) })
    }

    /// Does something with what is given turns, between two looks.
    pub fn with<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        act(&mut self.desk.lock().of)
    }
}

impl<S> Desk<S> {
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: InTurns> Desk<S> {
    fn work(&self, first_look: Duration) {
        let mut state = self.lock();
        let mut wait = first_look;
        while !state.is_over {
            (state, _) = self.end.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            if !state.is_over {
                wait = state.of.look();
            }
        }
        state.of.end();
    }
}

impl<S: InTurns> Drop for Turns<S> {
    fn drop(&mut self) {
        self.desk.lock().is_over = true;
        self.desk.end.notify_all();
        if let Some(timer) = self.timer.take() {
            // It says nothing, whichever way it ends.
            let _ = timer.join();
        }
    }
}
