//! A table says what gimli says: for the rows of real programs, both are carried out on the same made-up registers and
//! memory, and must lead to the same caller. gimli's side runs DWARF's expressions as the little programs they are.

use std::{fs, path::Path};

use gimli::{
    BaseAddresses, CfaRule, EhFrame, Encoding, EndianSlice, EvaluationResult, Format, FrameDescriptionEntry,
    LittleEndian, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection as _, UnwindTableRow, Value,
    X86_64,
};
use leak_ebpf::frame::{Cfa, Registers, Saved, Step, Unsupported, step};
use leak_user::unwind::{self, Rules};
use object::{Object as _, ObjectSection as _};

use crate::samples;

type Reader<'data> = EndianSlice<'data, LittleEndian>;

/// Entries of a file that are tried; of larger files, so many evenly spread.
const MOST_ENTRIES: usize = 4000;

/// A word of memory that never was: aligned, above every register, different for every address.
fn memory(addr: u64) -> u64 {
    0x7200_0000_0000 + (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30 & !7)
}

/// Registers whose frames lie above one another, so that every CFA that makes sense lies above the stack pointer.
fn registers(ip: u64) -> Registers {
    Registers { ip, sp: 0x7000_0000_0000, bp: 0x7100_0000_0000, bx: 0x7180_0000_0000 }
}

/// gimli's side.
struct Dwarf<'data> {
    section: EhFrame<Reader<'data>>,
    at: Registers,
}

impl Dwarf<'_> {
    fn register(&self, register: Register) -> Option<u64> {
        match register {
            X86_64::RSP => Some(self.at.sp),
            X86_64::RBP => Some(self.at.bp),
            X86_64::RBX => Some(self.at.bx),
            X86_64::RA => Some(self.at.ip),
            _ => None,
        }
    }

    /// What the expression computes; `None` when it needs a register that rules do not follow.
    fn run(&self, expression: &UnwindExpression<usize>, initial: Option<u64>) -> Option<u64> {
        let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };
        let mut evaluation = expression.get(&self.section).expect("an expression").evaluation(encoding);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().expect("it runs");
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(self.register(register)?)).expect("it runs")
                }
                EvaluationResult::RequiresMemory { address, .. } => {
                    evaluation.resume_with_memory(Value::Generic(memory(address))).expect("it runs")
                }
                other => panic!("{other:?}"),
            };
        }
        Some(evaluation.value_result().expect("a value").to_u64(u64::MAX).expect("an address"))
    }

    fn cfa(&self, row: &UnwindTableRow<usize>) -> Option<u64> {
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                Some(self.register(*register)?.wrapping_add(*offset as u64))
            }
            CfaRule::Expression(expression) => self.run(expression, None),
        }
    }

    /// The caller's value of a register that is `now` here; `None` when it cannot be known from what is followed.
    fn caller(&self, row: &UnwindTableRow<usize>, register: Register, cfa: u64) -> Option<u64> {
        match row.register(register) {
            None | Some(RegisterRule::SameValue) => self.register(register),
            Some(RegisterRule::Offset(offset)) => Some(memory(cfa.wrapping_add(offset as u64))),
            Some(RegisterRule::Expression(at)) => Some(memory(self.run(&at, Some(cfa))?)),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    unsupported: u64,
    forgotten: u64,
}

/// Carries out both on one row, and compares.
fn compare(
    dwarf: &Dwarf<'_>,
    row: &UnwindTableRow<usize>,
    rule: leak_ebpf::frame::Rule,
    tally: &mut Tally,
    what: &str,
) {
    tally.rows += 1;
    let found = step(rule, dwarf.at, |addr| Some(memory(addr)));
    let ip = row.register(X86_64::RA);
    match rule.cfa() {
        Cfa::End => return assert!(matches!(ip, Some(RegisterRule::Undefined)), "{what}"),
        Cfa::Unsupported(why) => {
            tally.unsupported += 1;
            return assert!(!matches!(why, Unsupported::Empty | Unsupported::TableFull), "{what}: {why:?}");
        }
        _ => {}
    }
    let cfa = dwarf.cfa(row).unwrap_or_else(|| panic!("{what}: a CFA that is not followed, but {rule:?}"));
    let ip = dwarf.caller(row, X86_64::RA, cfa).expect("a return address");
    let (Step::Up(up) | Step::Interrupted(up)) = found else { panic!("{what}: {found:?} by {:?}", rule.cfa()) };
    assert_eq!((up.ip, up.sp), (ip, cfa), "{what}: by {:?}", rule.cfa());
    assert_eq!(matches!(found, Step::Interrupted(_)), rule.cfa() == Cfa::Signal);
    for (register, saved, value) in [(X86_64::RBP, rule.bp(), up.bp), (X86_64::RBX, rule.bx(), up.bx)] {
        if saved == Saved::Unknown {
            tally.forgotten += 1;
            let known = row.register(register);
            assert!(
                !matches!(known, None | Some(RegisterRule::SameValue | RegisterRule::Offset(_))),
                "{what}: {known:?}"
            );
        } else {
            assert_eq!(Some(value), dwarf.caller(row, register, cfa), "{what}: {register:?} by {saved:?}");
        }
    }
}

/// Tries the entries of an object; gives nothing where it has no `.eh_frame`.
fn try_object(data: &[u8], name: &str) -> Option<Tally> {
    let file = object::File::parse(data).expect("an object");
    let section = file.section_by_name(".eh_frame")?;
    let bytes = section.data().expect("its bytes");
    let mut bases = BaseAddresses::default().set_eh_frame(section.address());
    if let Some(text) = file.section_by_name(".text") {
        bases = bases.set_text(text.address());
    }
    let section = EhFrame::new(bytes, LittleEndian);
    let entries: Vec<FrameDescriptionEntry<Reader<'_>>> = section
        .entries(&bases)
        .map(|entry| entry.expect("an entry"))
        .filter_map(|entry| match entry {
            gimli::CieOrFde::Fde(entry) => Some(entry.parse(EhFrame::cie_from_offset).expect("an entry")),
            gimli::CieOrFde::Cie(_) => None,
        })
        .filter(|entry| !entry.is_empty_range())
        .collect();
    let mut rules = Rules::new();
    let table = unwind::compile(data).expect("it compiles").publish(&mut rules);
    assert_eq!((table.stats.broken, table.stats.is_cut, rules.refused()), (0, false, 0), "{name}");
    let mut context = UnwindContext::new();
    let mut tally = Tally::default();
    for entry in entries.iter().step_by(entries.len() / MOST_ENTRIES + 1) {
        let mut rows = entry.rows(&section, &bases, &mut context).expect("rows");
        while let Some(row) = rows.next_row().expect("a row") {
            let end = row.end_address().min(entry.end_address());
            if row.start_address() >= end {
                continue;
            }
            for ip in [row.start_address(), u64::midpoint(row.start_address(), end), end - 1] {
                let what = format!("{name} at {ip:#x}");
                let index = table.rule_at((ip - table.base) as u32).unwrap_or_else(|| panic!("{what}: no rule"));
                let dwarf = Dwarf { section, at: registers(ip) };
                compare(&dwarf, row, rules.all()[usize::from(index)], &mut tally, &what);
            }
        }
    }
    check_gaps(&entries, &table, name);
    Some(tally)
}

/// Between entries there is no rule.
fn check_gaps(entries: &[FrameDescriptionEntry<Reader<'_>>], table: &unwind::Table, name: &str) {
    let mut covered: Vec<(u64, u64)> =
        entries.iter().map(|entry| (entry.initial_address(), entry.end_address())).collect();
    covered.sort_unstable();
    let mut reached = table.base;
    for (start, end) in covered {
        for gap in [reached, u64::midpoint(reached, start), start.saturating_sub(1)] {
            if (reached..start).contains(&gap) {
                assert_eq!(table.rule_at((gap - table.base) as u32), None, "{name} at {gap:#x}");
            }
        }
        reached = reached.max(end);
    }
    assert_eq!(table.rule_at((reached - table.base) as u32), None, "{name} at its end");
}

trait IsEmptyRange {
    fn is_empty_range(&self) -> bool;
}

impl IsEmptyRange for FrameDescriptionEntry<Reader<'_>> {
    fn is_empty_range(&self) -> bool {
        FrameDescriptionEntry::len(self) == 0
    }
}

fn try_path(path: &Path) -> Option<Tally> {
    try_object(&fs::read(path).expect("it can be read"), &path.display().to_string())
}

#[test]
fn tables_of_real_programs_lead_where_dwarf_leads() {
    let mut rows = 0;
    for path in samples::paths() {
        let Some(tally) = try_path(&path) else { continue };
        println!("{}: {tally:?}", path.display());
        // What cannot be said must stay rare: hand-written cryptography has the most of it.
        assert!(tally.unsupported * 50 <= tally.rows, "{}: {tally:?}", path.display());
        rows += tally.rows;
    }
    assert!(rows > 10_000, "{rows} rows");
}

#[test]
fn the_vdso_has_a_table_that_leads_where_dwarf_leads() {
    let tally = try_object(&samples::vdso().expect("a vDSO"), "the vDSO").expect("an .eh_frame");
    assert!(tally.rows > 0 && tally.unsupported == 0, "{tally:?}");
}

/// The same without section headers, which strip(1) can take away.
#[test]
fn without_section_headers_the_table_is_the_same() {
    for path in samples::paths().iter().filter(|path| path.to_string_lossy().ends_with("gnu/libc.so.6")) {
        let mut data = fs::read(path).expect("it can be read");
        let whole = unwind::compile(&data).expect("it compiles");
        data[0x28..0x30].fill(0); // e_shoff
        data[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
        let stripped = unwind::compile(&data).expect("it compiles");
        assert_eq!((&whole.rows, &whole.rules), (&stripped.rows, &stripped.rules), "{}", path.display());
        assert!(whole.rows.len() > 100);
    }
}
