//! An object's bytes, or those of its `.eh_frame` alone, compiled to a table: sound, whatever they are.
#![no_main]

use leak_ebpf::frame::{NO_RULE, Row};
use leak_user::unwind::{self, Rules};

#[path = "../../../leak-user/tests/unwind/made_up.rs"]
mod made_up;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let object = if data.starts_with(b"\x7fELF") { data.to_vec() } else { made_up::object(data) };
    let Ok(compiled) = unwind::compile(&object) else { return };
    assert!(compiled.rows.is_sorted_by(|row, next| Row::from_raw(*row).pc() < Row::from_raw(*next).pc()));
    assert!(compiled.rows.last().is_none_or(|row| Row::from_raw(*row).rule() == NO_RULE));
    let mut rules = Rules::new();
    let table = compiled.publish(&mut rules);
    for (row, next) in table.rows.iter().zip(table.rows.iter().skip(1)) {
        let (row, next) = (Row::from_raw(*row), Row::from_raw(*next));
        let rule = (row.rule() != NO_RULE).then_some(row.rule());
        assert!(rule.is_none_or(|rule| usize::from(rule) < rules.all().len()));
        assert_eq!((table.rule_at(row.pc()), table.rule_at(next.pc() - 1)), (rule, rule));
    }
});
