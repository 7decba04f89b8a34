//! Completions: a script for each shell, under the name by which the shell looks for it.

use clap_complete::{Shell, generate};

/// The shells, and the files.
const FILES: [(Shell, &str); 3] =
    [(Shell::Bash, "leaktrace"), (Shell::Zsh, "_leaktrace"), (Shell::Fish, "leaktrace.fish")];

/// All scripts, by file name.
pub fn scripts() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FILES.into_iter().map(|(shell, file)| {
        let mut script = Vec::new();
        generate(shell, &mut leak_user::cli::definition(), "leaktrace", &mut script);
        (file, script)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;
    use crate::man::tests::{commands, options};

    #[test]
    fn every_command_and_every_option_is_completed_in_every_shell() {
        for (file, script) in scripts() {
            let script = String::from_utf8(script).unwrap();
            for command in commands() {
                assert!(script.contains(command.get_name()), "{file} lacks {}", command.get_name());
                for option in options(&command) {
                    // fish is told the name without its dashes.
                    let name = option.trim_start_matches('-');
                    let is_there = script.contains(&option) || script.contains(&format!("-l {name}"));
                    assert!(is_there, "{file} lacks {option} of {}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn the_script_for_bash_completes_what_bash_hands_it() {
        let (_, script) = scripts().find(|(file, _)| *file == "leaktrace").unwrap();
        let asked = "COMP_WORDS=(leaktrace watch --keep); COMP_CWORD=2; COMP_LINE='leaktrace watch --keep'\n\
                     _leaktrace leaktrace --keep watch; printf '%s\\n' \"${COMPREPLY[@]}\"\n";
        let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = bash.stdin.take().unwrap();
        input.write_all(&script).unwrap();
        input.write_all(asked.as_bytes()).unwrap();
        drop(input);
        let said = String::from_utf8(bash.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["--keep-for", "--keep-size"], "{said}");
    }
}
