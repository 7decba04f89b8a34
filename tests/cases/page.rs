//! The page, in a browser: it opens from where it lies without a word on the console, fits wide and narrow windows, and
//! all that can be clicked and typed into does what it says.

mod browser;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Machine, pages_path};
use browser::Browser;

/// The names of functions in the rows of a table that are there now.
const NAMES: &str =
    "return [...document.querySelectorAll('#TABLE tbody > tr:not(.detail) .name b')].map(b => b.textContent)";

/// What sticks out of the window.
const TOO_WIDE: &str = "return [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + '#' + e.id + '.' + e.className)";

/// The page of a made-up session.
fn page(name: &str) -> PathBuf {
    pages_path().join(name).with_extension("html")
}

fn opened(machine: &Machine, name: &str) -> Browser {
    let browser = Browser::start(machine);
    browser.look(1280, "light");
    browser.open(&page(name));
    browser
}

fn names(browser: &Browser, table: &str) -> Vec<String> {
    let names = browser.run(&NAMES.replace("TABLE", table));
    let names = names.as_array().expect("names").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

fn text(browser: &Browser, selector: &str) -> String {
    // Figures and their units stand together.
    browser.text(&format!("return document.querySelector('{selector}').textContent")).replace('\u{a0}', " ")
}

#[test]
fn every_page_opens_without_a_word_and_fits_every_window_in_light_and_dark() {
    let machine = Machine::shared();
    let browser = Browser::start(&machine);
    for name in ["redis", "hostile", "empty", "great"] {
        browser.look(1280, "light");
        browser.open(&page(name));
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (380, "light"), (380, "dark")] {
            browser.look(width, scheme);
            browser.picture(&format!("{name}-{width}-{scheme}"));
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert_eq!(wide, json!(width), "{name} is wider than its window: {}", browser.run(TOO_WIDE));
        }
        assert_eq!(browser.log(), Vec::<Value>::new(), "{name}");
    }
}

#[test]
fn the_verdict_stands_first_and_says_what_to_do() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    assert_eq!(text(&browser, "main > section h1").split(':').next(), Some("1 stack leaks 99.0 KiB/s in redis-server"));
    assert!(text(&browser, "#next li").starts_with("Look at "), "{}", text(&browser, "#next"));
    assert_eq!(browser.text("return document.title"), "leaktrace: redis-server (pid 4242)");
}

#[test]
fn the_table_of_stacks_is_sorted_by_any_of_its_heads() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    let by_held = ["je_malloc", "cacheAdd", "remember", "no frames", "redis-server+0x42000"];
    assert_eq!(names(&browser, "stacks-table"), by_held);
    browser.click("#stacks-table [data-key=held]");
    assert_eq!(names(&browser, "stacks-table"), { by_held }.into_iter().rev().collect::<Vec<_>>());
    browser.click("#stacks-table [data-key=allocated]");
    assert_eq!(names(&browser, "stacks-table")[..2], ["je_malloc", "redis-server+0x42000"]);
    assert_eq!(text(&browser, "#stacks-table th[aria-sort=descending]"), "Allocated");
    browser.click("#stacks-table [data-key=name]");
    assert_eq!(names(&browser, "stacks-table")[0], "cacheAdd");
}

#[test]
fn a_search_and_a_verdict_leave_the_stacks_that_are_like_that() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    browser.type_into("#search", "DB.C lookup");
    browser.wait("return document.getElementById('found').textContent.startsWith('2 stacks')");
    assert_eq!(names(&browser, "stacks-table"), ["cacheAdd", "remember"]);
    browser.click("#verdicts [data-value=growing]");
    assert_eq!(names(&browser, "stacks-table"), ["remember"]);
    assert_eq!(text(&browser, "#verdicts [aria-pressed=true]"), "growing 1");
}

#[test]
fn a_row_opens_to_its_frames_its_history_and_its_ages() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    browser.click("#stacks-table .open");
    let said = text(&browser, "#stacks-table tr.detail");
    for part in [
        "zmalloc_usable",
        "inlined",
        "/build/redis-7.2/src/zmalloc.c:134",
        "grew in 60 of 60 intervals",
        "5 min to 10 min",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert_eq!(browser.run("return document.querySelectorAll('tr.detail .spark').length"), 1);
    for width in [1280, 380] {
        browser.look(width, "light");
        assert_eq!(browser.run("return document.documentElement.scrollWidth"), json!(width));
        browser.picture(&format!("open-{width}"));
    }
    browser.click("#stacks-table .open");
    assert_eq!(browser.run("return document.querySelectorAll('tr.detail').length"), 0);
}

#[test]
fn a_card_of_what_grew_leads_to_its_row() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    browser.type_into("#search", "je_malloc");
    browser.wait("return document.getElementById('found').textContent.startsWith('1 stack,')");
    browser.click("#growth-cards .card:nth-child(2)");
    assert!(text(&browser, "#stacks-table tr.detail").contains("cacheAdd"));
    assert_eq!(browser.run("return document.activeElement.closest('tr').querySelector('b').textContent"), "cacheAdd");
}

#[test]
fn the_flame_graph_is_switched_zoomed_searched_and_walked_by_keys() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    assert!(text(&browser, "#flame-said").starts_with("209.2 MiB held at the end"));
    browser.click("#weights [data-value=growth]");
    assert!(text(&browser, "#flame-said").contains("growth"));
    browser.click("#weights [data-value=allocated]");
    assert!(
        text(&browser, "#flame-said").contains("allocated")
            && text(&browser, "#flame-graph").contains("redis-server+0x42000")
    );
    browser.click("#flame-graph .fn[aria-label^=lookup]");
    assert!(text(&browser, "#flame-said").starts_with("lookup: "));
    assert!(!text(&browser, "#flame-graph").contains("je_malloc"), "what is beside it is out of sight");
    browser
        .run("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true}))");
    assert!(text(&browser, "#flame-said").starts_with("cacheAdd: "), "{}", text(&browser, "#flame-said"));
    browser.click("#flame-reset");
    assert!(text(&browser, "#flame-graph").contains("je_malloc"));
    browser.type_into("#flame-search", "cacheadd");
    browser.wait("return document.querySelectorAll('#flame-graph .found').length === 1");
    assert!(text(&browser, "#flame-said").starts_with("Found: 32.1 MiB of "), "{}", text(&browser, "#flame-said"));
    assert_eq!(browser.log(), Vec::<Value>::new());
}

#[test]
fn two_snapshots_are_compared_and_what_is_new_or_gone_is_marked() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    assert!(text(&browser, "#compare-from").contains("#11 5 m 00 s “warm”"));
    let choose = |which: &str, at: u32| {
        browser.run(&format!(
            "const s = document.getElementById('compare-{which}'); s.value = '{at}'; s.dispatchEvent(new Event('change'))"
        ))
    };
    choose("from", 10);
    choose("to", 60);
    assert_eq!(names(&browser, "compare-table"), ["je_malloc", "remember", "no frames", "redis-server+0x42000"]);
    assert_eq!(text(&browser, "#compare-table tbody tr td:nth-child(4)"), "+145.0 MiB");
    assert_eq!(text(&browser, "#compare-table tbody tr:nth-child(3) .tag"), "new");
    assert_eq!(text(&browser, "#compare-table tbody tr:nth-child(4) .tag"), "gone");
    assert!(text(&browser, "#compare-said").ends_with("1 new, 1 gone"), "{}", text(&browser, "#compare-said"));
}

#[test]
fn the_chart_reads_out_a_moment_by_key_and_hides_a_line() {
    let machine = Machine::shared();
    let browser = opened(&machine, "redis");
    browser.run("document.querySelector('.plot').dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}))");
    let said = text(&browser, ".readout");
    assert!(said.starts_with("#1 0 s, 2025-11-21T03:12:00Z · RSS 45.2 MiB"), "{said}");
    browser.click(".legend .key");
    assert!(!text(&browser, ".readout").contains("RSS"));
}

#[test]
fn a_hostile_name_is_shown_as_the_text_that_it_is() {
    let machine = Machine::shared();
    let browser = opened(&machine, "hostile");
    assert_eq!(browser.run("return document.scripts.length"), 2);
    assert!(text(&browser, "#stacks-table .name b").starts_with("<script>alert(1)</script>"));
    browser.click("#stacks-table .open");
    browser.click("#growth-cards .card:nth-child(2)");
    assert_eq!(browser.run("return document.scripts.length"), 2);
    assert_eq!(browser.log(), Vec::<Value>::new());
}

#[test]
fn a_flame_graph_alone_opens_and_zooms_whatever_its_names() {
    let machine = Machine::shared();
    let browser = Browser::start(&machine);
    browser.look(1280, "light");
    browser.visit(&pages_path().join("flames.svg"));
    browser.wait("return document.querySelectorAll('#frames > g').length > 20");
    browser.picture("flames");
    assert_eq!(browser.run("return document.querySelectorAll('script').length"), 1);
    assert_eq!(browser.run("return document.getElementById('unzoom').classList.contains('hide')"), true);
    browser.click("#frames > g:nth-child(8)");
    assert_eq!(browser.run("return document.getElementById('unzoom').classList.contains('hide')"), false);
    assert_eq!(browser.log(), Vec::<Value>::new());
}

#[test]
fn of_thousands_of_stacks_only_the_rows_that_are_come_to_are_made() {
    let machine = Machine::shared();
    let browser = opened(&machine, "great");
    let rows = || browser.run("return document.querySelectorAll('#stacks-table tbody tr').length").as_u64();
    let at_first = rows();
    assert!(at_first < Some(200), "{at_first:?}");
    browser.run("document.querySelector('#stacks .more').scrollIntoView()");
    browser.wait("return document.querySelectorAll('#stacks-table tbody tr').length > 60");
    assert!(text(&browser, "#found").starts_with("5,000 stacks"));
}
