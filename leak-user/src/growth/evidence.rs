//! What a verdict is based on: the past of one stack, and the ages of its blocks.

use super::History;
use crate::{
    ledger::{Ages, Stack, Sums},
    session::{Point, StackView, View},
};

/// The figures of a stack at one moment. Estimates where allocations were sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Seconds in which allocations were watched, since tracing began.
    pub seconds: f64,
    /// Bytes that were not seen to be given back.
    pub held_bytes: f64,
    /// Blocks of those.
    pub held_count: f32,
    /// Standard error of the bytes; 0 where every allocation was traced.
    pub bytes_stderr: f32,
    /// Bytes given back since tracing began.
    pub freed_bytes: f32,
    /// Blocks of those.
    pub freed_count: f32,
}

/// A stack may have a history of many of them.
const _: () = assert!(size_of::<Moment>() <= 40);

impl Moment {
    /// A stack's sums when allocations had been watched for so many seconds.
    pub fn of_sums(seconds: f64, sums: &Sums) -> Self {
        let held = sums.held();
        Self {
            seconds,
            held_bytes: held.bytes,
            held_count: held.count as f32,
            bytes_stderr: held.bytes_stderr() as f32,
            freed_bytes: sums.freed.bytes as f32,
            freed_count: sums.freed.count as f32,
        }
    }

    /// A session's point when allocations had been watched for so many seconds.
    pub fn of_point(seconds: f64, point: &Point) -> Self {
        Self {
            seconds,
            held_bytes: point.held_bytes() as f64,
            held_count: point.held_count() as f32,
            bytes_stderr: point.bytes_stderr as f32,
            freed_bytes: point.freed_bytes as f32,
            freed_count: point.freed_count as f32,
        }
    }

    /// Whether nothing has happened between the two.
    pub fn is_still(&self, other: &Self) -> bool {
        Self { seconds: 0.0, ..*self } == Self { seconds: 0.0, ..*other }
    }
}

/// All that is known of how a stack's memory comes and goes.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its past, oldest first, at any distances. Where nothing happened, the ends are enough.
    pub moments: &'a [Moment],
    /// Bytes held now, by age.
    pub ages: &'a Ages,
    /// Blocks that were freed since tracing began, by the age that they reached.
    pub lifetimes: &'a Ages,
    /// Seconds by the clock from the first moment to the last. Ages are by the clock; where allocations were not watched all
    /// the time, moments are not.
    pub clock_s: f64,
    /// Bytes of those held of which nobody watched for a time whether they are given back.
    pub unknown_bytes: f64,
}

impl<'a> Evidence<'a> {
    /// Of a stack in a live trace that watches allocations for this share of the time.
    pub fn live(history: &'a History, ages: &'a Ages, stack: &'a Stack, watched_share: f64) -> Self {
        let moments = history.moments();
        let watched_s = match moments {
            [first, .., last] => last.seconds - first.seconds,
            _ => 0.0,
        };
        let clock_s = if watched_share > 0.0 { watched_s / watched_share } else { watched_s };
        Self { moments, ages, lifetimes: &stack.lifetimes, clock_s, unknown_bytes: stack.sums.unknown.bytes }
    }

    /// The share of the time in which allocations were watched.
    pub fn watched_share(&self) -> f64 {
        let watched = match self.moments {
            [first, .., last] => last.seconds - first.seconds,
            _ => 0.0,
        };
        if watched > 0.0 && self.clock_s > watched { watched / self.clock_s } else { 1.0 }
    }

    /// Whether the stack holds memory and never gave any back: what `--strict` objects to, whatever the trend.
    pub fn gave_nothing_back(&self) -> bool {
        let last = self.moments.last().copied().unwrap_or_default();
        last.held_bytes > 0.0 && last.freed_count <= 0.0 && last.freed_bytes <= 0.0 && self.lifetimes.total() == 0
    }
}

/// The past of a stack in a part of a session.
#[derive(Clone, Debug)]
pub struct Recorded {
    moments: Vec<Moment>,
    clock_s: f64,
}

impl Recorded {
    /// Reads it from the stack's points. It begins with the last snapshot at which nothing had been allocated here.
    pub fn of(stack: &StackView, view: &View) -> Self {
        let empty = stack.points.iter().take_while(|point| point.allocated_count() == 0).count();
        let known = view.snapshots.iter().zip(&stack.points).skip(empty.saturating_sub(1));
        let clock_s =
            known.clone().next().map_or(0.0, |(first, _)| view.last().report.elapsed_s - first.report.elapsed_s);
        let mut moments: Vec<Moment> = known
            .map(|(snapshot, point)| {
                let process = snapshot.report.processes.iter().find(|process| process.pid == stack.pid);
                let seconds = process.map_or(snapshot.report.elapsed_s, |process| process.watched_s);
                Moment::of_point(seconds, point)
            })
            .collect();
        // Between two moments nothing was allocated under watch: of them the later has seen more of what was freed.
        moments.dedup_by(|late, early| {
            let is_same = late.seconds <= early.seconds;
            if is_same {
                *early = Moment { seconds: early.seconds, ..*late };
            }
            is_same
        });
        Self { moments, clock_s }
    }

    /// With the ages of the stack's blocks.
    pub fn evidence<'a>(&'a self, stack: &'a StackView) -> Evidence<'a> {
        Evidence {
            moments: &self.moments,
            ages: &stack.ages,
            lifetimes: &stack.lifetimes,
            clock_s: self.clock_s,
            unknown_bytes: stack.last().unknown_bytes as f64,
        }
    }
}
