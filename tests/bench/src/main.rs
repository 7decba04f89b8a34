//! What leaktrace costs, beside nothing, beside floors of empty probes, and beside other tracers, as ratios in one run.
//!
//! `cargo xtask bench` builds and starts it; it needs root. Absolute figures are for orientation only. One table a
//! scenario goes to a file of its own, all of a run and how the demands were met to `README.md` beside them.

mod contender;
mod interpreters;
mod leak_under_load;
mod machine;
mod peers;
mod probes;
mod progress;
mod race;
mod scenarios;
mod scratch;
mod series;
mod setup;
mod table;
mod tools;
mod tracer;
mod walker;
mod walks;
mod workloads;

use std::{env, fmt::Write as _, fs, process::ExitCode};

use anyhow::{Context, Result, bail};

use scenarios::{Measured, SCENARIOS, Scenario};
use setup::Setup;
use tools::Missing;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::clear();
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let chosen = chosen(&env::args().skip(1).collect::<Vec<_>>())?;
    let setup = Setup::from_environment()?;
    fs::create_dir_all(&setup.output).context("the directory of the tables cannot be made")?;
    let machine = machine::line();
    let (mut verdicts, mut tables) = (String::new(), String::new());
    for scenario in chosen {
        let measured = measure_one(scenario, &setup)?;
        println!("{}", measured.text);
        fs::write(setup.output.join(scenario.name).with_extension("md"), format!("{}\n({machine})\n", measured.text))
            .context("a table cannot be written")?;
        for verdict in measured.verdicts {
            writeln!(verdicts, "- {}: {verdict}", scenario.name)?;
        }
        write!(tables, "\n## {}\n\n{}", scenario.name, measured.text)?;
    }
    let summary = format!("# What leaktrace costs\n\n{machine}. Use the ratios.\n\n{verdicts}{tables}");
    let path = setup.output.join("README.md");
    fs::write(&path, summary).context("the summary cannot be written")?;
    println!("{verdicts}\nAll of it is in {}.", path.display());
    Ok(())
}

/// Measures a scenario, or says what it lacks.
fn measure_one(scenario: &Scenario, setup: &Setup) -> Result<Measured> {
    match scenario.run(setup) {
        Err(error) if error.is::<Missing>() => {
            let text = format!("Not measured: {error}.\n");
            Ok(Measured { text, verdicts: vec![format!("not measured: {error}")] })
        }
        outcome => outcome.with_context(|| format!("scenario {}", scenario.name)),
    }
}

/// The scenarios of these names, or the usual ones where there are none.
fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name)) {
        let known = SCENARIOS.each_ref().map(|scenario| scenario.name).join(", ");
        bail!("there is no scenario {unknown:?}: name some of {known}");
    }
    let is_chosen = |scenario: &&Scenario| match names {
        [] => scenario.is_usual,
        _ => names.iter().any(|name| name == scenario.name),
    };
    Ok(SCENARIOS.iter().filter(is_chosen).collect())
}
