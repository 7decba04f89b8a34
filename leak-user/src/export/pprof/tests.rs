//! What a reader makes of a profile.

use std::io::Read as _;

use flate2::read::GzDecoder;
use prost::Message as _;

use super::*;
use crate::{report::Frame, session::sample};

fn read(view: &View) -> Profile {
    let mut zipped = Vec::new();
    write(view, &mut zipped).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(&*zipped).read_to_end(&mut bytes).unwrap();
    Profile::decode(&*bytes).unwrap()
}

fn text(profile: &Profile, index: i64) -> &str {
    &profile.string_table[index as usize]
}

/// The functions of each location of a sample.
fn functions(profile: &Profile, sample: usize) -> Vec<Vec<&str>> {
    let location = |id: &u64| profile.location.iter().find(|location| location.id == *id).unwrap();
    let function = |id: u64| profile.function.iter().find(|function| function.id == id).unwrap();
    let lines =
        |id: &u64| location(id).line.iter().map(|line| text(profile, function(line.function_id).name)).collect();
    profile.sample[sample].location_id.iter().map(lines).collect()
}

#[test]
fn its_sample_types_are_those_of_a_heap_profile_of_go() {
    let profile = read(&sample::redis());
    let types = profile.sample_type.iter().map(|of| (text(&profile, of.kind), text(&profile, of.unit)));
    let known =
        [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")];
    assert!(types.eq(known));
    assert_eq!(text(&profile, profile.default_sample_type), "inuse_space");
    assert_eq!(profile.string_table[0], "");
}

#[test]
fn each_stack_is_a_sample_with_its_figures_and_labels() {
    let view = sample::redis();
    let profile = read(&view);
    assert_eq!(profile.sample.len(), view.stacks.len());
    for (sample, stack) in profile.sample.iter().zip(&view.stacks) {
        let last = stack.last();
        let known = [last.allocated_count(), last.allocated_bytes(), last.held_count(), last.held_bytes()];
        assert!(sample.value.iter().map(|value| *value as u64).eq(known));
    }
    let labels = &profile.sample[0].label;
    let said: Vec<_> = labels.iter().map(|label| (text(&profile, label.key), text(&profile, label.str))).collect();
    let id = view.stacks[0].id.as_str();
    let known = [("verdict", "leak"), ("confidence", "0.97"), ("pid", "4242"), ("stack", id), ("bytes_per_s", "")];
    assert_eq!(said, known);
    assert_eq!((labels[4].num, text(&profile, labels[4].num_unit)), (101_376, "bytes"));
}

#[test]
fn an_inlined_function_shares_the_location_of_the_one_it_is_inlined_into() {
    let profile = read(&sample::redis());
    let functions = functions(&profile, 0);
    assert_eq!(functions[0], ["je_malloc"]);
    assert_eq!(functions[1], ["zmalloc_usable", "_sdsnewlen"]);
    assert_eq!(functions.last().unwrap(), &["_start"]);
}

#[test]
fn a_frame_without_function_is_a_place_in_its_mapping() {
    let view = sample::redis();
    let profile = read(&view);
    let sample = view.stacks.iter().position(|stack| stack.frames.len() == 1).unwrap();
    let location = &profile.location[profile.sample[sample].location_id[0] as usize - 1];
    assert!(location.line.is_empty());
    assert_eq!(location.address, 0x4_2000);
    let mapping = &profile.mapping[location.mapping_id as usize - 1];
    assert_eq!((text(&profile, mapping.filename), text(&profile, mapping.build_id)), ("redis-server", "3b1f"));
    assert!(!mapping.has_functions && (mapping.memory_start..mapping.memory_limit).contains(&location.address));
}

#[test]
fn a_stack_without_frames_is_still_in_the_graph() {
    let view = sample::redis();
    let profile = read(&view);
    let sample = view.stacks.iter().position(|stack| stack.frames.is_empty()).unwrap();
    assert_eq!(functions(&profile, sample), [["[no frames]"]]);
}

#[test]
fn the_program_itself_is_the_first_mapping() {
    let profile = read(&sample::redis());
    assert_eq!(text(&profile, profile.mapping[0].filename), "redis-server");
    let ids: Vec<u64> = profile.mapping.iter().map(|mapping| mapping.id).collect();
    assert!(ids.iter().copied().eq(1..=ids.len() as u64));
    assert!(profile.location.iter().all(|location| location.mapping_id <= ids.len() as u64));
}

#[test]
fn it_is_of_the_last_snapshot_and_lasts_since_the_trace_began() {
    let profile = read(&sample::redis());
    assert_eq!(profile.time_nanos, 1_763_696_520_000_000_000);
    assert_eq!(profile.duration_nanos, 1_800_000_000_000);
    assert!(profile.period_type.is_none() && profile.period == 0, "every allocation was traced");
}

#[test]
fn samples_have_a_period_and_losses_are_told() {
    let mut view = sample::redis();
    let last = view.snapshots.len() - 1;
    view.snapshots[last].report.mode.sample_bytes = 512 << 10;
    view.snapshots[last].report.loss.complete = false;
    let profile = read(&view);
    let period = profile.period_type.unwrap();
    assert_eq!((text(&profile, period.kind), text(&profile, period.unit)), ("space", "bytes"));
    assert_eq!(profile.period, 512 << 10);
    let comments: Vec<_> = profile.comment.iter().map(|comment| text(&profile, *comment)).collect();
    for said in ["leaktrace ", "process: redis-server (pid 4242), /usr/local/bin", "every 512.0 KiB", "lost: 0 alloc"] {
        assert!(comments.iter().any(|comment| comment.contains(said)), "{said} in {comments:?}");
    }
}

#[test]
fn hostile_names_are_inert_and_of_a_sane_length() {
    let view = sample::hostile();
    let profile = read(&view);
    let name = crate::text::printable(view.stacks[0].frames[0].function.as_deref().unwrap());
    assert_eq!(functions(&profile, 0)[0], [&*name]);
    let longest = crate::export::names::LONGEST;
    assert!(profile.string_table.iter().all(|text| text.len() <= longest && !text.contains(crate::text::is_hostile)));
}

#[test]
fn a_place_whose_caller_is_missing_ends_with_the_stack() {
    let mut view = sample::redis();
    view.stacks[0].frames.truncate(2);
    assert_eq!(functions(&read(&view), 0), [["je_malloc"], ["zmalloc_usable"]]);
}

#[test]
fn a_function_without_name_is_none() {
    let mut view = sample::redis();
    for function in [None, Some(String::new())] {
        view.stacks[0].frames = vec![Frame { function, ..Frame::default() }];
        assert_eq!(functions(&read(&view), 0), [[""; 0]], "it has no name");
    }
}
