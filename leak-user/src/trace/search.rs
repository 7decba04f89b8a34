//! When to look once more for an allocator that is not there yet: soon at first, for a program's libraries are mapped
//! within milliseconds of its start, and then ever more seldom, for as long as the process runs.

use std::time::{Duration, Instant};

use crate::process::modules::ModuleIndex;

/// The first pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest; each is twice the one before.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A program that shows no allocator for so long is worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// A search that has found nothing so far.
#[derive(Debug)]
pub struct Search {
    began: Instant,
    next: Instant,
    pause: Duration,
    in_vain: Vec<ModuleIndex>,
    is_said: bool,
}

impl Search {
    /// Begins with a look that found nothing in these files.
    pub fn begin(now: Instant, in_vain: Vec<ModuleIndex>) -> Self {
        Self { began: now, next: now + FIRST_PAUSE, pause: FIRST_PAUSE, in_vain, is_said: false }
    }

    /// Whether to look again.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Whether it need not look at these files: they are those of the last look, and a person knows of it.
    pub fn is_in_vain(&self, files: &[ModuleIndex]) -> bool {
        self.is_said && self.in_vain == files
    }

    /// Goes on after a look that found nothing in these files. Says whether a person is to be told, which is once.
    pub fn go_on(&mut self, now: Instant, in_vain: Vec<ModuleIndex>) -> bool {
        self.pause = (2 * self.pause).min(LAST_PAUSE);
        self.next = now + self.pause;
        self.in_vain = in_vain;
        let is_news = !self.is_said && now - self.began >= WORTH_A_WORD;
        self.is_said |= is_news;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for so long at every tick of the poll; how often the search was due, and how often it had news.
    fn search_for(time: Duration) -> (u32, u32) {
        let began = Instant::now();
        let mut search = Search::begin(began, Vec::new());
        let (mut looks, mut news) = (0, 0);
        for tick in 0..time.as_millis() / 20 {
            let now = began + Duration::from_millis(20 * tick as u64);
            if search.is_due(now) {
                looks += 1;
                news += u32::from(search.go_on(now, Vec::new()));
            }
        }
        (looks, news)
    }

    #[test]
    fn it_looks_often_at_first_and_seldom_later() {
        assert!(search_for(Duration::from_millis(200)).0 >= 3);
        assert!(search_for(Duration::from_mins(1)).0 <= 20);
    }

    #[test]
    fn it_has_news_once_and_not_at_once() {
        assert_eq!(search_for(Duration::from_millis(900)).1, 0);
        assert_eq!(search_for(Duration::from_mins(1)).1, 1);
    }
}
