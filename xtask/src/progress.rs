//! A line per step of a longer task, with the time it took; none where there was nothing to do.
//!
//! A step is silent until something it runs has something to say, or until it is announced. Results of silent steps
//! are held back, and shown only once a later step does speak. Lines go to stderr: stdout belongs to results.

use std::time::{Duration, Instant};

/// The progress of one task.
pub struct Progress {
    steps: usize,
    step: usize,
    text: String,
    announced: bool,
    spoke: bool,
    held: Vec<String>,
    task_began: Instant,
    step_began: Instant,
}

impl Progress {
    /// A task of `steps` steps.
    pub fn new(steps: usize) -> Self {
        let now = Instant::now();
        Self {
            steps,
            step: 0,
            text: String::new(),
            announced: false,
            spoke: false,
            held: Vec::new(),
            task_began: now,
            step_began: now,
        }
    }

    /// The next step begins; nothing is shown yet.
    pub fn begin(&mut self, text: &str) {
        self.step += 1;
        text.clone_into(&mut self.text);
        self.announced = false;
        self.step_began = Instant::now();
    }

    /// Shows that the step runs: its output follows, or it takes long.
    pub fn announce(&mut self) {
        if self.announced {
            return;
        }
        for line in self.held.drain(..) {
            eprintln!("{line}");
        }
        eprintln!("{} …", self.head());
        self.announced = true;
        self.spoke = true;
    }

    /// The step is done, with `result` (which may be empty).
    pub fn done(&mut self, result: &str) {
        if self.announced {
            let comma = if result.is_empty() { "" } else { ", " };
            eprintln!("{} … {result}{comma}{}", self.head(), seconds(self.step_began.elapsed()));
        } else {
            let result = if result.is_empty() { "nothing to do" } else { result };
            self.held.push(format!("{} … {result}", self.head()));
        }
    }

    /// Whether any step had something to do.
    pub fn spoke(&self) -> bool {
        self.spoke
    }

    /// How long the task has taken, for people.
    pub fn elapsed(&self) -> String {
        seconds(self.task_began.elapsed())
    }

    /// `[2/4] what the step does`.
    fn head(&self) -> String {
        format!("[{}/{}] {}", self.step, self.steps, self.text)
    }
}

/// A duration for people: `0.4 s`, `12 s`, `2 min 5 s`.
fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_millis(12_900)), "12 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
