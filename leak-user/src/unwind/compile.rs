//! From an object file to rows.

use anyhow::Result;
use gimli::{DebugFrame, EhFrame, LittleEndian, UnwindContext, UnwindSection};
use leak_ebpf::frame::{Cfa, NO_RULE, Row, Rule, search};

use super::entries::{Entry, Found, Parser, Reader};
use super::image::{Image, Section};
use super::rows::{Rows, overlay};
use super::rules::Rules;
use super::translate::{self, Storage};

/// How much of a section's instructions may be gone through, as a multiple of its size: entries share instructions, and
/// a hostile file could have a few of them gone through millions of times. Compilers' output comes to less than 1.
const MAX_REPETITION: usize = 4;

/// What was found while compiling, for people to judge a table by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that were compiled.
    pub entries: u32,
    /// Entries that make no sense, whole or in part. Code of theirs has no rule.
    pub broken: u32,
    /// Entries that describe nothing that is code.
    pub outside: u32,
    /// Rows whose rule cannot say how to go up.
    pub unsupported: u32,
    /// Bytes of code without a rule: between functions, or hand-written and never described (`_start`, old linkage
    /// tables).
    pub uncovered: u64,
    /// Whether there were more rows than a table holds.
    pub is_cut: bool,
}

/// A module's rows with rules of their own, not yet those that all modules share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// The address, as linked, that rows count from.
    pub base: u64,
    /// The rules, by the index that the rows know them by.
    pub rules: Vec<Rule>,
    /// The rows (see [`Row`]), in order.
    pub rows: Vec<u64>,
    /// What was found on the way.
    pub stats: Stats,
}

/// A module's rows, whose rules are in the table that all modules share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The address, as linked, that rows count from: the lowest that is loaded, rounded down to a page of 4096 bytes.
    pub base: u64,
    /// The rows (see [`Row`]), in order.
    pub rows: Box<[u64]>,
    /// What was found when they were made.
    pub stats: Stats,
}

impl Table {
    /// Index of the rule that holds at `pc`, counted from the base.
    pub fn rule_at(&self, pc: u32) -> Option<u16> {
        search(self.rows.len() as u32, pc, |index| self.rows.get(index as usize).copied())
    }
}

impl Compiled {
    /// Puts the rules into the shared table, and refers to them there. Takes a time linear in the rows, with no other
    /// work: good to be done under a lock.
    pub fn publish(mut self, rules: &mut Rules) -> Table {
        let shared: Vec<u16> = self.rules.iter().map(|rule| rules.intern(*rule)).collect();
        for row in &mut self.rows {
            let known = Row::from_raw(*row);
            *row = Row::new(known.pc(), shared.get(usize::from(known.rule())).copied().unwrap_or(NO_RULE)).raw();
        }
        Table { base: self.base, rows: self.rows.into_boxed_slice(), stats: self.stats }
    }
}

/// Compiles the unwind information of the ELF file that `data` holds, a program or a library (also the vDSO). The bytes
/// must begin at a multiple of 8; a mapped file must not be one that others can shorten.
///
/// A file without unwind information has a table without rows. An error says in half a sentence what is wrong with
/// the file.
pub fn compile(data: &[u8]) -> Result<Compiled> {
    Ok(compile_image(&Image::parse(data)?))
}

/// Compiles what an object file has for unwinding. Nothing else of the file has a part in it.
pub(super) fn compile_image(image: &Image<'_>) -> Compiled {
    let mut rules = Rules::new();
    let mut stats = Stats::default();
    let mut rows = vec![];
    if let Some(source) = &image.eh_frame {
        let mut section = EhFrame::new(&source.bytes, LittleEndian);
        section.set_address_size(8);
        rows = compile_section(section, source, image, &mut rules, &mut stats);
    }
    if let Some(source) = &image.debug_frame {
        let mut section = DebugFrame::new(&source.bytes, LittleEndian);
        section.set_address_size(8);
        let second = compile_section(section, source, image, &mut rules, &mut stats);
        let merged = overlay(rows, &second);
        stats.is_cut |= merged.is_cut;
        rows = merged.finish();
    }
    let rules = rules.all().to_vec();
    let is_unsupported: Vec<bool> = rules.iter().map(|rule| matches!(rule.cfa(), Cfa::Unsupported(_))).collect();
    let indices = rows.iter().map(|row| usize::from(Row::from_raw(*row).rule()));
    stats.unsupported = indices.filter(|index| is_unsupported.get(*index) == Some(&true)).count() as u32;
    stats.uncovered = uncovered(&image.code, &rows);
    Compiled { base: image.base, rules, rows, stats }
}

fn compile_section<'input, S: UnwindSection<Reader<'input>>>(
    section: S,
    source: &Section<'_>,
    image: &Image<'_>,
    rules: &mut Rules,
    stats: &mut Stats,
) -> Vec<u64> {
    let mut parser = Parser::new(section, source, image);
    let (entries, Found { broken, outside }) = parser.entries(source, image);
    stats.broken += broken;
    stats.outside += outside;
    let mut budget = source.bytes.len().saturating_mul(MAX_REPETITION);
    let mut context = Box::new(UnwindContext::<usize, Storage>::new_in());
    let mut rows = Rows::default();
    for (index, entry) in entries.iter().enumerate() {
        // An entry that begins inside another one has its code from there on, as the C++ runtime sees it.
        let end = entries.get(index + 1).map_or(entry.end, |next| entry.end.min(next.start));
        let sound_until =
            evaluate(&mut parser, Entry { end, ..*entry }, image, &mut budget, &mut context, |pc, rule| {
                rows.push(pc, rules.intern(rule));
            });
        match sound_until {
            Ok(()) => stats.entries += 1,
            Err(pc) => {
                stats.broken += 1;
                rows.push(pc, NO_RULE);
            }
        }
        rows.push(end, NO_RULE);
    }
    stats.is_cut |= rows.is_cut;
    rows.finish()
}

/// Goes through the instructions of an entry and gives the rule of each stretch with the pc that it begins at. An
/// error is the pc from which on they make no sense.
fn evaluate<'input, S: UnwindSection<Reader<'input>>>(
    parser: &mut Parser<'input, S>,
    entry: Entry,
    image: &Image<'_>,
    budget: &mut usize,
    context: &mut UnwindContext<usize, Storage>,
    mut emit: impl FnMut(u32, Rule),
) -> Result<(), u32> {
    let mut reached = entry.start;
    let described = parser.parse(entry.offset as usize).ok_or(reached)?;
    let cost = described.entry_len().saturating_add(described.cie().entry_len());
    *budget = budget.checked_sub(cost).ok_or(reached)?;
    let return_address = described.cie().return_address_register();
    let mut table = described.rows(&parser.section, &parser.bases, context).map_err(|_| reached)?;
    let mut last = None;
    while let Some(row) = table.next_row().map_err(|_| reached)? {
        let relative = |vaddr: u64| vaddr.saturating_sub(image.base).min(entry.end.into()) as u32;
        let (start, end) = (relative(row.start_address()), relative(row.end_address()));
        // Instructions can go backwards by going around the end of the address space.
        if start < reached {
            return Err(reached);
        }
        if start >= end {
            continue;
        }
        let rule = translate::rule(row, &parser.section, return_address);
        if last != Some(rule) {
            emit(start, rule);
            last = Some(rule);
        }
        reached = end;
    }
    Ok(())
}

/// Bytes of the code at which no rule holds.
fn uncovered(code: &[(u32, u32)], rows: &[u64]) -> u64 {
    let size: u64 = code.iter().map(|(start, end)| u64::from(end - start)).sum();
    let stretches = rows.iter().zip(rows.iter().skip(1)).map(|(row, next)| (Row::from_raw(*row), Row::from_raw(*next)));
    let covered = stretches.filter(|(row, _)| row.rule() != NO_RULE).map(|(row, next)| u64::from(next.pc() - row.pc()));
    size.saturating_sub(covered.sum())
}
