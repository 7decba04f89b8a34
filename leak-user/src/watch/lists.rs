//! Which processes may be looked at: what a person allows and denies.
//!
//! A list is text: `allow PATTERN` or `deny PATTERN` on a line, `#` before a remark. A pattern with `*` and `?` is held against
//! the process's name, its program's path, and its control group's path. What is denied is denied; where anything is allowed,
//! the rest is not.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use wildmatch::WildMatch;

use super::reason::Reason;
use crate::{process::who::Names, text::printable};

/// No list of patterns is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// What is allowed and what is denied.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    allow: Vec<WildMatch>,
    deny: Vec<WildMatch>,
}

impl Lists {
    /// From patterns, and the list in a file, if there is one.
    pub fn read(allow: &[String], deny: &[String], file: Option<&Path>) -> Result<Self> {
        let patterns = |given: &[String]| given.iter().map(|pattern| WildMatch::new(pattern)).collect();
        let mut lists = Self { allow: patterns(allow), deny: patterns(deny) };
        if let Some(file) = file {
            let shown = printable(&file.to_string_lossy()).into_owned();
            let size = fs::metadata(file).with_context(|| format!("the list {shown} cannot be read"))?.len();
            ensure!(size <= LONGEST, "the list {shown} is longer than any list should be; give fewer patterns");
            let text = fs::read_to_string(file).with_context(|| format!("the list {shown} cannot be read"))?;
            for (number, line) in (1..).zip(text.lines()) {
                lists.add(line).with_context(|| format!("line {number} of the list {shown}"))?;
            }
        }
        Ok(lists)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            return Ok(());
        }
        match line.split_once(char::is_whitespace).map(|(word, pattern)| (word, pattern.trim())) {
            Some(("allow", pattern)) => self.allow.push(WildMatch::new(pattern)),
            Some(("deny", pattern)) => self.deny.push(WildMatch::new(pattern)),
            _ => bail!("\"{}\" is neither `allow PATTERN` nor `deny PATTERN`", printable(line)),
        }
        Ok(())
    }

    /// Why a process may not be looked at, if it may not.
    pub fn objection(&self, names: &Names) -> Option<Reason> {
        let is_meant = |patterns: &[WildMatch]| {
            let Names { comm, exe, cgroup } = names;
            patterns.iter().any(|pattern| [comm, exe, cgroup].into_iter().any(|name| pattern.matches(name)))
        };
        if is_meant(&self.deny) {
            Some(Reason::Denied)
        } else if !self.allow.is_empty() && !is_meant(&self.allow) {
            Some(Reason::NotAllowed)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(text: &str) -> Result<Lists> {
        let mut lists = Lists::default();
        text.lines().try_for_each(|line| lists.add(line))?;
        Ok(lists)
    }

    fn names(comm: &str, exe: &str, cgroup: &str) -> Names {
        Names { comm: comm.into(), exe: exe.into(), cgroup: cgroup.into() }
    }

    #[test]
    fn what_is_denied_is_denied_whatever_is_allowed() {
        let lists = lists("# the web\nallow nginx*\nallow */apache.service\n\ndeny /opt/*  # not ours\n").unwrap();
        assert_eq!(lists.objection(&names("nginx", "/usr/sbin/nginx", "/system.slice/nginx.service")), None);
        assert_eq!(lists.objection(&names("httpd", "/usr/sbin/httpd", "/system.slice/apache.service")), None);
        assert_eq!(lists.objection(&names("nginx", "/opt/nginx", "/")), Some(Reason::Denied));
        assert!(lists.objection(&names("redis", "/usr/bin/redis", "/")) == Some(Reason::NotAllowed));
    }

    #[test]
    fn without_lists_all_are_allowed() {
        assert_eq!(Lists::default().objection(&names("anything", "", "")), None);
    }

    #[test]
    fn a_line_that_is_neither_is_refused_in_a_sentence() {
        for line in ["allow", "permit nginx", "\u{1b}[2J"] {
            let error = lists(line).unwrap_err().to_string();
            assert!(error.contains("neither `allow PATTERN` nor") && !error.contains('\u{1b}'), "{error}");
        }
    }
}
