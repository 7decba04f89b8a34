//! The examples of a command, as its `--help` shows them: a line each, what is typed and, behind two blanks, what it does.

/// One example.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// What is typed.
    pub typed: String,
    /// What it does, where that needs a word.
    pub meaning: String,
}

/// Those of a command.
pub fn of(command: &clap::Command) -> Vec<Example> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().skip_while(|line| !matches!(*line, "Example:" | "Examples:")).skip(1);
    lines.map_while(|line| line.strip_prefix("  ")).map(example).collect()
}

fn example(line: &str) -> Example {
    let (typed, meaning) = line.split_once("  ").unwrap_or((line, ""));
    Example { typed: typed.to_owned(), meaning: meaning.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::man::tests::commands;

    #[test]
    fn every_command_has_an_example_and_every_example_can_be_typed() {
        for command in commands() {
            let examples = of(&command);
            assert!(!examples.is_empty(), "`{}` needs an example in its after_help", command.get_name());
            for Example { typed, .. } in examples {
                let words = shlex::split(&typed).expect("a line that a shell takes");
                let words = words.into_iter().filter(|word| word != "sudo").take_while(|word| word != ">");
                let parsed = leak_user::cli::definition().try_get_matches_from(words);
                assert!(parsed.is_ok(), "`{typed}` cannot be typed: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn an_example_is_what_is_typed_and_what_it_does() {
        let command = clap::Command::new("x").after_help("Examples:\n  x -a   all of it\n  x\n\nExit codes: 0");
        let words = |typed: &str, meaning: &str| Example { typed: typed.into(), meaning: meaning.into() };
        assert_eq!(of(&command), [words("x -a", "all of it"), words("x", "")]);
    }
}
