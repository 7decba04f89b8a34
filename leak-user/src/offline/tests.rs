//! What holds for all pages, and how they look.

use std::time::Duration;

use super::*;
use crate::{
    report::{Style, sample::frame},
    session::{Point, StackView, View, sample},
    text::{columns, is_hostile},
};

/// What 5,000 stacks of 120 snapshots may take; the compiler's plain code, on a busy machine, is no measure.
pub const QUICK: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 2 });

/// Numbers that are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The sample with made-up stacks of up to 32 calls of 120 snapshots.
pub fn made_up(seed: u64, stacks: usize) -> View {
    let mut random = Random(seed);
    let mut view = sample::redis();
    let model = view.stacks.swap_remove(0);
    view.snapshots = (0..120).map(|n| view.snapshots[n / 2].clone()).collect();
    view.stacks = (0..stacks)
        .map(|n| {
            let depth = random.below(32);
            let call = |level| frame(&format!("f{level}_{}", random.below(3)), "f.c", random.below(90) as u32);
            let frames = (0..depth).rev().map(call).collect();
            let step = random.below(9_000);
            let held = |moment: u64| if step.is_multiple_of(2) { step * moment } else { step * (120 - moment) };
            let point = |moment| Point {
                outstanding_bytes: held(moment),
                outstanding_count: moment,
                freed_bytes: step,
                ..Point::default()
            };
            StackView {
                id: format!("{n:016x}"),
                pid: 4242 + random.below(2) as u32,
                frames,
                points: (0..120).map(point).collect(),
                ..model.clone()
            }
        })
        .collect();
    view
}

type PageOf = fn(&View, Style) -> String;

/// All pages.
const PAGES: [(&str, PageOf); 3] = [
    ("summary", |view, style| text(|out| summary(view, style, 20, out))),
    ("tree", |view, style| text(|out| tree(view, style, 10, 0.5, out))),
    ("stats", |view, style| text(|out| stats(view, style, out))),
];

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Holds a text against the file of that name in a folder; with `LEAKTRACE_GOLDEN` set it is written there instead.
pub fn golden(folder: &str, name: &str, text: &str) {
    let path = format!("{}/src/{folder}/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LEAKTRACE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{path} says\n{expected}\nand now it is\n{text}");
}

/// Colour codes that a page may have.
const INKS: [&str; 5] = ["0", "1", "2", "33", "1;31"];

/// The text without colour.
pub fn plain(text: &str) -> String {
    INKS.iter().fold(text.to_owned(), |text, ink| text.replace(&format!("\x1b[{ink}m"), ""))
}

#[test]
fn the_pages_of_the_sample_look_as_they_did() {
    for (name, page) in PAGES {
        for width in [80, 160] {
            golden(
                "offline/golden",
                &format!("{name}_{width}"),
                &page(&sample::redis(), Style { width, colour: false }),
            );
        }
        // In a pipe, where there is neither a width nor colour.
        assert_eq!(
            page(&sample::redis(), Style::default()),
            page(&sample::redis(), Style { width: 80, colour: false })
        );
    }
}

#[test]
fn every_line_fits_every_width_from_sixty_up() {
    for view in [sample::redis(), sample::hostile(), made_up(7, 80)] {
        for (name, page) in PAGES {
            for width in (60..=180).step_by(3) {
                for line in page(&view, Style { width, colour: false }).lines() {
                    assert!(columns(line) <= width.into(), "{name} {width}: {line}");
                }
            }
        }
    }
}

#[test]
fn colour_moves_nothing() {
    for (name, page) in PAGES {
        let coloured = page(&sample::redis(), Style { width: 100, colour: true });
        assert!(coloured.contains('\x1b'), "{name}");
        assert_eq!(plain(&coloured), page(&sample::redis(), Style { width: 100, colour: false }));
    }
}

#[test]
fn hostile_names_are_inert() {
    for (name, page) in PAGES {
        let text = page(&sample::hostile(), Style { width: 120, colour: false });
        assert!(text.lines().all(|line| !line.contains(is_hostile)), "{name}");
    }
}

#[test]
fn a_view_of_nothing_is_said_to_be_one() {
    let mut view = sample::redis();
    view.stacks.clear();
    view.sizes.clear();
    view.snapshots.truncate(1);
    view.snapshots_recorded = 1;
    for ((name, page), said) in PAGES.into_iter().zip(["No stacks: nothing was", "No branches: nothing is", "none\n"]) {
        let text = page(&view, Style::default());
        assert!(text.contains(said) && text.contains("one snapshot, number 1: no growth is known"), "{name}: {text}");
    }
}

#[test]
fn of_several_processes_each_is_a_branch() {
    let text = PAGES[1].1(&made_up(3, 40), Style::default());
    assert!(text.contains("redis-server (pid 4242)") && text.contains(" (pid 4243)"), "{text}");
}

#[test]
fn many_stacks_are_quickly_told() {
    let view = made_up(1, 5_000);
    for (name, page) in PAGES {
        let start = std::time::Instant::now();
        page(&view, Style::default());
        assert!(start.elapsed() < QUICK, "{name}: {:?}", start.elapsed());
    }
}
