//! What plots promise.

use std::{fs, path::PathBuf, time::Instant};

use super::{chart::Form, *};
use crate::{
    offline::tests::{golden, made_up},
    session::sample::{hostile, redis},
    text::is_hostile,
};

/// A directory of a test's own that goes with it; left where `LEAKTRACE_PLOTS` says so that someone can look.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let kept = std::env::var_os("LEAKTRACE_PLOTS").map(PathBuf::from);
        let path =
            kept.unwrap_or_else(std::env::temp_dir).join(format!("leaktrace-plot-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("LEAKTRACE_PLOTS").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_stack_has_its_pictures_and_the_words_name_them() {
    let directory = Scratch::new("all");
    let files = write_all(&redis(), &directory.0.join("deep"), 3, false).unwrap();
    let pictures = ["000_memory", "001_sdsnewlen_leak", "002_cacheAdd_plateau", "003_remember_growing"];
    let all: Vec<_> = pictures.iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]).collect();
    assert_eq!(names(&files)[..8], all);
    let mut there: Vec<_> =
        fs::read_dir(directory.0.join("deep")).unwrap().map(|entry| entry.unwrap().path()).collect();
    there.sort();
    assert_eq!(names(&there), names(&files));
    let words = fs::read_to_string(&files[8]).unwrap();
    golden("plot/golden", "report", &words);
    for file in &names(&files)[2..8] {
        assert!(words.contains(file), "{file}");
    }
    for file in files[..8].iter().step_by(2) {
        assert!(fs::read(file).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    }
}

#[test]
fn hostile_names_are_inert() {
    let directory = Scratch::new("hostile");
    let files = write_all(&hostile(), &directory.0, 9, false).unwrap();
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) && name.len() < 100);
        let Ok(text) = fs::read_to_string(file) else { continue };
        assert!(text.lines().all(|line| !line.contains(is_hostile)), "{name}");
        if name.ends_with("svg") {
            assert!(!text.contains("<script") && !text.contains("</style") && text.len() < 1 << 20);
            let tags = text.matches('<').count();
            assert_eq!((tags, text.matches("<!").count()), (text.matches('>').count(), 0), "{name}");
        }
    }
}

#[test]
fn a_directory_with_files_in_it_is_left_alone_without_force() {
    let directory = Scratch::new("force");
    fs::create_dir_all(&directory.0).unwrap();
    let (theirs, victim) = (directory.0.join("report.txt"), directory.0.join("victim"));
    fs::write(&victim, "as it was").unwrap();
    std::os::unix::fs::symlink(&victim, &theirs).unwrap();
    let error = write_all(&redis(), &directory.0, 1, false).unwrap_err().to_string();
    assert!(error.contains("has files in it already: name another directory, or add --force"), "{error}");
    write_all(&redis(), &directory.0, 1, true).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was");
    assert!(fs::read_to_string(&theirs).unwrap().starts_with("leaktrace plots"));
    let error = write_all(&redis(), &victim, 1, true).unwrap_err().to_string();
    assert!(error.ends_with("victim is not a directory: name another"), "{error}");
}

#[test]
fn one_snapshot_and_no_stacks_are_drawn_too() {
    let directory = Scratch::new("few");
    let mut view = redis();
    view.snapshots.truncate(1);
    view.snapshots_recorded = 1;
    view.stacks.iter_mut().for_each(|stack| {
        stack.points = vec![stack.last()];
    });
    write_all(&view, &directory.0, 9, false).unwrap();
    view.stacks.clear();
    assert_eq!(write_all(&view, &directory.0, 9, true).unwrap().len(), 3);
}

#[test]
fn what_leaves_the_place_of_a_text_is_cut() {
    for view in [redis(), hostile(), made_up(1, 20)] {
        for chart in view.stacks.iter().map(|stack| stack::chart(&view, stack)).chain([whole::chart(&view)]) {
            let drawing = chart.drawing();
            for shape in &drawing.shapes {
                let drawing::Shape::Text { at, text, size, anchor, .. } = shape else { continue };
                let width = font::width(text, *size);
                let (start, end) = match anchor {
                    drawing::Anchor::Start => (at.0, at.0 + width),
                    drawing::Anchor::Middle => (at.0 - width / 2.0, at.0 + width / 2.0),
                    drawing::Anchor::End => (at.0 - width, at.0),
                };
                assert!(start >= 0.0 && end <= drawing.width as f32 && at.1 <= drawing.height as f32, "{text}");
            }
        }
    }
}

#[test]
fn an_estimate_has_a_band_of_its_error_and_an_exact_figure_has_none() {
    let mut view = redis();
    let forms =
        |view: &View| stack::chart(view, &view.stacks[0]).series.iter().map(|series| series.form).collect::<Vec<_>>();
    assert_eq!(forms(&view), [Form::Filled, Form::Dashed]);
    for (n, point) in view.stacks[0].points.iter_mut().enumerate() {
        point.bytes_stderr = n as u64 * 200_000;
    }
    assert_eq!(forms(&view), [Form::Band, Form::Filled, Form::Dashed]);
    assert!(stack::chart(&view, &view.stacks[0]).subtitle.starts_with("174.0 MiB ±11.4 MiB in 285,120 blocks"));
    let directory = Scratch::new("estimate");
    write_all(&view, &directory.0, 1, false).unwrap();
}

#[test]
fn the_limit_of_a_cgroup_is_drawn_where_it_is_near() {
    let mut view = redis();
    let limits = |view: &View| whole::chart(view).series.last().unwrap().points.len();
    assert_eq!(limits(&view), 0);
    for snapshot in &mut view.snapshots {
        snapshot.memory[0].cgroup.as_mut().unwrap().limit_bytes = Some(256 << 20);
    }
    assert_eq!(limits(&view), view.snapshots.len());
    let directory = Scratch::new("limit");
    write_all(&view, &directory.0, 0, false).unwrap();
}

#[test]
fn fifty_stacks_are_drawn_in_seconds() {
    let directory = Scratch::new("fifty");
    let (view, most) = if cfg!(debug_assertions) { (made_up(1, 50), 2) } else { (made_up(1, 5_000), 50) };
    let start = Instant::now();
    write_all(&view, &directory.0, most, false).unwrap();
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
