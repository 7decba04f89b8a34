//! What a person types. Parses, dispatches, and turns the outcome into an exit code.
//!
//! 0 is done, 2 is a usage error or nothing that could be traced, with one sentence on standard error that says what
//! to do. 1 says that a condition holds that the user has set.

mod args;
mod attach;
mod doctor;
mod history;
mod kept;
mod offline;
mod push;
mod python_types;
mod run;
mod sample;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::trace;
use args::{Cli, Command};

/// Exit code when a condition holds that the user has set.
const HOLDS: u8 = 1;

/// Exit code of a usage error, or when nothing could be traced.
const FAILED: u8 = 2;

/// What came of a command: a sentence on the condition that holds, if one does.
type Outcome = Result<Option<String>>;

/// Runs leaktrace as it was called.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Not a command for people: it is how `run` starts its child, and clap must not read the child's options.
    if arguments.next().is_some_and(|first| first == trace::CHILD_ARGUMENT) {
        return finish(trace::become_program(arguments).map(|()| None));
    }
    match Cli::try_parse() {
        Ok(cli) => finish(dispatch(cli)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Printing can only fail when nobody reads it.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Err(error) => fail(&args::one_sentence(&error)),
    }
}

/// What can be typed, for those who describe it: man pages and completions.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn dispatch(cli: Cli) -> Outcome {
    match cli.command {
        Some(Command::Run(run)) => run::run(&run),
        Some(Command::Offline(command)) => offline::run(&command),
        Some(Command::Mark(mark)) => trace::mark(&mark.label, mark.pid).map(|()| None),
        Some(Command::Watch(args)) => watch::watch(&args),
        Some(Command::Push(args)) => push::push(&args),
        Some(Command::Doctor(args)) => doctor::doctor(&args).map(|()| None),
        Some(Command::Sample(args)) => sample::sample(&args),
        Some(Command::History(args)) => history::history(&args),
        Some(Command::PythonTypes(args)) => python_types::python_types(&args),
        None => match cli.attach.command_line {
            Some(line) => run::run_line(&line, &cli.attach.trace),
            None => attach::attach(&cli.attach),
        },
    }
}

fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(condition)) => {
            eprintln!("leaktrace: {condition}");
            ExitCode::from(HOLDS)
        }
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(sentence: &str) -> ExitCode {
    eprintln!("leaktrace: {sentence}");
    ExitCode::from(FAILED)
}

/// The loop runs on one thread: nothing in it waits, and a second one would take a core from the target.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
