//! Writes a session, a snapshot at a time: each is there whole or not at all, whatever ends the recorder.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use foldhash::fast::RandomState;
use rusqlite::{Connection, Transaction, params};
use rustix::fs::{FlockOperation, flock};

use super::{
    Head, Point, StackMoment,
    bytes::{pack, put},
    columns::{Lives, encode_lives, encode_points},
    events::Block,
    schema,
};
use crate::{ledger::Ages, report::Frame, text::printable};

/// So many snapshots have every stack's ages; of those after, every [`THEN_EVERY`]th, those with a label and the last.
const LIVES_UNTIL: u32 = 120;
const THEN_EVERY: u32 = 10;

/// A session that is being written.
pub struct Recorder {
    connection: Connection,
    /// Holds the lock that tells other recorders to stay away. It is never closed before the connection: that would end
    /// the connection's own locks on the file.
    lock: File,
    path: PathBuf,
    /// Snapshots written.
    snapshots: u32,
    blocks: u32,
    known: Known,
    points: Vec<Point>,
    lives: Vec<Lives>,
}

/// What is in the file already.
#[derive(Default)]
struct Known {
    stacks: HashMap<u64, Recorded, RandomState>,
    frames: HashMap<Frame, u32, RandomState>,
    modules: HashMap<Module, u32, RandomState>,
}

/// A module's name and build ID.
type Module = (Arc<str>, Option<Arc<str>>);

/// A stack in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Recorded {
    number: u32,
    /// What the trace said last.
    last: Point,
    last_lifetimes: Ages,
    /// What to add to that: a trace forgets a stack that holds nothing, and counts from nothing when it comes again.
    freed_before: (u64, u64),
    lifetimes_before: Ages,
}

/// What failed before there was anything to keep leaves no file behind.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.snapshots == 0 && self.blocks == 0 && is_at(&self.lock, &self.path).unwrap_or(false) {
            // Where it cannot be removed, an empty session stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether it is this file that is at the path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (own, there) = (file.metadata()?, std::fs::symlink_metadata(path)?);
    Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
}

impl Recorder {
    /// Makes a new session's file. One that is there is only overwritten with `force`, and never while it is recorded.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let name = printable(&path.to_string_lossy()).into_owned();
        let file = match make(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && force => {
                let old = File::open(path).with_context(|| format!("{name} cannot be replaced; give another name"))?;
                if !old.metadata()?.is_file() {
                    bail!("{name} is not a file that could be replaced; give another name");
                }
                lock(&old, &name)?;
                std::fs::remove_file(path).with_context(|| format!("{name} cannot be replaced; give another name"))?;
                make(path)
            }
            made => made,
        };
        let file = match file {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{name} is there already; give another name, or --force to replace it")
            }
            file => file.with_context(|| format!("{name} cannot be written; give -w a place that can"))?,
        };
        lock(&file, &name)?;
        let connection =
            schema::create(path).with_context(|| format!("{name} cannot be written; give -w a place that can"))?;
        Ok(Self {
            connection,
            lock: file,
            path: path.to_owned(),
            snapshots: 0,
            blocks: 0,
            known: Known::default(),
            points: Vec::new(),
            lives: Vec::new(),
        })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a snapshot. `frames` is asked for the frames of stacks, by their place in `stacks`, that are new; one of which
    /// it has none is left out.
    ///
    /// After an error the session is as it was before.
    pub fn snapshot(
        &mut self,
        head: &Head,
        stacks: &[StackMoment],
        mut frames: impl FnMut(usize) -> Option<Vec<Frame>>,
    ) -> Result<()> {
        let transaction = self.connection.transaction()?;
        let known = (self.known.stacks.len(), self.known.frames.len(), self.known.modules.len());
        let written = (|| {
            for (place, stack) in stacks.iter().enumerate() {
                if !self.known.stacks.contains_key(&stack.id)
                    && let Some(frames) = frames(place)
                {
                    self.known.add_stack(&transaction, stack, &frames)?;
                }
            }
            let number = self.snapshots + 1;
            let (points, mut lives) = (self.known.points(stacks, &self.points), self.lives.clone());
            lives.resize(points.len(), Lives::default());
            let has_lives = number <= LIVES_UNTIL
                || number.is_multiple_of(THEN_EVERY)
                || head.report.label.is_some()
                || head.report.last;
            let packed_lives = if has_lives {
                self.known.lives(stacks, &mut lives);
                Some(encode_lives(&self.lives, &lives)?)
            } else {
                lives.clone_from(&self.lives);
                None
            };
            let report = &head.report;
            transaction.prepare_cached("INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
                params![
                    number,
                    report.elapsed_s,
                    report.time,
                    report.label,
                    pack(&serde_json::to_vec(head)?)?,
                    encode_points(&self.points, &points)?,
                    packed_lives,
                ],
            )?;
            anyhow::Ok((number, points, lives))
        })();
        let written = written.and_then(|written| {
            transaction.commit()?;
            Ok(written)
        });
        match written {
            Ok((number, points, lives)) => {
                self.known.note(stacks);
                (self.snapshots, self.points, self.lives) = (number, points, lives);
                Ok(())
            }
            Err(error) => {
                self.known.forget_since(known);
                Err(error)
            }
        }
    }

    /// Writes a block of events.
    pub fn events(&mut self, block: &Block) -> Result<()> {
        let packed = block.pack()?;
        self.connection.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3)")?.execute(params![
            self.blocks,
            block.len() as i64,
            packed
        ])?;
        self.blocks += 1;
        Ok(())
    }
}

fn make(path: &Path) -> io::Result<File> {
    // What a program does is its owner's business.
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn lock(file: &File, name: &str) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(_) => bail!("{name} is being recorded by another leaktrace; give another name"),
    }
}

impl Known {
    fn add_stack(&mut self, transaction: &Transaction<'_>, stack: &StackMoment, frames: &[Frame]) -> Result<()> {
        let mut numbers = Vec::with_capacity(frames.len() * 2);
        for frame in frames {
            put(&mut numbers, self.frame(transaction, frame)?.into());
        }
        let number = self.stacks.len() as u32;
        transaction.prepare_cached("INSERT INTO stacks VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            number,
            format!("{:016x}", stack.id),
            stack.pid,
            stack.complete,
            numbers
        ])?;
        self.stacks.insert(stack.id, Recorded { number, ..Recorded::default() });
        Ok(())
    }

    fn frame(&mut self, transaction: &Transaction<'_>, frame: &Frame) -> Result<u32> {
        if let Some(number) = self.frames.get(frame) {
            return Ok(*number);
        }
        let module = frame.module.as_ref().map(|name| self.module(transaction, name, frame.build_id.as_ref()));
        let number = self.frames.len() as u32;
        transaction.prepare_cached("INSERT INTO frames VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
            number,
            module.transpose()?,
            frame.offset as i64,
            frame.function,
            frame.file,
            frame.line,
            frame.inlined,
            frame.kind.name(),
        ])?;
        self.frames.insert(frame.clone(), number);
        Ok(number)
    }

    fn module(&mut self, transaction: &Transaction<'_>, name: &Arc<str>, build_id: Option<&Arc<str>>) -> Result<u32> {
        let key = (Arc::clone(name), build_id.cloned());
        if let Some(number) = self.modules.get(&key) {
            return Ok(*number);
        }
        let number = self.modules.len() as u32;
        transaction.prepare_cached("INSERT INTO modules VALUES (?1, ?2, ?3)")?.execute(params![
            number,
            &**name,
            build_id.map(|id| &**id)
        ])?;
        self.modules.insert(key, number);
        Ok(number)
    }

    /// Everybody's figures now, by number. A stack that the trace has forgotten holds nothing any more.
    fn points(&self, stacks: &[StackMoment], before: &[Point]) -> Vec<Point> {
        let gone = |point: &Point| Point {
            freed_bytes: point.freed_bytes,
            freed_count: point.freed_count,
            ..Point::default()
        };
        let mut points: Vec<Point> = before.iter().map(gone).collect();
        points.resize(self.stacks.len(), Point::default());
        for (recorded, stack) in self.recorded(stacks) {
            let recorded = recorded.up_to(stack);
            points[recorded.number as usize] = Point {
                freed_bytes: recorded.freed_before.0 + stack.point.freed_bytes,
                freed_count: recorded.freed_before.1 + stack.point.freed_count,
                ..stack.point
            };
        }
        points
    }

    fn lives(&self, stacks: &[StackMoment], lives: &mut [Lives]) {
        for live in &mut *lives {
            *live = Lives { lifetimes: live.lifetimes, ..Lives::default() };
        }
        for (recorded, stack) in self.recorded(stacks) {
            let recorded = recorded.up_to(stack);
            let mut lifetimes = stack.lifetimes;
            lifetimes.0.iter_mut().zip(recorded.lifetimes_before.0).for_each(|(count, before)| *count += before);
            lives[recorded.number as usize] = Lives {
                shares: Lives::shares_of(&stack.ages),
                lifetimes,
                oldest: (stack.oldest_at_s.max(0.0) * 10.0) as u64,
            };
        }
    }

    fn recorded<'a>(&'a self, stacks: &'a [StackMoment]) -> impl Iterator<Item = (&'a Recorded, &'a StackMoment)> {
        stacks.iter().filter_map(|stack| Some((self.stacks.get(&stack.id)?, stack)))
    }

    fn note(&mut self, stacks: &[StackMoment]) {
        for stack in stacks {
            if let Some(recorded) = self.stacks.get_mut(&stack.id) {
                *recorded = recorded.up_to(stack);
                (recorded.last, recorded.last_lifetimes) = (stack.point, stack.lifetimes);
            }
        }
    }

    /// Forgets what was added since there were so many stacks, frames and modules.
    fn forget_since(&mut self, (stacks, frames, modules): (usize, usize, usize)) {
        self.stacks.retain(|_, recorded| (recorded.number as usize) < stacks);
        self.frames.retain(|_, number| (*number as usize) < frames);
        self.modules.retain(|_, number| (*number as usize) < modules);
    }
}

impl Recorded {
    /// With what was before, if the trace has begun to count anew.
    fn up_to(&self, stack: &StackMoment) -> Self {
        let mut recorded = *self;
        if stack.point.allocated_count() < self.last.allocated_count() {
            recorded.freed_before.0 += self.last.freed_bytes;
            recorded.freed_before.1 += self.last.freed_count;
            let before = recorded.lifetimes_before.0.iter_mut();
            before.zip(self.last_lifetimes.0).for_each(|(before, last)| *before += last);
        }
        recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_snapshot_leaves_no_file_and_nobody_elses_is_removed() {
        let path = std::env::temp_dir().join(format!("leaktrace-empty-{}.leak", std::process::id()));
        drop(Recorder::create(&path, true).unwrap());
        assert!(!path.exists());
        let recorder = Recorder::create(&path, true).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(recorder);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "another's");
        std::fs::remove_file(&path).unwrap();
    }
}
