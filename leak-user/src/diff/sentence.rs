//! What changed, in one sentence.

use super::{Change, StackDiff, change::grows};
use crate::{
    growth::Verdict,
    offline::{names, signed},
    text::shorten_middle,
    units::plural,
};

/// Columns that a function's name takes at most.
const WIDEST_NAME: usize = 60;

/// What got worse, what is new, and what was fixed. Safe to print.
pub fn summary(stacks: &[StackDiff]) -> String {
    let is = |change: Change| move |stack: &&StackDiff| stack.change == change;
    let clauses = [
        clause(stacks.iter().filter(is(Change::Worse)), "got worse", "got worse"),
        clause(stacks.iter().filter(is(Change::New)), "is new", "are new"),
        clause(stacks.iter().filter(|stack| is_fixed(stack)), "was fixed", "were fixed"),
        clause(stacks.iter().filter(|stack| is_less(stack)), "is smaller or gone", "are smaller or gone"),
    ];
    let clauses: Vec<_> = clauses.into_iter().flatten().collect();
    match clauses.as_slice() {
        [] => format!("Nothing got worse, is new or was fixed in {}.", plural(stacks.len() as u64, "stack")),
        [only] => format!("{only}."),
        [most @ .., last] => format!("{} and {last}.", most.join(", ")),
    }
}

/// Whether a stack has leaked, or grown to much more than it holds now, and does not grow any more.
fn is_fixed(stack: &StackDiff) -> bool {
    let after = stack.after.as_ref().map_or(0, |figures| figures.held_bytes);
    let did = stack.before.as_ref().is_some_and(|figures| match figures.verdict {
        Verdict::Leak => true,
        Verdict::Growing => after < figures.held_bytes / 2,
        _ => false,
    });
    let does = after > 0 && stack.after.as_ref().is_some_and(|figures| grows(figures.verdict));
    matches!(stack.change, Change::Better | Change::Gone) && did && !does
}

fn is_less(stack: &StackDiff) -> bool {
    matches!(stack.change, Change::Better | Change::Gone) && !is_fixed(stack)
}

/// `1 stack got worse (+30.0 MiB, _sdsnewlen)`.
fn clause<'stacks>(stacks: impl Iterator<Item = &'stacks StackDiff>, one: &str, many: &str) -> Option<String> {
    // They come with the greatest change first.
    let stacks: Vec<_> = stacks.collect();
    let first = stacks.first()?;
    let difference = stacks.iter().fold(0_i64, |sum, stack| sum.saturating_add(stack.difference_bytes));
    let name = names(&first.frames).into_iter().next();
    let by = name.map_or_else(String::new, |name| {
        let most = if stacks.len() > 1 { "most by " } else { "" };
        format!(", {most}{}", shorten_middle(&name, WIDEST_NAME))
    });
    let what = if stacks.len() == 1 { one } else { many };
    Some(format!("{} {what} ({}{by})", plural(stacks.len() as u64, "stack"), signed(difference)))
}
