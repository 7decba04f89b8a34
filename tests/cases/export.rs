//! What others make of an exported session: readers that are not ours find in it what our own JSON says.
//!
//! `export/` has the formats' public schemas: `profile.proto` is pprof's (as Debian's `golang-github-google-pprof-dev`
//! has it, Apache-2.0), `speedscope.schema.json` that of the npm package speedscope 1.25.0 (MIT, in `speedscope.LICENSE`).

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{exports_path, number, python_path, stacks};

/// Exported sessions: an ordinary one, and one whose target chose hostile names.
const SESSIONS: [&str; 2] = ["redis", "hostile"];

/// A session in some form.
fn export(session: &str, format: &str) -> PathBuf {
    exports_path().join(format!("{session}.{format}"))
}

/// A session as our own JSON has it.
fn document(session: &str) -> Value {
    parsed(&fs::read(export(session, "json")).expect("an exported session"))
}

/// A file beside this one.
fn beside(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/export")).join(name)
}

/// Runs one of the Python programs beside this one; gives what it prints.
fn python(program: &str, arguments: &[&Path]) -> Vec<u8> {
    output(Command::new(python_path()).arg(beside(program)).args(arguments))
}

/// What a command prints that succeeds.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} says:\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn parsed(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("a JSON document")
}

/// What the rows of a table are to be, by our JSON: a stack at a snapshot each.
fn known_rows(document: &Value) -> Vec<Value> {
    let series = document["series"].as_array().expect("series");
    let moments = document["snapshots"].as_array().expect("snapshots");
    let row = |stack: &Value, series: &Value, nth: usize, moment: &Value| {
        let at = |figure: &str| series[figure][nth].as_u64().expect("a figure");
        let allocated = |unit: &str| -> u64 {
            ["outstanding", "unknown", "freed"].iter().map(|part| at(&format!("{part}_{unit}"))).sum()
        };
        json!({
            "snapshot": moment["number"],
            "time": moment["time"],
            "elapsed_s": moment["elapsed_s"],
            "label": moment["label"],
            "pid": stack["pid"],
            "comm": document["processes"][0]["comm"],
            "stack": stack["id"],
            "outstanding_bytes": at("outstanding_bytes"),
            "outstanding_count": at("outstanding_count"),
            "outstanding_bytes_stderr": at("outstanding_bytes_stderr"),
            "freed_bytes": at("freed_bytes"),
            "allocated_bytes": allocated("bytes"),
            "allocated_count": allocated("count"),
            "bytes_per_s": stack["bytes_per_s"],
            "verdict": stack["verdict"],
            "confidence": stack["confidence"],
            "complete": stack["complete"],
            "function": stack["frames"][0]["function"],
            "module": stack["frames"][0]["module"],
            "line": stack["frames"][0]["line"],
        })
    };
    stacks(document)
        .iter()
        .zip(series)
        .flat_map(|(stack, series)| {
            moments.iter().enumerate().map(move |(nth, moment)| row(stack, series, nth, moment))
        })
        .collect()
}

/// Fails unless a reader found these rows. In text every cell is a string, and an empty one stands for nothing.
fn check_rows(read: &Value, known: &[Value]) {
    let rows = read["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), known.len());
    for (row, known) in rows.iter().zip(known) {
        for (column, known) in known.as_object().expect("columns") {
            let same = match (&row[column], known) {
                (Value::String(cell), Value::Null) => cell.is_empty(),
                (Value::String(cell), Value::Bool(flag)) => *cell == flag.to_string(),
                (Value::String(cell), Value::Number(number)) => cell.parse::<f64>().ok() == number.as_f64(),
                (cell, Value::Number(number)) => cell.as_f64() == number.as_f64(),
                (cell, known) => cell == known,
            };
            assert!(same, "{column} is {}, not {known}, in {row}", row[column]);
        }
    }
}

#[test]
fn pyarrow_reads_the_parquet_file_with_its_types() {
    for session in SESSIONS {
        let read = parsed(&python("rows.py", &[&export(session, "parquet")]));
        check_rows(&read, &known_rows(&document(session)));
        for (column, known) in [
            ("time", "timestamp[us, tz=UTC]"),
            ("outstanding_bytes", "int64"),
            ("bytes_per_s", "double"),
            ("complete", "bool"),
            ("frames", "string"),
        ] {
            assert_eq!(read["types"][column], known, "{column}");
        }
    }
}

#[test]
fn python_reads_the_csv_file() {
    let read = parsed(&python("rows.py", &[&export("redis", "csv")]));
    check_rows(&read, &known_rows(&document("redis")));
    let frames = read["rows"][0]["frames"].as_str().expect("frames");
    assert!(frames.starts_with("_start;__libc_start_main;main;") && frames.ends_with(";je_malloc"), "{frames}");
}

#[test]
fn the_speedscope_file_keeps_to_its_schema_and_has_every_byte() {
    let schema = beside("speedscope.schema.json");
    for session in SESSIONS {
        let file = export(session, "speedscope");
        python("schema.py", &[&schema, &file]);
        let read = parsed(&fs::read(&file).expect("an exported session"));
        let weights = read["profiles"][0]["weights"].as_array().expect("weights");
        let told: u64 = weights.iter().filter_map(Value::as_u64).sum();
        assert_eq!(told, held_bytes(&document(session)));
    }
}

#[test]
fn inferno_draws_the_folded_stacks() {
    for session in SESSIONS {
        let folded = fs::read_to_string(export(session, "folded")).expect("an exported session");
        let mut options = inferno::flamegraph::Options::default();
        "bytes".clone_into(&mut options.count_name);
        let mut picture = Vec::new();
        inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut picture).expect("a flame graph");
        let picture = String::from_utf8(picture).expect("text");
        let all = picture.split("<title>all (").nth(1).and_then(|rest| rest.split_once(" bytes")).expect("the whole").0;
        assert_eq!(all.replace(',', "").parse(), Ok(held_bytes(&document(session))));
        assert!(picture.contains("je_malloc ("));
    }
}

#[test]
fn protoc_decodes_the_profile_by_the_public_schema() {
    for session in SESSIONS {
        let text = decoded(&export(session, "pprof"));
        // A field that the schema does not know would stand there by its number.
        assert!(text.lines().all(|line| line.trim_start().starts_with(|c: char| c.is_ascii_alphabetic() || c == '}')));
        let samples: Vec<Vec<u64>> = messages(&text, "sample").map(|sample| numbers(sample, "value")).collect();
        let document = document(session);
        let known = stacks(&document).iter().map(|stack| {
            let held = |unit| number(stack, &format!("outstanding_{unit}")) + number(stack, &format!("unknown_{unit}"));
            vec![number(stack, "allocated_count"), number(stack, "allocated_bytes"), held("count"), held("bytes")]
        });
        assert_eq!(samples, known.collect::<Vec<_>>());
        let locations: Vec<&str> = messages(&text, "location").collect();
        assert!(locations.iter().any(|location| location.matches("  line {").count() == 2), "an inlined function");
        let ids: Vec<u64> = locations.iter().flat_map(|location| numbers(location, "id")).collect();
        let used = messages(&text, "sample").flat_map(|sample| numbers(sample, "location_id")).max();
        assert_eq!((ids.first().copied(), ids.last().copied()), (Some(1), used));
        for said in ["inuse_space", "3b1f", "verdict", "leak", "4242"] {
            assert!(text.contains(&format!("\nstring_table: \"{said}\"\n")), "{said}");
        }
    }
}

/// A profile as `protoc` writes it out.
fn decoded(profile: &Path) -> String {
    let unzipped = profile.with_extension("pprof.unzipped");
    fs::write(&unzipped, output(Command::new("gzip").arg("-dc").arg(profile))).expect("our folder");
    let mut command = Command::new("protoc");
    command.arg("--decode=perftools.profiles.Profile").arg("-I").arg(beside("")).arg(beside("profile.proto"));
    let text = output(command.stdin(Stdio::from(File::open(unzipped).expect("our file"))));
    String::from_utf8(text).expect("text")
}

/// The outermost messages of a name in what `protoc` writes.
fn messages<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let begin = format!("{name} {{\n");
    text.split("\n}\n").filter_map(move |part| part.strip_prefix(&begin))
}

/// The numbers of a field, those of messages within left aside.
fn numbers(message: &str, field: &str) -> Vec<u64> {
    let begin = format!("  {field}: ");
    message.lines().filter_map(|line| line.strip_prefix(&begin)?.parse().ok()).collect()
}

fn held_bytes(document: &Value) -> u64 {
    stacks(document).iter().map(|stack| number(stack, "outstanding_bytes") + number(stack, "unknown_bytes")).sum()
}
