//! The books that `leak.c`, `leak.cc` and `leak.rs` keep (see `tests/targets/books.h`), held against a report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Target, first_function, functions, number, stacks};

/// Sites whose allocator call is made by a library function that uses the frame pointer's register for something
/// else: libc's `strdup` and libstdc++'s aligned `operator new`. A walk by frame pointers ends there, and the library
/// function is all that is known of the stack. Each is used by its site alone.
const HIDDEN_BY_LIBRARY: [(&str, &[&str]); 2] =
    [("strdup_site", &["strdup", "__strdup", "__GI___strdup"]), ("aligned_new_site", &["operator new"])];

/// What a program says it holds, by site.
pub struct Books {
    sites: BTreeMap<String, Book>,
}

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    bytes: u64,
    count: u64,
}

#[derive(Debug)]
struct Book {
    outstanding: Held,
    allocated: Held,
}

impl Books {
    /// Sends "go" and hears the books.
    pub fn of(target: &mut Target) -> Self {
        target.say("go");
        let mut sites = BTreeMap::new();
        loop {
            let line = target.hear();
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["site", name, ref figures @ ..] => {
                    let figures: Vec<u64> = figures.iter().map(|word| word.parse().expect("a figure")).collect();
                    let [bytes, count, all_bytes, all_count] = figures[..] else { panic!("no book: {line}") };
                    let outstanding = Held { bytes, count };
                    let allocated = Held { bytes: all_bytes, count: all_count };
                    sites.insert(name.to_owned(), Book { outstanding, allocated });
                }
                ["end"] => return Self { sites },
                _ => panic!("no book: {line}"),
            }
        }
    }

    /// Fails unless the report says of this process what the books say, site by site and to the byte, and nothing
    /// else. Gives the stacks of each site.
    pub fn check<'r>(&self, report: &'r Value, pid: u32) -> BTreeMap<&str, Vec<&'r Value>> {
        let mut by_site: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for stack in stacks(report).iter().filter(|stack| stack["pid"] == pid) {
            let site = self.site_of(stack).unwrap_or_else(|| panic!("a stack of no site: {stack}"));
            by_site.entry(site).or_default().push(stack);
        }
        let told: BTreeMap<&str, Held> = by_site.iter().map(|(site, stacks)| (*site, sum(stacks))).collect();
        let known: BTreeMap<&str, Held> = self
            .sites
            .iter()
            .map(|(name, book)| (name.as_str(), book.outstanding))
            // A site that holds nothing has no stack in a report.
            .filter(|(_, held)| held.count > 0)
            .collect();
        assert_eq!(told, known, "leaktrace's figures are left, the program's books are right");
        by_site
    }

    /// What the program holds, over all sites: bytes and blocks.
    pub fn outstanding(&self) -> (u64, u64) {
        total(self.sites.values().map(|book| book.outstanding))
    }

    /// What it ever allocated, over all sites: bytes and blocks.
    pub fn allocated(&self) -> (u64, u64) {
        total(self.sites.values().map(|book| book.allocated))
    }

    fn site_of(&self, stack: &Value) -> Option<&str> {
        let functions = functions(stack);
        let is_inside = |site: &str| functions.iter().any(|function| function.strip_suffix("_caller") == Some(site));
        let by_frames = self.sites.keys().find(|site| is_inside(site));
        by_frames.map(String::as_str).or_else(|| {
            let (site, _) = HIDDEN_BY_LIBRARY.iter().find(|(_, names)| names.contains(&first_function(stack)))?;
            self.sites.get_key_value(*site).map(|(name, _)| name.as_str())
        })
    }
}

fn sum(stacks: &[&Value]) -> Held {
    stacks.iter().fold(Held::default(), |held, stack| Held {
        bytes: held.bytes + number(stack, "outstanding_bytes"),
        count: held.count + number(stack, "outstanding_count"),
    })
}

fn total(held: impl Iterator<Item = Held>) -> (u64, u64) {
    held.fold((0, 0), |(bytes, count), held| (bytes + held.bytes, count + held.count))
}
