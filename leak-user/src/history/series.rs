//! The sessions of one program in their order: what changed from each to the next, and from the first to the last.

use std::rc::Rc;

use super::{
    Leak, Overall, Told,
    leaks::{Leaks, Session},
};
use crate::{diff, session::View};

/// The sessions of a program so far. Of their views only the first and the last are kept.
pub struct Series {
    /// The program's file.
    pub program: String,
    first: Option<(String, Rc<View>)>,
    last: Option<(String, Rc<View>)>,
    build_id: Option<String>,
    sessions: usize,
    leaks: Leaks,
}

impl Series {
    /// Without a session.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            first: None,
            last: None,
            build_id: None,
            sessions: 0,
            leaks: Leaks::default(),
        }
    }

    /// Adds the next session, and enters into `told` what changed since the one before.
    pub fn add(&mut self, told: &mut Told, view: View) {
        if let Some((_, before)) = &self.last {
            told.since_last = Some(summary(before, &view));
        }
        // Of a session without stacks, the build is not known: it is no other one.
        if let Some(build_id) = &told.build_id {
            told.is_other_build = self.build_id.as_ref().is_some_and(|before| before != build_id);
            self.build_id = Some(build_id.clone());
        }
        let session = Session {
            time: &told.time,
            file: &told.file,
            build_id: told.build_id.as_deref(),
            watched_s: told.watched_s,
            sample_bytes: told.sample_bytes,
        };
        self.leaks.add(session, &view);
        self.sessions += 1;
        let view = Rc::new(view);
        self.first.get_or_insert_with(|| (told.time.clone(), Rc::clone(&view)));
        self.last = Some((told.time.clone(), view));
    }

    /// What changed from the first to the last, if they are two.
    pub fn overall(&self) -> Option<Overall> {
        let ((from, first), (to, last)) = (self.first.as_ref()?, self.last.as_ref()?);
        (self.sessions > 1).then(|| Overall {
            program: self.program.clone(),
            from: from.clone(),
            to: to.clone(),
            sessions: self.sessions,
            summary: summary(first, last),
        })
    }

    /// What leaked or grew in any of them.
    pub fn leaks(self) -> Vec<Leak> {
        self.leaks.tell(&self.program)
    }
}

fn summary(before: &View, after: &View) -> String {
    match diff::diff(before, after) {
        Ok(diff) => diff.summary,
        Err(error) => format!("Not compared: {error:#}."),
    }
}
