//! `leaktrace push`: the profiles of sessions, to a server that keeps them.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::Outcome;
use crate::{
    notice::Notices,
    progress::Progress,
    push::{Header, Kind, Plan, Push, Spool, Target, parse_label},
    session::{Filter, Session},
    text::printable,
    units::{parse_duration, parse_size},
};

#[derive(Args)]
pub struct PushArgs {
    /// Sessions, as -w writes them; without one, what waits in the spool is sent
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to: the URL of the server, or of the path that it takes profiles at
    #[arg(long, value_name = "URL")]
    to: String,
    /// How the server takes profiles [default: as the URL's path tells, else pyroscope]
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// A label for each profile, beside comm and host; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// A header for each request, such as a tenant; NAME=@FILE reads a secret from a file; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Send the token that this file holds, as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long a request may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
    /// How often to try before a profile has to wait in the spool, with pauses that double
    #[arg(long, value_name = "N", default_value = "4", value_parser = tries)]
    tries: u32,
    /// Use the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`)
    #[arg(long)]
    env_proxy: bool,
    /// Where profiles wait that could not be sent
    #[arg(long, value_name = "DIR", default_value = "/var/lib/leaktrace/spool")]
    spool: PathBuf,
    /// The oldest that wait go when all of them take more room
    #[arg(long, value_name = "SIZE", default_value = "100M", value_parser = parse_size)]
    spool_size: u64,
    /// What waits for longer goes
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
    spool_age: Duration,
    /// Say what was tried
    #[arg(short, long)]
    verbose: bool,
}

/// Without what may be secret.
impl std::fmt::Debug for PushArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushArgs").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Sends what waits, then the sessions.
pub fn push(args: &PushArgs) -> Outcome {
    let target = Target::parse(&args.to, args.kind)?;
    let mut headers = args.headers.iter().map(|text| Header::parse(text)).collect::<Result<Vec<_>, _>>()?;
    headers.extend(args.token_file.as_deref().map(Header::bearer).transpose()?);
    // A file that is no session is said before anything is sent.
    let mut sessions = Vec::new();
    for path in &args.files {
        let _progress = Progress::begin("reading", path);
        let session = Session::open(path)?;
        sessions.push((session.name().to_owned(), session.view(None, None, &Filter::default())?));
    }
    let notices = if args.verbose { Notices::Verbose } else { Notices::Normal };
    let plan = Plan {
        target,
        headers,
        labels: args.labels.clone(),
        timeout: args.timeout,
        tries: args.tries,
        by_proxy: args.env_proxy,
        spool: Spool { directory: args.spool.clone(), keep_bytes: args.spool_size, keep_for: args.spool_age },
    };
    let mut push = Push::new(plan, notices)?;
    match push.send_waiting() {
        // Who may not look at the spool can have left nothing there.
        Err(error) if !sessions.is_empty() => notices.detail(&format!("{error:#}")),
        waited => waited?,
    }
    for (name, view) in sessions {
        push.send_session(&name, view)?;
    }
    println!("{}", push.finish()?);
    Ok(None)
}

fn label(text: &str) -> Result<(String, String), String> {
    parse_label(text).map_err(|error| error.to_string())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() {
        return Err("no request takes no time; give a timeout such as 10s".to_owned());
    }
    Ok(timeout)
}

fn tries(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(tries) if (1..=100).contains(&tries) => Ok(tries),
        _ => Err(format!("\"{}\" is not a number of tries; give one from 1 to 100", printable(text))),
    }
}
