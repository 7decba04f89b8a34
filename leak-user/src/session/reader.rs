//! Reads a session back.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, Row, Rows};

use super::{
    Filter, Head, MOST_SNAPSHOTS, Point, Snapshot, StackView, View,
    bytes::{Rest, unpack},
    columns::{Lives, apply_lives, apply_points},
    events::Block,
    schema,
};
use crate::{
    growth::{self, Judgement, Recorded},
    report::{Frame, FrameKind},
    text::printable,
};

/// A session's file, open.
pub struct Session {
    connection: Connection,
    name: String,
    marks: Vec<Mark>,
}

/// A snapshot, as a list shows it.
#[derive(Clone, Debug)]
pub struct Mark {
    /// From 1.
    pub number: u32,
    /// Seconds since tracing began.
    pub elapsed_s: f64,
    /// RFC 3339.
    pub time: String,
    /// Its label: not to be printed raw.
    pub label: Option<String>,
}

/// A stack as the file has it.
struct Stack {
    id: String,
    pid: u32,
    complete: bool,
    frames: Vec<Frame>,
}

impl Session {
    /// Opens a session, or says in a sentence why it is none that can be read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = printable(&path.to_string_lossy()).into_owned();
        let connection = schema::open(path)?;
        let marks = all(&connection, "SELECT number, elapsed_s, time, label FROM snapshots ORDER BY number", |row| {
            Ok(Mark { number: row.get(0)?, elapsed_s: row.get(1)?, time: row.get(2)?, label: row.get(3)? })
        });
        let marks = marks.map_err(|error| schema::broken(&name, &error))?;
        ensure!(!marks.is_empty(), "{name} has no snapshot yet; record for longer");
        Ok(Self { connection, name, marks })
    }

    /// Its snapshots, oldest first. There is one at least.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Its file, safe to print.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its last snapshot says, but for its stacks: all that is asked of a session in a list.
    pub fn last_head(&self) -> Result<Head> {
        let query = "SELECT head FROM snapshots ORDER BY number DESC LIMIT 1";
        let packed = self.connection.query_row(query, [], |row| row.get::<_, Vec<u8>>(0));
        let packed = packed.map_err(|error| schema::broken(&self.name, &error))?;
        let head = unpack(&packed).and_then(|json| Ok(serde_json::from_slice(&json)?));
        head.with_context(|| format!("{} is broken; give another session", self.name))
    }

    /// What is between two snapshots: each given by label or number, or the first and the last.
    pub fn view(&self, from: Option<&str>, to: Option<&str>, filter: &Filter) -> Result<View> {
        let from = from.map_or(Ok(0), |from| self.find(from))?;
        let to = to.map_or(Ok(self.marks.len() - 1), |to| self.find(to))?;
        ensure!(
            from <= to,
            "--from (snapshot {}) comes after --to (snapshot {}) in {}; swap them",
            self.marks[from].number,
            self.marks[to].number,
            self.name
        );
        self.read(from, to, filter).with_context(|| format!("{} is broken; give another session", self.name))
    }

    /// Gives every block of events to `take`, in order. Says whether there are any.
    pub fn events(&self, mut take: impl FnMut(Block) -> Result<()>) -> Result<bool> {
        let mut statement = self.connection.prepare("SELECT block FROM events ORDER BY number")?;
        let mut rows = statement.query([])?;
        let mut has_events = false;
        while let Some(row) = self.next(&mut rows)? {
            has_events = true;
            let block = Block::unpack(row.get_ref(0)?.as_blob()?)
                .with_context(|| format!("{} is broken; give another session", self.name))?;
            take(block)?;
        }
        Ok(has_events)
    }

    /// The frames of each stack, by its id.
    pub fn frames(&self) -> Result<Vec<(String, Vec<Frame>)>> {
        Ok(self.stacks()?.into_iter().map(|stack| (stack.id, stack.frames)).collect())
    }

    fn next<'a>(&self, rows: &'a mut Rows<'_>) -> Result<Option<&'a Row<'a>>> {
        rows.next().map_err(|error| schema::broken(&self.name, &error))
    }

    /// The place in `marks` of the snapshot with this label, the last of several, or this number.
    fn find(&self, wanted: &str) -> Result<usize> {
        let labelled = self.marks.iter().rposition(|mark| mark.label.as_deref() == Some(wanted));
        let numbered = || self.marks.iter().position(|mark| wanted.parse() == Ok(mark.number));
        if let Some(place) = labelled.or_else(numbered) {
            return Ok(place);
        }
        let mut labels: Vec<_> = self.marks.iter().filter_map(|mark| mark.label.as_deref().map(printable)).collect();
        labels.dedup();
        let labels =
            if labels.is_empty() { "no labels".to_owned() } else { format!("the labels {}", labels.join(", ")) };
        let (first, last) = (&self.marks[0], &self.marks[self.marks.len() - 1]);
        bail!(
            "\"{}\" is no snapshot of {}, which has {} to {} and {labels}",
            printable(wanted),
            self.name,
            first.number,
            last.number
        )
    }

    fn read(&self, from: usize, to: usize, filter: &Filter) -> Result<View> {
        let stacks = self.stacks()?;
        let wanted: Vec<bool> = stacks.iter().map(|stack| filter.admits(&stack.frames)).collect();
        let kept = self.kept(from, to);
        let mut points = vec![Point::default(); stacks.len()];
        let mut lives = vec![Lives::default(); stacks.len()];
        let mut series: Vec<Vec<Point>> =
            wanted.iter().map(|wanted| Vec::with_capacity(if *wanted { kept.len() } else { 0 })).collect();
        let mut snapshots = Vec::with_capacity(kept.len());
        let mut sizes = Vec::new();
        let mut statement = self.connection.prepare("SELECT head, points, lives FROM snapshots ORDER BY number")?;
        let mut rows = statement.query([])?;
        for place in 0..=to {
            let row = self.next(&mut rows)?.context("it has lost a snapshot")?;
            apply_points(row.get_ref(1)?.as_blob()?, &mut points)?;
            if let Some(packed) = row.get_ref(2)?.as_blob_or_null()? {
                apply_lives(packed, &mut lives)?;
            }
            if kept.binary_search(&place).is_err() {
                continue;
            }
            let head: Head = serde_json::from_slice(&unpack(row.get_ref(0)?.as_blob()?)?)?;
            snapshots.push(Snapshot { number: self.marks[place].number, report: head.report, memory: head.memory });
            sizes = head.sizes;
            for ((series, point), _) in series.iter_mut().zip(&points).zip(&wanted).filter(|(_, wanted)| **wanted) {
                series.push(*point);
            }
        }
        let now = snapshots.last().map_or(0.0, |snapshot: &Snapshot| snapshot.report.elapsed_s);
        let all = stacks.into_iter().zip(series).zip(lives).zip(wanted).filter(|(_, wanted)| *wanted);
        let mut stacks: Vec<StackView> = all
            .filter(|(((_, series), _), _)| {
                let last = series.last().copied().unwrap_or_default();
                last.allocated_count() > 0 && !(filter.strict && last.freed_count > 0)
            })
            .map(|(((stack, points), lives), _)| {
                let held = points.last().map_or(0, Point::held_bytes);
                let oldest_s = if held == 0 { 0.0 } else { (now - lives.oldest as f64 / 10.0).max(0.0) };
                let Stack { id, pid, complete, frames } = stack;
                let (ages, lifetimes) = (lives.ages(held), lives.lifetimes);
                let judgement = Judgement::default();
                StackView { id, pid, complete, frames, points, ages, lifetimes, oldest_s, judgement }
            })
            .collect();
        stacks.sort_by(|a, b| b.last().held_bytes().cmp(&a.last().held_bytes()).then_with(|| a.id.cmp(&b.id)));
        let mut view = View { snapshots, snapshots_recorded: to - from + 1, stacks, sizes };
        let judge = |stack: &StackView| growth::judge(&Recorded::of(stack, &view).evidence(stack));
        let judgements: Vec<Judgement> = view.stacks.iter().map(judge).collect();
        for (stack, judgement) in view.stacks.iter_mut().zip(judgements) {
            stack.judgement = judgement;
        }
        Ok(view)
    }

    /// The snapshots to show: the first and the last, those with a label as far as they go, and of the others some.
    fn kept(&self, from: usize, to: usize) -> Vec<usize> {
        let labelled = self.marks[from..=to].iter().filter(|mark| mark.label.is_some()).count();
        let labels_fit = labelled <= MOST_SNAPSHOTS / 2;
        let others = MOST_SNAPSHOTS - if labels_fit { labelled } else { 0 } - 1;
        let stride = (to - from + 1).div_ceil(others);
        (from..=to)
            .filter(|place| {
                (place - from).is_multiple_of(stride)
                    || *place == to
                    || labels_fit && self.marks[*place].label.is_some()
            })
            .collect()
    }

    fn stacks(&self) -> Result<Vec<Stack>> {
        self.read_stacks().with_context(|| format!("{} is broken; give another session", self.name))
    }

    fn read_stacks(&self) -> Result<Vec<Stack>> {
        let modules: Vec<(Arc<str>, Option<Arc<str>>)> =
            all(&self.connection, "SELECT name, build_id FROM modules ORDER BY number", |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let query = "SELECT module, offset, function, file, line, inlined, kind FROM frames ORDER BY number";
        let frames = all(&self.connection, query, |row| {
            let module = row.get::<_, Option<u32>>(0)?.and_then(|number| modules.get(number as usize));
            Ok(Frame {
                module: module.map(|(name, _)| Arc::clone(name)),
                build_id: module.and_then(|(_, build_id)| build_id.clone()),
                offset: row.get::<_, i64>(1)? as u64,
                function: row.get(2)?,
                file: row.get(3)?,
                line: row.get(4)?,
                inlined: row.get(5)?,
                kind: FrameKind::named(row.get_ref(6)?.as_str()?),
            })
        })?;
        let mut statement = self.connection.prepare("SELECT id, pid, complete, frames FROM stacks ORDER BY number")?;
        let mut rows = statement.query([])?;
        let mut stacks = Vec::new();
        while let Some(row) = rows.next()? {
            let mut rest = Rest(row.get_ref(3)?.as_blob()?);
            let mut own = Vec::with_capacity(rest.0.len());
            while !rest.0.is_empty() {
                let number = usize::try_from(rest.number()?).unwrap_or(usize::MAX);
                own.push(frames.get(number).context("it has a stack of frames that it does not name")?.clone());
            }
            stacks.push(Stack { id: row.get(0)?, pid: row.get(1)?, complete: row.get(2)?, frames: own });
        }
        Ok(stacks)
    }
}

fn all<T>(
    connection: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(query)?.query_map([], read)?.collect()
}
