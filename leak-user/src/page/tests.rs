use std::{env, fs};

use super::*;
use crate::{
    flame,
    session::{Weight, sample},
};

fn written(view: &View) -> String {
    let mut out = Vec::new();
    html(view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What stands between the two, once each in the page.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    page.split_once(from).unwrap().1.split_once(to).unwrap().0
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = written(&sample::redis());
    for outside in ["http://", "https://", "src=", "@import", "url(", "<link", "<iframe", "fetch(", "import("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("{{") && !page.contains("}}<"), "every place is filled");
}

#[test]
fn its_policy_allows_its_own_script_and_style_alone() {
    let page = written(&sample::redis());
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\">");
    let [style, script] =
        [("<style>", "</style>"), ("<script>", "</script>")].map(|(from, to)| hash(between(&page, from, to)));
    assert_eq!(
        policy,
        format!("default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'")
    );
    // These would go through the policy, or past the text that everything from the target is.
    for risk in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", " style=", " onclick="]
    {
        assert!(!page.contains(risk), "{risk}");
    }
}

#[test]
fn the_data_in_it_is_json() {
    let page = written(&sample::redis());
    let data: serde_json::Value =
        serde_json::from_str(between(&page, "<script type=\"application/json\" id=\"data\">", "</script>")).unwrap();
    assert_eq!(data["severity"], "critical");
    assert_eq!(data["stacks"].as_array().unwrap().len(), 5);
}

#[test]
fn a_hostile_name_adds_no_element() {
    let [honest, hostile] = [written(&sample::redis()), written(&sample::hostile())];
    let outside = |page: &str| {
        let (before, data) = page.split_once("id=\"data\">").unwrap();
        (before.to_owned(), data.split_once("</script>").unwrap().1.to_owned())
    };
    assert_eq!(outside(&honest), outside(&hostile));
    assert!(hostile.len() < honest.len() + (64 << 10), "a name without end has one");
}

#[test]
fn an_empty_view_has_a_page() {
    let mut view = sample::redis();
    view.stacks.clear();
    view.sizes.clear();
    view.snapshots.truncate(1);
    view.snapshots[0].memory.clear();
    assert!(written(&view).contains("No stacks to judge"));
}

/// A great session: stacks by the thousand, each with frames of its own and figures that never rest.
fn great() -> View {
    let mut view = sample::redis();
    let mut last = view.snapshots[60].clone();
    for step in 61..crate::session::MOST_SNAPSHOTS {
        last.number = step as u32 + 1;
        last.report.elapsed_s = step as f64 * 30.0;
        view.snapshots.push(last.clone());
    }
    let model = view.stacks[0].clone();
    let mut noise = 88_172_645_463_325_252_u64;
    view.stacks = (0..5000_u64)
        .map(|number| {
            let mut stack = model.clone();
            stack.id = format!("{number:016x}");
            stack.points.resize(crate::session::MOST_SNAPSHOTS, crate::session::Point::default());
            for point in &mut stack.points {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                point.outstanding_bytes = noise % 100_000_000;
                point.outstanding_count = noise % 10_000;
            }
            for (depth, frame) in stack.frames.iter_mut().enumerate() {
                let shared = number >> depth.saturating_sub(2).min(16);
                frame.function = Some(format!("module::function_of_depth_{depth}_and_number_{shared}"));
            }
            stack
        })
        .collect();
    view
}

#[test]
fn a_great_session_is_a_page_that_can_still_be_sent() {
    let page = written(&great());
    assert!(page.len() < 15_000_000, "{} bytes", page.len());
}

/// For a look in a browser: writes pages and a flame graph into the folder that is named by `LEAKTRACE_PAGES`, if one is.
#[test]
fn pages_are_written_for_the_browser() {
    let Some(folder) = env::var_os("LEAKTRACE_PAGES").map(std::path::PathBuf::from) else {
        return;
    };
    let mut empty = sample::redis();
    empty.stacks.clear();
    empty.sizes.clear();
    empty.snapshots.truncate(1);
    empty.snapshots[0].memory.clear();
    for (name, view) in
        [("redis", sample::redis()), ("hostile", sample::hostile()), ("great", great()), ("empty", empty)]
    {
        fs::write(folder.join(name).with_extension("html"), written(&view)).unwrap();
    }
    let mut picture = Vec::new();
    flame::svg(&sample::hostile(), Weight::Growth, "flames", &mut picture).unwrap();
    fs::write(folder.join("flames.svg"), picture).unwrap();
}
