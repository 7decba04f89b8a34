//! A stack's past in bounded room: when it is full, every other point goes and the next ones come half as often.

/// Most points that are kept.
const CAPACITY: usize = 32;

/// Outstanding bytes at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Since tracing began.
    pub seconds: f64,
    /// Outstanding.
    pub bytes: f64,
}

/// Points from a stack's first appearance to now.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: Vec<Point>,
    /// Ticks between kept points, as a power of two.
    stride_log2: u32,
    ticks: u64,
}

impl History {
    /// Takes note of the bytes at a tick. Ticks must come evenly.
    pub fn tick(&mut self, point: Point) {
        if self.ticks.trailing_zeros() >= self.stride_log2 || self.ticks == 0 {
            if self.points.len() == CAPACITY {
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride_log2 += 1;
            }
            self.points.push(point);
        }
        self.ticks += 1;
    }

    /// The kept points, oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_stays_small_even_and_whole() {
        let mut history = History::default();
        for second in 0..10_000_u32 {
            history.tick(Point { seconds: f64::from(second), bytes: 0.0 });
        }
        let points = history.points();
        assert!(points.len() <= CAPACITY && points.len() >= CAPACITY / 2);
        assert!(points[0].seconds.abs() < 1e-9);
        let step = points[1].seconds - points[0].seconds;
        assert!(points.windows(2).all(|pair| (pair[1].seconds - pair[0].seconds - step).abs() < 1e-9));
        assert!(points[points.len() - 1].seconds > 9_000.0);
    }
}
