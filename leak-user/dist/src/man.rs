//! The man pages: one for leaktrace, one for each of its commands.
//!
//! Options and examples come from the definition that the program itself parses by, so that they cannot differ from
//! it; what a page says beside them is in `prose.rs`.

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, line_break, roman},
};

use crate::{examples, prose};

/// The section of programs for the administrator.
const SECTION: &str = "8";

/// One page.
pub struct Page {
    /// Its file's name, such as `leaktrace-watch.8`.
    pub file: String,
    /// Its source, for `man`.
    pub text: String,
}

/// All pages, of a version of this day.
pub fn pages(definition: &Command, date: &str) -> Vec<Page> {
    let mut whole = definition.clone();
    whole.build();
    let commands: Vec<Command> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let names: Vec<String> = commands.iter().map(page_name).collect();
    let version = whole.get_version().unwrap_or_default().to_owned();
    let mut pages = vec![page(whole, &names, &version, date)];
    pages.extend(commands.into_iter().map(|command| page(command, &["leaktrace".to_owned()], &version, date)));
    pages
}

/// Under which a page is asked for.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(mut command: Command, related: &[String], version: &str, date: &str) -> Page {
    let name = page_name(&command);
    let usage = command.render_usage().to_string();
    let mut text = Vec::new();
    let man = Man::new(command.clone()).section(SECTION).date(date);
    let man = man.source(format!("leaktrace {version}")).manual("System Administration");
    // What is written to is memory.
    let _ = man.render_title(&mut text).and_then(|()| man.render_name_section(&mut text));
    section(&mut text, "SYNOPSIS", &synopsis(&usage));
    let _ = man.render_description_section(&mut text);
    paragraphs(&mut text, &prose::description(&name));
    let _ = man.render_options_section(&mut text);
    if command.has_subcommands() {
        let _ = man.render_subcommands_section(&mut text);
    }
    section(&mut text, "EXAMPLES", &example_lines(&command));
    terms(&mut text, "EXIT STATUS", prose::EXIT_STATUS);
    terms(&mut text, "FILES", prose::files(&name));
    section(&mut text, "SEE ALSO", &see_also(related, prose::related(&name)));
    Page { file: format!("{name}.{SECTION}"), text: tidied(&String::from_utf8_lossy(&text)) }
}

/// Without the line breaks that stand beside a blank line, and say nothing.
fn tidied(text: &str) -> String {
    text.replace(".br\n\n.br\n", ".sp\n")
}

/// `usage` as clap writes it: a word in capitals is a value.
fn synopsis(usage: &str) -> Vec<Vec<Inline>> {
    let lines = usage.trim_start_matches("Usage:").lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut inlines = Vec::new();
            for word in line.split(' ') {
                let is_value = word.contains(|letter: char| letter.is_ascii_uppercase());
                inlines.push(if is_value { italic(word) } else { bold(word) });
                inlines.push(roman(" "));
            }
            inlines
        })
        .collect()
}

fn example_lines(command: &Command) -> Vec<Vec<Inline>> {
    let lines = examples::of(command).into_iter().map(|example| {
        let mut inlines = vec![bold(example.typed)];
        if !example.meaning.is_empty() {
            inlines.extend([line_break(), roman(example.meaning)]);
        }
        inlines
    });
    lines.collect()
}

fn see_also(pages: &[String], others: &[(&str, &str)]) -> Vec<Vec<Inline>> {
    let own = pages.iter().map(|name| (name.as_str(), SECTION));
    let mut inlines = Vec::new();
    for (name, section) in own.chain(others.iter().copied()) {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend([bold(name), roman(format!("({section})"))]);
    }
    vec![inlines]
}

/// A section of paragraphs, none where there are none.
fn section(out: &mut Vec<u8>, title: &str, lines: &[Vec<Inline>]) {
    if lines.is_empty() {
        return;
    }
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text(line.clone());
    }
    out.extend(roff.render().bytes());
}

/// More of the section before.
fn paragraphs(out: &mut Vec<u8>, texts: &[&str]) {
    let mut roff = Roff::new();
    for text in texts {
        roff.control("PP", []).text([roman(*text)]);
    }
    out.extend(roff.render().bytes());
}

/// A section of terms with what they mean, none where there are none.
fn terms(out: &mut Vec<u8>, title: &str, terms: &[(&str, &str)]) {
    if terms.is_empty() {
        return;
    }
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
    out.extend(roff.render().bytes());
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// leaktrace and all that it can be told to do.
    pub fn commands() -> Vec<Command> {
        let mut whole = leak_user::cli::definition();
        whole.build();
        let commands: Vec<Command> = whole.get_subcommands().cloned().collect();
        std::iter::once(whole).chain(commands).collect()
    }

    /// The options of a command, as they are typed.
    pub fn options(command: &Command) -> Vec<String> {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        shown.filter_map(|argument| argument.get_long()).map(|name| format!("--{name}")).collect()
    }

    #[test]
    fn every_command_has_a_page_with_all_of_its_options() {
        let pages = pages(&leak_user::cli::definition(), "2026-01-31");
        for command in commands() {
            let file = format!("{}.8", page_name(&command));
            let page = pages.iter().find(|page| page.file == file).unwrap_or_else(|| panic!("there is no {file}"));
            let text = page.text.replace("\\-", "-");
            for option in options(&command) {
                assert!(text.contains(&option), "{file} lacks {option}");
            }
            for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""] {
                assert!(text.contains(&format!(".SH {title}\n")), "{file} has no {title}:\n{text}");
            }
        }
        assert_eq!(pages.len(), commands().len());
    }

    #[test]
    fn a_page_says_what_is_typed_and_of_which_day_it_is() {
        let pages = pages(&leak_user::cli::definition(), "2026-01-31");
        let watch = pages.iter().find(|page| page.file == "leaktrace-watch.8").expect("a page");
        let text = watch.text.replace("\\-", "-");
        for part in ["leaktrace-watch 8 2026-01-31", "leaktrace watch", "/var/lib/leaktrace", "\\fBleaktrace\\fR(8)"] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
    }
}
