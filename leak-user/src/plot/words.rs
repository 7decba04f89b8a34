//! What the plots mean in words: `report.txt`.

use super::{files, stack::verdict};
use crate::{
    offline::{Direction, chain, head, names},
    report::{
        Style,
        page::{Ink, Page},
    },
    session::{StackView, View},
    units::{bytes, plural, rate, seconds},
};

/// Columns of the file.
const WIDTH: u16 = 100;

const MARGIN: &str = "     ";

/// The verdicts on the stacks that are drawn, in the order of their files.
pub fn report(view: &View, stacks: &[&StackView], files: &[String]) -> String {
    let mut page = Page::new(Style { width: WIDTH, colour: false });
    head(&mut page, "plots", view);
    let told = plural(stacks.len() as u64, "stack");
    let of = if stacks.len() < view.stacks.len() { format!(" of {}", view.stacks.len()) } else { String::new() };
    page.paragraph(
        "",
        &format!("{told}{of}, those that have grown most first; the whole is in {}.png and .svg.", files::WHOLE),
        Ink::Plain,
    );
    for (n, (stack, file)) in stacks.iter().zip(files).enumerate() {
        page.line("");
        let room = page.width - MARGIN.len();
        let calls = chain(&names(&stack.frames), Direction::Outwards, room);
        page.line(&format!("{:03}  {}", n + 1, if calls.is_empty() { "(no frames were recorded)" } else { &calls }));
        for line in crate::text::fold(&sentence(stack), room) {
            page.line(&format!("{MARGIN}{line}"));
        }
        page.line(&format!("{MARGIN}{file}.png, {file}.svg"));
    }
    page.text
}

/// `Leak 97 %: grew by …, holds …. Why.`
fn sentence(stack: &StackView) -> String {
    let (last, growth) = (stack.last(), stack.growth_bytes());
    let changed = match growth {
        1.. => format!("grew by {}", bytes(growth.unsigned_abs())),
        0 => "holds as much as at first".to_owned(),
        _ => format!("shrank by {}", bytes(growth.unsigned_abs())),
    };
    let trend = if stack.judgement.bytes_per_s.abs() < 0.5 {
        String::new()
    } else {
        format!(", {}", rate(stack.judgement.bytes_per_s))
    };
    let why = if stack.judgement.why.is_empty() { String::new() } else { format!("; {}", stack.judgement.why) };
    let oldest =
        if last.held_count() > 0 { format!(", the oldest for {}", seconds(stack.oldest_s)) } else { String::new() };
    format!(
        "{}: {changed}{trend}, holds {} in {}{oldest}{why}.",
        verdict(stack),
        bytes(last.held_bytes()),
        plural(last.held_count(), "block")
    )
}
