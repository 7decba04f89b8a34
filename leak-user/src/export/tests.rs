//! What all forms have in common.

use std::{fs, io, path::PathBuf};

use super::*;
use crate::session::sample;

fn written(format: Format, view: &View) -> Vec<u8> {
    let mut out = Vec::new();
    write(format, view, &mut out).unwrap();
    out
}

#[test]
fn a_format_is_known_by_its_name() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("PPROF".parse(), Ok(Format::Pprof));
    let error = "x\x1b".parse::<Format>().unwrap_err();
    assert_eq!(error, "\"x\\x1b\" is not a format: type json, folded, pprof, speedscope, csv or parquet");
}

#[test]
fn what_is_no_text_is_nothing_for_a_terminal() {
    for format in Format::ALL {
        assert_eq!(format.is_binary(), String::from_utf8(written(format, &sample::redis())).is_err(), "{format}");
    }
}

#[test]
fn folded_stacks_weigh_what_was_asked_for() {
    let view = sample::redis();
    for weight in Weight::ALL {
        let text = String::from_utf8(written(Format::Folded(weight), &view)).unwrap();
        let told: u64 = text.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
        assert_eq!(told, view.stacks.iter().map(|stack| weight.of(stack)).sum::<u64>());
    }
}

#[test]
fn a_view_without_stacks_has_every_form() {
    let mut view = sample::redis();
    view.stacks.clear();
    for format in Format::ALL {
        written(format, &view);
    }
}

#[test]
fn the_same_view_is_the_same_bytes() {
    for format in Format::ALL {
        assert_eq!(written(format, &sample::redis()), written(format, &sample::redis()), "{format}");
    }
}

#[test]
fn a_closed_pipe_is_the_callers_to_see() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let error = write(format, &sample::redis(), &mut Closed).unwrap_err();
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::BrokenPipe), "{format}");
    }
}

/// Not a claim of its own: `tests/cases/export.rs` has other programs read what this writes into the folder that
/// `LEAKTRACE_EXPORTS` names.
#[test]
fn the_sample_is_written_for_others_to_read() {
    let Some(folder) = std::env::var_os("LEAKTRACE_EXPORTS").map(PathBuf::from) else { return };
    for (name, view) in [("redis", sample::redis()), ("hostile", sample::hostile())] {
        for format in Format::ALL {
            fs::write(folder.join(format!("{name}.{format}")), written(format, &view)).unwrap();
        }
    }
}
