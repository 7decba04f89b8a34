//! Unwind tables of real programs against what others make of them, and of broken ones against what they try.

mod hostile;
mod live;
mod made_up;
mod oracle;
mod samples;
