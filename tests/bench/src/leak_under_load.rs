//! Redis for five minutes with a leak beside its load: what leaktrace's budget leaves of its throughput, and whether the
//! leak is found all the same.
//!
//! Two servers take turns under the load, one traced; into both a client pushes onto a list that nobody empties. Which
//! stack that is, leaktrace says beforehand, of a third server to which nothing else happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    contender::Contender,
    progress,
    scenarios::Measured,
    series::Series,
    setup::Setup,
    table::{Bar, Limit},
    tracer::{Leaktrace, Mode},
    workloads::{Redis, Subject},
};
use leak::{BYTES_PER_SECOND, Leak};
use reports::Reports;

mod leak;
mod reports;

/// How long the two are measured, and how long a turn is.
const DURATION: Duration = Duration::from_mins(5);
const TURN: Duration = Duration::from_secs(15);

/// Seconds between reports.
const REPORT_SECONDS: u64 = 2;

/// What is demanded.
const BAR: Bar = Bar { of: Contender::Leaktrace(Mode::Budgeted), to: Contender::Untraced, limit: Limit::AtLeast(0.93) };

/// Measures for so long as that takes.
pub fn measure(setup: &Setup) -> Result<Measured> {
    let title = format!(
        "redis-server under redis-benchmark -P 1 for {} minutes, with a leak of {} KB/s by LPUSH",
        DURATION.as_secs() / 60,
        BYTES_PER_SECOND / 1000
    );
    let arguments = Mode::Budgeted.arguments();
    let redis = Redis::find(1, TURN)?;
    let (mut bare, mut traced) = (redis.start_server(None)?, redis.start_server(None)?);
    let (leaktrace, output) = Leaktrace::attach_reporting(&setup.binary, arguments, traced.pid(), REPORT_SECONDS)?;
    let reports = Reports::read(output);
    let leaks = [Leak::start(bare.address())?, Leak::start(traced.address())?];
    let (mut untraced, mut budgeted) = (Series::default(), Series::default());
    let began = Instant::now();
    while began.elapsed() < DURATION {
        untraced.add(bare.turn()?);
        budgeted.add(traced.turn()?);
        progress::show(&format!("{} of {} s", began.elapsed().as_secs(), DURATION.as_secs()));
    }
    progress::clear();
    for leak in leaks {
        leak.stop()?;
    }
    let lost = leaktrace.lost()?;
    let reports = reports.finish()?;
    let final_report = reports.last().context("leaktrace made no report")?;

    let verdict = BAR.verdict(Some(budgeted.ratio_to(&untraced)));
    let named = if final_report.names_leak_first() {
        "names the leak's stack first".to_owned()
    } else {
        format!("**does not** name the leak's stack first, but {}", final_report.first())
    };
    let first = reports.iter().find(|report| report.names_leak_first());
    let when = first.map_or("no report did".to_owned(), |first| {
        format!("the first report that did came after {:.0} s", first.elapsed_s)
    });
    let found = format!("the final report {named}; {when}");
    let text = format!(
        "{title}\n\n| | requests/s | x no tracer |\n|---|---:|---:|\n| {} | {:.0} | 1.00 |\n| {} | {:.0} | {:.2} |\n\n\
         - leaktrace lost {lost}.\n- {found}.\n- {verdict}\n",
        BAR.to.name(),
        untraced.median(),
        BAR.of.name(),
        budgeted.median(),
        budgeted.ratio_to(&untraced)
    );
    Ok(Measured { text, verdicts: vec![verdict, found] })
}
