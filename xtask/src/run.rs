//! Running commands: to success, for their output, or as root.
//!
//! A command that fails makes an error that names it. What a command prints is shown as it comes, except by [`output`].

use std::ffi::OsStr;
use std::io::{IsTerminal, Read, Write, stderr, stdin};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

unsafe extern "C" {
    /// `geteuid(2)`, which cannot fail.
    safe fn geteuid() -> u32;
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    geteuid() == 0
}

/// A command that runs `program` as root: directly, or through sudo, which asks only where somebody can answer.
pub fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    if !stdin().is_terminal() {
        command.arg("--non-interactive");
    }
    command.arg("--").arg(program);
    command
}

/// Whether root's rights are to be had without asking anybody.
pub fn root_without_asking() -> bool {
    is_root() || quietly(Command::new("sudo").args(["--non-interactive", "true"]))
}

/// The command as one would type it, without its environment.
pub fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs the command with our own input and output; failing is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", words(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output above says why", words(command));
    }
    Ok(())
}

/// Runs the command unseen; says whether it succeeded. Not being there counts as failing.
pub fn quietly(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What the command prints, trimmed; failing is an error that holds what it said on stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run `{}`", words(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", words(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a cargo command, passing on what it says on stderr, save that it has finished.
///
/// `before_output` is called before each piece passed on. A cargo with nothing to do therefore says nothing.
pub fn stream(command: &mut Command, mut before_output: impl FnMut()) -> Result<()> {
    let terminal = stderr().is_terminal();
    if terminal {
        // Cargo would take the pipe for a log file.
        command.env("CARGO_TERM_COLOR", "always").env("CARGO_TERM_PROGRESS_WHEN", "always");
        command.env("CARGO_TERM_PROGRESS_WIDTH", "80");
    }
    let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("cannot run `{}`", words(command)))?;
    if let Some(mut pipe) = child.stderr.take() {
        let mut spoke = false;
        let mut waiting = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let length = pipe.read(&mut chunk).context("cannot read what cargo says")?;
            waiting.extend_from_slice(&chunk[..length]);
            while let Some(end) = waiting.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let piece: Vec<u8> = waiting.drain(..=end).collect();
                let kind = Piece::of(&piece);
                if kind == Piece::Closing || (kind == Piece::Bar && !spoke) {
                    continue;
                }
                if !spoke {
                    before_output();
                    spoke = true;
                }
                stderr().write_all(&piece).context("cannot write to stderr")?;
            }
            if length == 0 {
                break;
            }
        }
        if spoke && terminal {
            // What is left of the progress bar.
            eprint!("\r\x1b[K");
        }
        stderr().write_all(&waiting).context("cannot write to stderr")?;
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output above says why", words(command));
    }
    Ok(())
}

/// The kinds of cargo's output that [`stream`] tells apart.
#[derive(Debug, PartialEq)]
enum Piece {
    /// "Finished": the step's own line says so.
    Closing,
    /// A progress bar, or the blanks that wipe one.
    Bar,
    /// Something to know.
    Text,
}

impl Piece {
    /// The kind of one line, or of one rewriting of a line.
    fn of(piece: &[u8]) -> Self {
        let text = without_escapes(&String::from_utf8_lossy(piece));
        let text = text.trim();
        if text.starts_with("Finished ") {
            Self::Closing
        } else if text.is_empty() || text.starts_with("Building [") {
            Self::Bar
        } else {
            Self::Text
        }
    }
}

/// `text` without the terminal's colour and erase sequences.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // ESC [ parameters letter
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_output_is_told_apart() {
        assert_eq!(Piece::of(b"    Finished `release` profile [optimized] target(s) in 0.02s\n"), Piece::Closing);
        assert_eq!(Piece::of(b"\x1b[1m\x1b[92m    Finished\x1b[0m `release` profile\n"), Piece::Closing);
        assert_eq!(Piece::of(b"\x1b[1m\x1b[96m    Building\x1b[0m [====>   ] 3/9: clap\r"), Piece::Bar);
        assert_eq!(Piece::of(b"\r"), Piece::Bar);
        assert_eq!(Piece::of(b"   Compiling clap v4.6.7\n"), Piece::Text);
    }

    #[test]
    fn commands_are_shown_as_typed() {
        assert_eq!(words(Command::new("cc").args(["-O2", "a.c"])), "cc -O2 a.c");
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.starts_with("`false x` failed (exit status: 1)"), "{error}");
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.ends_with("(exit status: 3): why"), "{error}");
    }
}
