//! From what DWARF says of a stretch of code to a [`Rule`].
//!
//! DWARF can say anything, by programs for a little machine. Compilers and the hand-written assembly of the usual
//! libraries say only a few things, which are told by their operations; the rest is [`Cfa::Unsupported`].

use gimli::{
    CfaRule, Encoding, Format, Operation, Register, RegisterRule, UnwindContextStorage, UnwindExpression,
    UnwindSection, UnwindTableRow, X86_64,
};
use leak_ebpf::frame::{Cfa, Rule, Saved, Unsupported};

use super::entries::Reader;

/// Longest expression that is known, in operations.
const MAX_OPERATIONS: usize = 9;

/// Storage for gimli: x86-64 has 17 registers that compilers speak of, and remembers two states at most.
pub struct Storage;

impl UnwindContextStorage<usize> for Storage {
    type Rules = [(Register, RegisterRule<usize>); 32];
    type Stack = Box<[UnwindTableRow<usize, Self>; 8]>;
}

/// A row of gimli's.
pub type DwarfRow = UnwindTableRow<usize, Storage>;

/// The rule that says what the row does.
pub fn rule<'input>(row: &DwarfRow, section: &impl UnwindSection<Reader<'input>>, return_address: Register) -> Rule {
    let ip = row.register(return_address);
    match &ip {
        Some(RegisterRule::Undefined) => return new(Cfa::End, Saved::Kept, Saved::Kept),
        Some(RegisterRule::Offset(-8)) => {}
        _ if is_signal_frame(row, section, ip.as_ref()) => return new(Cfa::Signal, Saved::Kept, Saved::Kept),
        _ => return Rule::unsupported(Unsupported::ReturnAddress),
    }
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => cfa_from(*register, *offset),
        CfaRule::Expression(expression) => {
            let operations = operations(expression, section).unwrap_or_default();
            cfa_by(&operations).unwrap_or(Cfa::Unsupported(Unsupported::Expression))
        }
    };
    new(cfa, saved(row, X86_64::RBP, section), saved(row, X86_64::RBX, section))
}

fn new(cfa: Cfa, bp: Saved, bx: Saved) -> Rule {
    Rule::new(cfa, bp, bx).unwrap_or(Rule::unsupported(Unsupported::Range))
}

/// The CFA so many bytes from a register.
fn cfa_from(register: Register, offset: i64) -> Cfa {
    let Ok(offset) = i32::try_from(offset) else { return Cfa::Unsupported(Unsupported::Range) };
    match register {
        X86_64::RSP => Cfa::Sp(offset),
        X86_64::RBP => Cfa::Bp(offset),
        X86_64::RBX => Cfa::Bx(offset),
        _ => Cfa::Unsupported(Unsupported::Register),
    }
}

/// The CFA that these operations compute, if they are known.
fn cfa_by(operations: &[Operation<Reader<'_>>]) -> Option<Cfa> {
    use Operation::{And, Deref, Ge, Plus, PlusConstant, RegisterOffset, Shl, UnsignedConstant as Constant};
    Some(match *operations {
        [RegisterOffset { register, offset, .. }] => cfa_from(register, offset),
        [RegisterOffset { register, offset, .. }, Deref { size: 8, space: false, .. }] => deref(register, offset, 0)?,
        [RegisterOffset { register, offset, .. }, Deref { size: 8, space: false, .. }, PlusConstant { value }] => {
            deref(register, offset, value)?
        }
        [
            RegisterOffset { register: X86_64::RSP, offset: 8, .. },
            RegisterOffset { register: X86_64::RA, offset: 0, .. },
            Constant { value: 15 },
            And,
            Constant { value: from },
            Ge,
            Constant { value: 3 },
            Shl,
            Plus,
        ] => Cfa::Plt(u8::try_from(from).ok()?),
        _ => return None,
    })
}

fn deref(register: Register, at: i64, plus: u64) -> Option<Cfa> {
    let (Ok(at), Ok(plus)) = (i16::try_from(at), u8::try_from(plus)) else {
        return Some(Cfa::Unsupported(Unsupported::Range));
    };
    match register {
        X86_64::RSP => Some(Cfa::DerefSp { at, plus }),
        X86_64::RBP => Some(Cfa::DerefBp { at, plus }),
        _ => None,
    }
}

/// Where the caller's value of a register is.
fn saved<'input>(row: &DwarfRow, register: Register, section: &impl UnwindSection<Reader<'input>>) -> Saved {
    let known = match row.register(register) {
        None | Some(RegisterRule::SameValue) => Some(Saved::Kept),
        Some(RegisterRule::Register(other)) if other == register => Some(Saved::Kept),
        Some(RegisterRule::Offset(offset)) => words(offset).map(Saved::AtCfa),
        Some(RegisterRule::Expression(at)) => match operations(&at, section).as_deref() {
            Some([Operation::RegisterOffset { register: X86_64::RBP, offset, .. }]) => words(*offset).map(Saved::AtBp),
            _ => None,
        },
        _ => None,
    };
    known.unwrap_or(Saved::Unknown)
}

/// So many bytes as words of 8, if that is what they are.
fn words(bytes: i64) -> Option<i16> {
    (bytes % 8 == 0).then(|| i16::try_from(bytes / 8).ok())?
}

/// Whether everything is to be found where the kernel puts it for a signal handler, at the stack pointer.
fn is_signal_frame<'input>(
    row: &DwarfRow,
    section: &impl UnwindSection<Reader<'input>>,
    ip: Option<&RegisterRule<usize>>,
) -> bool {
    let is_at = |rule: Option<&RegisterRule<usize>>, at: i64| {
        let Some(RegisterRule::Expression(expression)) = rule else { return false };
        matches!(
            operations(expression, section).as_deref(),
            Some([Operation::RegisterOffset { register: X86_64::RSP, offset, .. }]) if *offset == at
        )
    };
    let CfaRule::Expression(cfa) = row.cfa() else { return false };
    let cfa = operations(cfa, section).unwrap_or_default();
    cfa_by(&cfa) == Some(Cfa::DerefSp { at: 160, plus: 0 })
        && is_at(ip, 168)
        && is_at(row.register(X86_64::RBP).as_ref(), 120)
        && is_at(row.register(X86_64::RBX).as_ref(), 128)
}

/// An expression's operations, if there are not too many of them and all make sense.
fn operations<'input>(
    expression: &UnwindExpression<usize>,
    section: &impl UnwindSection<Reader<'input>>,
) -> Option<Vec<Operation<Reader<'input>>>> {
    let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };
    let mut iterator = expression.get(section).ok()?.operations(encoding);
    let mut operations = Vec::with_capacity(MAX_OPERATIONS);
    while let Some(operation) = iterator.next().ok()? {
        if operations.len() == MAX_OPERATIONS {
            return None;
        }
        operations.push(operation);
    }
    Some(operations)
}
