//! `leaktrace history`: what the kept sessions of a service tell together.

use std::{
    io::{self, BufWriter},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::{
    Outcome,
    args::{style, top},
    kept::Directory,
    offline::finish,
};
use crate::{
    history::{Kept, Services, Story, read},
    notice::Notices,
    progress::Progress,
    report::{Format, Outlook, Style},
    session::View,
    text::printable,
    units::parse_duration,
};

#[derive(Args, Debug)]
pub struct History {
    /// A service: a systemd unit, the name of a process, or its program's path; all services in short if left out
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    directory: Directory,
    /// Only sessions of this time until now (7d)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Show at most so many services, or the latest so many sessions and as many leaks
    #[arg(short = 'T', long, value_name = "N", default_value = "20", value_parser = top, allow_negative_numbers = true)]
    top: usize,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// Writes it.
pub fn history(args: &History) -> Outcome {
    ensure!(args.format != Format::Folded, "a history has no folded form; give table or json");
    let notices = Notices::Normal;
    let progress = Progress::begin("reading", &args.directory.path);
    let kept = read(&args.directory.path, args.since, SystemTime::now(), notices)?;
    let place = printable(&args.directory.path.to_string_lossy()).into_owned();
    let since = if args.since.is_some() { " of that time" } else { "" };
    ensure!(
        !kept.is_empty(),
        "there is no session{since} in {place}; `leaktrace sample NAME` and `leaktrace watch` keep some, --directory gives \
         another place"
    );
    let Some(name) = &args.name else {
        let services =
            Services::of(&kept, |session| whole(session, notices).map_or_else(Outlook::default, |view| view.outlook()));
        drop(progress);
        return write(args, &services, |style, out| services.write(style, args.top, out));
    };
    let kept: Vec<Kept> = kept.into_iter().filter(|session| session.is_of(name)).collect();
    ensure!(
        !kept.is_empty(),
        "there is no session{since} of {} in {place}; `leaktrace history` lists the services of which there are",
        printable(name)
    );
    let story = Story::of(
        name,
        kept.into_iter().filter_map(|session| {
            let view = whole(&session, notices)?;
            Some((session, view))
        }),
    );
    drop(progress);
    if story.sessions.is_empty() {
        bail!("no session of {} in {place} can be read", printable(name));
    }
    write(args, &story, |style, out| story.write(style, args.top, out))
}

/// All of a session; what cannot be read is said.
fn whole(session: &Kept, notices: Notices) -> Option<View> {
    session.view().inspect_err(|error| notices.say(&format!("left out: {error:#}"))).ok()
}

fn write(
    args: &History,
    document: &impl Serialize,
    page: impl FnOnce(Style, &mut dyn io::Write) -> io::Result<()>,
) -> Outcome {
    finish(BufWriter::new(io::stdout().lock()), |out| -> Result<()> {
        if args.format == Format::Json {
            serde_json::to_writer(&mut *out, document)?;
            return Ok(writeln!(out)?);
        }
        Ok(page(style(), out)?)
    })?;
    Ok(None)
}
