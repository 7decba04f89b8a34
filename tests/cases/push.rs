//! `leaktrace push`: a session's profile gets to a server, at once or later, and nothing is lost without a word.

mod server;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::harness::{Machine, Outcome, Scratch, Target, target_path};
use server::{Server, nowhere};

/// Where the recorded program loses memory.
const LEAK: &str = "leak_slowly";

/// Records a program of this name that loses memory.
fn record(machine: &Machine, scratch: &Scratch, name: &str) -> PathBuf {
    let program = scratch.path(name);
    fs::copy(target_path("pair"), &program).expect("a copy");
    let mut command = Command::new(&program);
    command.args(["3", "1", "0"]);
    let mut target = Target::start(machine, command);
    target.run_pairs(1);
    let file = scratch.path("session.leak");
    let recorder = machine.attach(target.pid(), &format!("-d 2 --snapshot-interval 500ms -w {}", file.display()));
    target.say("leak 1000 200");
    recorder.wait().well();
    file
}

/// A session that the tests share.
fn session(machine: &Machine) -> Vec<u8> {
    static SESSION: OnceLock<Vec<u8>> = OnceLock::new();
    let record = || fs::read(record(machine, &Scratch::new(), "pusher")).expect("a session");
    SESSION.get_or_init(record).clone()
}

/// What a test pushes, and where it waits.
struct Bench {
    machine: Machine,
    scratch: Scratch,
}

impl Bench {
    fn new() -> Self {
        let (machine, scratch) = (Machine::shared(), Scratch::new());
        scratch.file("server.leak", session(&machine));
        Self { machine, scratch }
    }

    /// Pushes; `FILE` stands for the session.
    fn push(&self, url: &str, more: &str) -> Outcome {
        let file = self.scratch.path("server.leak");
        let words = more.split_whitespace().map(|word| if word == "FILE" { file.to_str().unwrap() } else { word });
        let spool = self.spool();
        let begin = ["push", "--to", url, "--spool", spool.to_str().unwrap()];
        self.machine.leaktrace_with(begin.into_iter().chain(words)).wait()
    }

    fn spool(&self) -> PathBuf {
        self.scratch.path("spool")
    }

    fn waiting(&self) -> Vec<PathBuf> {
        files(&self.spool(), "profile")
    }
}

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect();
    files.sort();
    files
}

fn has(profile: &[u8], text: &str) -> bool {
    profile.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn pyroscope_gets_the_profile_with_its_labels_and_time() {
    let (bench, server) = (Bench::new(), Server::answering(&[]));
    let outcome =
        bench.push(&server.url, "--label env=prod --label host=web-3 --header X-Scope-OrgID=team FILE").well();
    assert_eq!(outcome.output, format!("1 profile sent to {}/ingest\n", server.url));
    let request = server.next();
    let profile = request.pyroscope();
    assert!(has(&profile, LEAK) && has(&profile, "inuse_space"));
    assert_eq!(request.query("name"), "leaktrace.memory{comm=pusher,env=prod,host=web-3}");
    assert_eq!(request.query("format"), "pprof");
    let seconds = |name: &str| request.query(name).parse::<u64>().expect("seconds");
    assert!((1..600).contains(&(seconds("until") - seconds("from"))));
    assert!(
        request.headers.iter().any(|header| header.eq_ignore_ascii_case("X-Scope-OrgID: team")),
        "{:?}",
        request.headers
    );
    server.has_no_more();
    assert!(bench.waiting().is_empty());
}

#[test]
fn parca_gets_the_profile_with_its_labels_and_a_token_from_a_file() {
    let (bench, server) = (Bench::new(), Server::answering(&[]));
    let token = bench.scratch.file("token", "s3cret\n");
    bench.push(&server.url, &format!("--kind parca --label host=web-3 --token-file {} FILE", token.display())).well();
    let request = server.next();
    let (profile, labels) = request.parca();
    assert!(has(&profile, LEAK) && has(&profile, "inuse_space"));
    let known = [("__name__", "memory"), ("comm", "pusher"), ("host", "web-3")];
    assert_eq!(labels, known.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let token = "authorization: bearer s3cret";
    assert!(request.headers.iter().any(|header| header.to_lowercase() == token), "{:?}", request.headers);
}

#[test]
fn what_cannot_be_sent_waits_and_goes_first_the_next_time_in_order() {
    let (bench, url) = (Bench::new(), nowhere());
    for number in 1..=2 {
        let said = bench.push(&url, &format!("--tries 1 --label number={number} FILE")).refusal();
        assert!(said.contains("/ingest cannot be reached: ") && said.contains(&format!("{number} profile")), "{said}");
    }
    for file in bench.waiting() {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let server = Server::at(&url, &[]);
    // Another target's turn is another time.
    let other = Server::answering(&[]);
    bench.push(&other.url, "").well();
    other.has_no_more();
    let outcome = bench.push(&url, "--label number=3 FILE").well();
    assert!(outcome.output.starts_with("3 profiles sent to "), "{}", outcome.output);
    for number in 1..=3 {
        let request = server.next();
        assert!(request.query("name").contains(&format!("number={number}}}")), "{}", request.path);
        assert!(has(&request.pyroscope(), LEAK));
    }
    assert!(bench.waiting().is_empty());
    assert!(bench.push(&url, "").well().output.starts_with("nothing waits in "));
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let (bench, server) = (Bench::new(), Server::answering(&["503 Busy\r\nRetry-After: 1"]));
    let began = std::time::Instant::now();
    let outcome = bench.push(&server.url, "-v FILE").well();
    assert!(began.elapsed().as_secs_f64() >= 1.0);
    assert!(outcome.errors.contains("(status 503)"), "{}", outcome.errors);
    let (first, second) = (server.next(), server.next());
    assert_eq!(first.body, second.body);
    server.has_no_more();
}

#[test]
fn a_server_that_asks_for_an_hour_is_left_alone_and_the_profile_waits() {
    let (bench, server) = (Bench::new(), Server::answering(&["429 Slow Down\r\nRetry-After: 3600"]));
    let said = bench.push(&server.url, "FILE").refusal();
    assert!(said.contains("1 h 00 m of peace") && bench.waiting().len() == 1, "{said}");
    bench.push(&server.url, "").well();
    assert!(has(
        &{
            server.next();
            server.next()
        }
        .pyroscope(),
        LEAK
    ));
}

#[test]
fn a_refused_profile_is_not_sent_again_and_the_reason_is_said() {
    let (bench, server) = (Bench::new(), Server::answering(&["400 Bad Request"]));
    let said = bench.push(&server.url, "FILE").refusal();
    assert!(
        said.contains("refuses the profile (status 400): as\\x1b[2J told of ") && said.contains("server.leak"),
        "{said}"
    );
    server.next();
    server.has_no_more();
    assert!(bench.waiting().is_empty());
}

#[test]
fn a_profile_that_is_refused_after_it_waited_is_set_aside_and_the_rest_goes_on() {
    let (bench, url) = (Bench::new(), nowhere());
    bench.push(&url, "--tries 1 FILE FILE FILE").refusal();
    let waiting = bench.waiting();
    assert_eq!(waiting.len(), 3);
    let mut bytes = fs::read(&waiting[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&waiting[1], bytes).unwrap();
    let server = Server::at(&url, &["422 Too Old"]);
    let outcome = bench.push(&url, "");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.errors.contains("refuses the profile (status 422)"), "{}", outcome.errors);
    assert!(outcome.errors.contains("a profile in the spool is damaged: its checksum is wrong"), "{}", outcome.errors);
    assert!(outcome.errors.contains("1 profile sent to "), "{}", outcome.errors);
    server.next();
    assert!(has(&server.next().pyroscope(), LEAK));
    server.has_no_more();
    assert!(bench.waiting().is_empty());
    assert_eq!((files(&bench.spool(), "damaged").len(), files(&bench.spool(), "refused").len()), (1, 1));
}

#[test]
fn wrong_rights_lose_nothing_and_another_token_sends_what_waits() {
    let (bench, server) = (Bench::new(), Server::answering(&["401 Unauthorized"]));
    let token = bench.scratch.file("token", "old");
    let more = format!("--token-file {}", token.display());
    let said = bench.push(&server.url, &format!("{more} FILE")).refusal();
    assert!(said.contains("lets nobody in like this") && said.contains("1 profile waits"), "{said}");
    fs::write(&token, "new").unwrap();
    bench.push(&server.url, &more).well();
    server.next();
    assert!(server.next().headers.iter().any(|header| header.to_lowercase() == "authorization: bearer new"));
}

#[test]
fn a_full_spool_loses_the_oldest_and_says_so() {
    let (bench, url) = (Bench::new(), nowhere());
    bench.push(&url, "--tries 1 --label number=1 FILE").refusal();
    let size = fs::metadata(&bench.waiting()[0]).unwrap().len();
    let size = size * 2 + size / 2;
    bench.push(&url, &format!("--tries 1 --spool-size {size} --label number=2 FILE")).refusal();
    let outcome = bench.push(&url, &format!("--tries 1 --spool-size {size} --label number=3 FILE"));
    assert!(
        outcome.errors.contains("is full") && outcome.errors.contains("1 profile went unsent"),
        "{}",
        outcome.errors
    );
    let server = Server::at(&url, &[]);
    bench.push(&url, "").well();
    assert!(server.next().path.contains("number%3D2") && server.next().path.contains("number%3D3"));
}

#[test]
fn a_spool_that_cannot_be_used_is_said_and_sending_needs_none() {
    let (bench, server, url) = (Bench::new(), Server::answering(&[]), nowhere());
    let file = bench.scratch.path("server.leak");
    let words = ["push", "--tries", "1", "--spool", "/proc/no/spool", file.to_str().unwrap(), "--to"];
    let said = bench.machine.leaktrace_with(words.into_iter().chain([url.as_str()])).wait().refusal();
    assert!(said.contains("give another directory with --spool") && said.contains("push that session again"), "{said}");
    bench.machine.leaktrace_with(words.into_iter().chain([server.url.as_str()])).wait().well();
    server.next().pyroscope();
}

#[test]
fn no_secret_is_printed_and_no_proxy_is_used_unasked() {
    let (bench, server) = (Bench::new(), Server::answering(&["403 Forbidden"]));
    let url = server.url.replace("http://", "http://me:hunter2@");
    let (file, spool) = (bench.scratch.path("server.leak"), bench.spool());
    let mut command = Command::new(crate::harness::leaktrace_path());
    command.args(["push", "-v", "--header", "X-Key=topsecret", "--to", &url, "--spool"]).arg(&spool).arg(file);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"] {
        command.env(name, nowhere());
    }
    let outcome = bench.machine.leaktrace_by(command).wait();
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.errors.contains("status 403"), "{}", outcome.errors);
    let kept = fs::read(&bench.waiting()[0]).unwrap();
    for secret in ["hunter2", "topsecret"] {
        assert!(!outcome.errors.contains(secret) && !has(&kept, secret), "{}", outcome.errors);
    }
    let basic = "authorization: basic bwu6ahvudgvymg==";
    let headers = server.next().headers;
    assert!(headers.iter().any(|header| header.to_lowercase() == basic), "{headers:?}");
}

#[test]
fn a_hostile_name_is_a_label_and_nothing_else() {
    let (machine, scratch, server) = (Machine::shared(), Scratch::new(), Server::answering(&[]));
    let file = record(&machine, &scratch, "x,a=b}\x1b[2J\n\"");
    for kind in ["pyroscope", "parca"] {
        let words = ["push", "--label", "host=h", "--kind", kind, "--to", &server.url, file.to_str().unwrap()];
        let outcome = machine.leaktrace_with(words).wait().well();
        assert!(!outcome.output.contains('\x1b') && outcome.errors.is_empty(), "{}", outcome.errors);
    }
    assert_eq!(server.next().query("name"), "leaktrace.memory{comm=x_a=b__[2J_\",host=h}");
    let (_, labels) = server.next().parca();
    assert_eq!(labels[1..], [("comm".to_owned(), "x_a=b__[2J_\"".to_owned()), ("host".to_owned(), "h".to_owned())]);
}

#[test]
fn what_is_typed_wrong_is_said_before_anything_is_sent() {
    let (bench, server) = (Bench::new(), Server::answering(&[]));
    for (url, more, part) in [
        ("ftp://h", "", "http or https"),
        (server.url.as_str(), "--label x", "is no label"),
        (server.url.as_str(), "--header X-Key=@/nonexistent", "cannot be read"),
        (server.url.as_str(), "--token-file /nonexistent", "cannot be read"),
        (server.url.as_str(), "--tries 0", "number of tries"),
        (server.url.as_str(), "FILE /nonexistent", "/nonexistent"),
    ] {
        let said = bench.push(url, more).refusal();
        assert!(said.contains(part), "{said}");
    }
    server.has_no_more();
}
