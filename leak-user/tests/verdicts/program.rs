//! A made-up program: the lives of the blocks that it allocates, each from one of its sites.

use crate::random::Random;

/// A block's life.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Seconds since the program began.
    pub born: f64,
    /// When it is freed; never, if that is infinite.
    pub dies: f64,
    pub bytes: u64,
    /// Which stack allocates it.
    pub site: u32,
}

pub const NEVER: f64 = f64::INFINITY;

/// A program in the making.
pub struct Program {
    pub random: Random,
    pub lives: Vec<Life>,
    /// For how long it is traced, seconds.
    pub horizon: f64,
    /// The site of what is allocated next.
    pub site: u32,
}

impl Program {
    pub fn new(seed: u64, horizon: f64) -> Self {
        Self { random: Random::new(seed), lives: Vec::new(), horizon, site: 0 }
    }

    /// A block that lives for `seconds`.
    pub fn lives(&mut self, born: f64, seconds: f64, bytes: u64) {
        self.block(born, born + seconds, bytes);
    }

    /// A block from one time to another.
    pub fn block(&mut self, born: f64, dies: f64, bytes: u64) {
        if born < self.horizon && dies > born {
            self.lives.push(Life { born, dies, bytes, site: self.site });
        }
    }

    /// A block that is never freed.
    pub fn leaks(&mut self, born: f64, bytes: u64) {
        self.block(born, NEVER, bytes);
    }

    /// Random times from one to another, so many a second.
    pub fn times(&mut self, from: f64, to: f64, rate: f64) -> Vec<f64> {
        self.varying_times(from, to, rate, |_| 1.0)
    }

    /// The same, of which only this share comes about at each time.
    pub fn varying_times(&mut self, from: f64, to: f64, rate: f64, share: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut times = Vec::new();
        let mut now = from + self.random.wait(1.0 / rate);
        while now < to.min(self.horizon) {
            if self.random.chance(share(now)) {
                times.push(now);
            }
            now += self.random.wait(1.0 / rate);
        }
        times
    }

    /// Times at about even distances, each off by up to a tenth.
    pub fn beats(&mut self, from: f64, to: f64, every: f64) -> Vec<f64> {
        let mut times = Vec::new();
        let mut now = from + every * self.random.between(0.5, 1.0);
        while now < to.min(self.horizon) {
            times.push(now + every * self.random.between(-0.1, 0.1));
            now += every;
        }
        times
    }

    /// Blocks of random sizes about a mean, so many a second, with lifetimes of a kind.
    pub fn churn(&mut self, from: f64, to: f64, rate: f64, bytes: u64, life: impl Fn(&mut Random) -> f64) {
        for born in self.times(from, to, rate) {
            let (seconds, size) = (life(&mut self.random), self.size(bytes));
            self.lives(born, seconds, size);
        }
    }

    /// A leak at this rate.
    pub fn leak(&mut self, from: f64, to: f64, rate: f64, bytes: u64) {
        for born in self.times(from, to, rate) {
            let size = self.size(bytes);
            self.leaks(born, size);
        }
    }

    /// A cache of so many entries: each new one drives out an old one, the oldest or any.
    pub fn cache(&mut self, times: &[f64], capacity: usize, bytes: u64, oldest: bool) {
        let mut entries: std::collections::VecDeque<(f64, u64)> = std::collections::VecDeque::new();
        for &now in times {
            if entries.len() == capacity {
                let victim = if oldest { 0 } else { self.random.below(capacity as u64) as usize };
                if let Some((born, size)) = entries.swap_remove_front(victim) {
                    self.block(born, now, size);
                }
            }
            let size = self.size(bytes);
            entries.push_back((now, size));
        }
        for (born, size) in entries {
            self.leaks(born, size);
        }
    }

    /// Remembers something for each key, at the first time that it is asked for.
    pub fn memo(&mut self, times: &[f64], keys: u64, bytes: u64) {
        let mut known = std::collections::HashSet::new();
        for &now in times {
            if known.insert(self.random.below(keys)) {
                let size = self.size(bytes);
                self.leaks(now, size);
            }
        }
    }

    /// What is collected by a garbage collector: all garbage goes at its next run.
    pub fn collected(&mut self, times: &[f64], runs: &[f64], bytes: u64, kept: f64) {
        for &born in times {
            let size = self.size(bytes);
            let is_kept = self.random.chance(kept);
            let run = runs.iter().copied().find(|run| *run > born).unwrap_or(NEVER);
            self.block(born, if is_kept { NEVER } else { run }, size);
        }
    }

    /// A size about a mean, as sizes are: mostly the same, some half or double.
    fn size(&mut self, bytes: u64) -> u64 {
        match self.random.below(8) {
            0 => (bytes / 2).max(1),
            1 => bytes * 2,
            _ => bytes,
        }
    }
}
