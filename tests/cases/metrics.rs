//! `--metrics ADDR`: a page of figures, as Prometheus, its linter and `OpenMetrics`' reference parser understand it, which says
//! what the reports say; and which neither strangers nor hostile names can put out of order.

mod prometheus;

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    panic,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::Duration,
};

use serde_json::Value;

use prometheus::{Prometheus, known_value};

use crate::harness::{
    Leaktrace, Machine, Outcome, PATIENCE, Scratch, Target, first_function, number, python_path, stacks, target_path,
    wait_until,
};

/// How `OpenMetrics` is asked for.
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

/// A program that leaks through several sites as long as it is left alone.
fn demo(machine: &Machine) -> Target {
    let mut demo = machine.target("demo", "120");
    assert!(demo.hear().starts_with("demo: "));
    demo
}

/// A trace of every allocation of a process, with a page; and where that is.
fn trace(machine: &Machine, target: &Target, more: &str) -> (Leaktrace, String) {
    let pid = target.pid();
    let arguments = format!("-v -s exact --budget off -p {pid} --metrics 0 --format json {more}");
    let mut leaktrace = machine.leaktrace(&arguments);
    let address = address(&mut leaktrace);
    leaktrace.wait_until_said(&format!("probes in process {pid}"));
    (leaktrace, address)
}

/// Where a page is that has just come to be.
fn address(leaktrace: &mut Leaktrace) -> String {
    let said = leaktrace.wait_until_said("metrics are at http://");
    let (_, address) = said.split_once("http://").expect("an address");
    address.split_once('/').expect("a path").0.to_owned()
}

/// Asks for something; gives the head of the answer, and what it is.
fn ask(address: &str, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_lowercase(), body.to_owned())
}

/// The page as whoever asks for nothing in particular has it.
fn page(address: &str) -> String {
    let (head, page) = ask(address, "/metrics", "*/*");
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    page
}

/// The value of the first figure whose line begins so, if there is one.
fn value(page: &str, beginning: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(beginning))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits for a page that has so many reports behind it.
fn page_of_report(address: &str, least: f64) -> String {
    let mut page_now = String::new();
    wait_until("a report on the page", || {
        page_now = page(address);
        value(&page_now, "leaktrace_reports_total ").is_some_and(|reports| reports >= least)
    });
    page_now
}

/// What a program says of a page that it is given. It must succeed without a complaint.
fn judged(command: &mut Command, page: &str) -> String {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut judge = streams.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    judge.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads");
    let said = judge.wait_with_output().expect("its answer");
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && errors.is_empty(), "{command:?} says:\n{errors}\nof\n{page}");
    String::from_utf8(said.stdout).expect("text")
}

/// Fails if Prometheus's linter has anything to say of a page.
fn lint(page: &str) {
    assert_eq!(judged(Command::new("promtool").args(["check", "metrics"]), page), "", "{page}");
}

/// The figures of a page, as `OpenMetrics`' reference parser reads them: name, labels, value.
fn figures(address: &str) -> Vec<Value> {
    let (head, page) = ask(address, "/metrics", OPEN);
    assert!(head.contains(&format!("content-type: {OPEN}; charset=utf-8")), "{head}");
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/metrics/reads.py");
    let read = judged(Command::new(python_path()).arg(script), &page);
    read.lines().map(|line| serde_json::from_str(line).expect("a figure")).collect()
}

/// Whether two numbers are the same but for how their decimals are read.
fn is_same(one: &Value, other: &Value) -> bool {
    let (one, other) = (one.as_f64().expect("a number"), other.as_f64().expect("a number"));
    (one - other).abs() <= 1e-9 * one.abs()
}

#[test]
fn prometheus_knows_what_a_traced_process_holds_and_which_function_leaks() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let (leaktrace, address) = trace(&machine, &demo, "-T 20 1");
    let prometheus = Prometheus::start(&machine, &address);
    let pid = demo.pid().to_string();
    let of_process = prometheus.knows(&format!("leaktrace_process_outstanding_bytes{{pid=\"{pid}\"}}"));
    let [process] = of_process.as_slice() else { panic!("{of_process:?}") };
    assert_eq!((&process["metric"]["comm"], &process["metric"]["job"]), (&"demo".into(), &"leaktrace".into()));
    let leak = prometheus.knows("leaktrace_stack_outstanding_bytes{function=\"remember_session\"}");
    let [leak] = leak.as_slice() else { panic!("{leak:?}") };
    assert_eq!(leak["metric"]["pid"], pid);
    assert_eq!(known_value(&prometheus.knows("up")[0]), 1);
    assert_eq!(known_value(&prometheus.knows("leaktrace_complete")[0]), 1);
    // What it knows is what one of the reports says.
    let reports = leaktrace.end().reports();
    let said = |value: u64| {
        reports.iter().any(|report| number(&report["processes"][0]["totals"], "outstanding_bytes") == value)
    };
    assert!(said(known_value(process)), "{process}");
    let said = |value: u64| {
        let all = reports.iter().flat_map(|report| stacks(report).iter());
        let mut all = all.filter(|stack| first_function(stack) == "remember_session");
        all.any(|stack| number(stack, "outstanding_bytes") == value && stack["id"] == leak["metric"]["stack"])
    };
    assert!(said(known_value(leak)), "{leak}");
}

#[test]
fn both_forms_are_well_formed_and_say_what_a_report_says() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let (leaktrace, address) = trace(&machine, &demo, "-T 5 1");
    let first = page(&address);
    assert!(first.contains("leaktrace_build_info{version=\""), "{first}");
    lint(&page_of_report(&address, 2.0));
    let figures = figures(&address);
    assert_eq!(ask(&address, "/", "*/*").1, "leaktrace: the metrics are at /metrics\n");
    assert!(ask(&address, "/else", "*/*").0.starts_with("http/1.1 404"));
    let reports = leaktrace.end().reports();
    let of = |name: &str| figures.iter().filter(|figure| figure[0] == name).collect::<Vec<_>>();
    let made = of("leaktrace_reports_total")[0][2].as_f64().expect("a number") as usize;
    let report = &reports[made - 1];
    for (name, key) in [
        ("leaktrace_process_outstanding_bytes", "outstanding_bytes"),
        ("leaktrace_process_outstanding_blocks", "outstanding_count"),
        ("leaktrace_process_allocated_bytes_total", "allocated_bytes"),
        ("leaktrace_process_allocated_blocks_total", "allocated_count"),
        ("leaktrace_process_freed_bytes_total", "freed_bytes"),
        ("leaktrace_process_freed_blocks_total", "freed_count"),
    ] {
        let [figure] = of(name)[..] else { panic!("{name}: {figures:?}") };
        assert!(is_same(&figure[2], &report["totals"][key]), "{figure}: {}", report["totals"]);
        assert_eq!(report["totals"][key], report["processes"][0]["totals"][key]);
    }
    assert!(is_same(&of("leaktrace_elapsed_seconds")[0][2], &report["elapsed_s"]));
    assert_eq!(of("leaktrace_stack_verdict").len(), stacks(report).len());
    for stack in stacks(report) {
        let is_its = |figure: &&&Value| figure[1]["stack"] == stack["id"];
        let find = |name: &str| of(name).iter().find(is_its).map(|figure| (*figure).clone()).expect("a figure");
        assert!(is_same(&find("leaktrace_stack_outstanding_bytes")[2], &stack["outstanding_bytes"]), "{stack}");
        assert!(is_same(&find("leaktrace_stack_growth_bytes_per_second")[2], &stack["bytes_per_s"]), "{stack}");
        assert!(is_same(&find("leaktrace_stack_confidence_ratio")[2], &stack["confidence"]), "{stack}");
        let verdict = find("leaktrace_stack_verdict");
        assert!(verdict[1]["verdict"] == stack["verdict"] && is_same(&verdict[2], &1.into()), "{verdict}");
        assert_eq!(verdict[1]["function"].as_str().map(|name| name.starts_with(first_function(stack))), Some(true));
    }
}

#[test]
fn with_several_processes_each_has_its_own_part_of_the_totals() {
    let machine = Machine::shared();
    let (one, mut other) = (demo(&machine), machine.target("pair", "3 1 0"));
    other.run_pairs(1);
    let pid = other.pid();
    let (leaktrace, address) = trace(&machine, &one, &format!("-p {pid} 1"));
    other.say("leak 1000 50");
    wait_until("what the second process holds", || {
        let page = page(&address);
        value(&page, &format!("leaktrace_process_outstanding_bytes{{pid=\"{pid}\"")).is_some_and(|bytes| bytes > 0.0)
    });
    let report = leaktrace.end().last_report();
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 2);
    for key in ["outstanding_bytes", "outstanding_count", "allocated_bytes", "allocated_count", "freed_count"] {
        let parts: u64 = processes.iter().map(|process| number(&process["totals"], key)).sum();
        assert_eq!(parts, number(&report["totals"], key), "{key}");
    }
    assert!(processes.iter().all(|process| number(&process["totals"], "outstanding_bytes") > 0));
}

#[test]
fn the_page_of_a_watch_tells_what_a_look_has_found() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let program = scratch.path("monitored");
    fs::copy(target_path("pair"), &program).expect("a copy");
    let mut command = Command::new(&program);
    command.args(["3", "1", "0"]);
    let mut leaking = Target::start(&machine, command);
    leaking.run_pairs(1);
    let mut watch = machine.leaktrace(&format!(
        "watch --directory {} --interval 300ms --within 5s --least-growth 128K --look 6s --allow monitored --metrics 0",
        scratch.path("kept").display()
    ));
    let address = address(&mut watch);
    leaking.say("leak 1000 200");
    watch.wait_until_said("looking closer");
    wait_until("a look under way", || value(&page(&address), "leaktrace_watch_looks_under_way ") == Some(1.0));
    watch.wait_until_said("no other look for 30 m");
    let page = page(&address);
    lint(&page);
    let labels = format!("{{pid=\"{}\",comm=\"monitored\"", leaking.pid());
    assert!(
        value(&page, &format!("leaktrace_watch_look_rise_bytes_per_second{labels}")).is_some_and(|rise| rise > 1e4)
    );
    let found = page.lines().find(|line| line.starts_with(&format!("leaktrace_watch_look_verdict{labels}")));
    assert!(found.is_some_and(|line| line.contains("function=\"leak_slowly\",verdict=\"")), "{page}");
    let is_more_than = |name: &str, least: f64| value(&page, name).is_some_and(|value| value > least);
    assert!(is_more_than("leaktrace_watch_processes ", 3.0) && is_more_than("leaktrace_watch_rounds_total ", 10.0));
    assert!(is_more_than("leaktrace_watch_round_seconds ", 0.0) && is_more_than("leaktrace_resident_bytes ", 1e6));
    assert_eq!(value(&page, "leaktrace_watch_looks_finished_total "), Some(1.0));
    wait_until("the session", || value(&self::page(&address), "leaktrace_watch_sessions ") == Some(1.0));
    assert!(figures(&address).len() > 10);
    watch.end().well();
}

#[test]
fn a_port_in_use_is_said_before_a_trace_and_waited_for_by_a_watch() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let mut target = machine.target("pair", "3 1 0");
    target.run_pairs(1);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let pid = target.pid();
    for arguments in [format!("-p {pid} --metrics {address}"), format!("run --metrics {address} -- /bin/echo ran")] {
        let line = machine.leaktrace_with(arguments.split(' ')).wait().refusal();
        assert!(line.contains(&format!("the port of {address} is in use; give --metrics another")), "{line}");
    }
    let kept = scratch.path("kept");
    let arguments = format!("watch --directory {} --interval 200ms --metrics {address} --allow nobody", kept.display());
    let mut watch = machine.leaktrace(&arguments);
    let said = watch.wait_until_said("watching without metrics");
    assert!(said.contains(&format!("the port of {address} is in use")), "{said}");
    sleep(Duration::from_secs(1));
    drop(taken);
    watch.wait_until_said(&format!("metrics are at http://{address}/metrics"));
    let rounds = || value(&page(&address), "leaktrace_watch_rounds_total ");
    wait_until("rounds", || rounds().is_some_and(|rounds| rounds > 4.0));
    let said = watch.end().well().errors;
    // Once, however often it was tried.
    assert_eq!(said.matches("in use").count(), 1, "{said}");
}

#[test]
fn what_is_no_address_is_refused_and_who_can_read_an_open_one_is_said() {
    let machine = Machine::shared();
    for address in ["example.org:9911", "65536", "127.0.0.1", "[::1]"] {
        let line = machine.leaktrace(&format!("-p 1 --metrics {address}")).wait().refusal();
        assert!(line.contains("--metrics") && line.contains("give such as 9911"), "{line}");
    }
    let run = |address: &str| -> Outcome {
        machine.leaktrace(&format!("run --metrics {address} -- /bin/true")).wait().well()
    };
    assert!(run("[::1]:0").errors.contains("metrics are at http://[::1]:"));
    let open = run("0.0.0.0:0").errors;
    assert_eq!(open.matches("whoever reaches that address can read them").count(), 1, "{open}");
    assert!(!run(":0").errors.contains("whoever"));
}

#[test]
fn who_sends_nothing_or_without_end_keeps_nobody_from_the_page_and_no_report_from_its_time() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let (leaktrace, address) = trace(&machine, &demo, "200ms");
    let reports = value(&page_of_report(&address, 1.0), "leaktrace_reports_total ").expect("a number");
    let connect = || TcpStream::connect(&address).expect("somebody listens");
    let mut endless = connect();
    endless.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head = format!("GET /metrics HTTP/1.1\r\nX-Long: {}", "a".repeat(1 << 20));
    // It is refused before it has all been read.
    let _ = endless.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = endless.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let is_over = AtomicBool::new(false);
    let silent = thread::scope(|threads| {
        let silent = threads.spawn(|| {
            let mut silent = Vec::new();
            // Ever more at a time, and far more than are attended to.
            while !is_over.load(Relaxed) {
                let mut stream = connect();
                if silent.len() % 2 == 0 {
                    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: ").expect("half a head");
                }
                silent.push(stream);
                sleep(Duration::from_millis(30));
            }
            silent
        });
        // The page is there meanwhile, again and again, and there are new reports on it.
        let page = panic::catch_unwind(|| page_of_report(&address, reports + 20.0));
        is_over.store(true, Relaxed);
        page.expect("a page");
        silent.join().expect("silence")
    });
    assert!(silent.len() > 20);
    // And the silent are shown the door.
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
    let report = leaktrace.end().last_report();
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}

#[test]
fn what_a_hostile_program_calls_itself_is_inert_on_the_page() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let (program, names) = (scratch.path("\"} 1\n# EOF\n\\"), scratch.path("names"));
    let long = vec![b'A'; 1 << 20];
    let hostile = [
        (&b"cache_thumbnail"[..], &b"x\",verdict=\"none\"}"[..]),
        (b"remember_session", b"\x1b[2J\x1b]0;x\x07\xe2\x80\xae\\\r"),
        (b"append_audit_line", b"\xff\xfe\x80name"),
        (b"cache_page", &long),
    ];
    let lines: Vec<Vec<u8>> = hostile.iter().map(|(old, new)| [old, &b" "[..], new, b"\n"].concat()).collect();
    fs::write(&names, lines.concat()).expect("a list of names");
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--strip-debug").arg(format!("--redefine-syms={}", names.display()));
    assert!(objcopy.arg(target_path("demo")).arg(&program).status().expect("objcopy").success());
    let mut demo = Target::start(&machine, Command::new(&program));
    demo.hear();
    let (leaktrace, address) = trace(&machine, &demo, "-T 20 1");
    let page = page_of_report(&address, 2.0);
    lint(&page);
    let acts = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}".contains(c);
    assert!(!page.contains(acts), "{:?}", page.split(acts).next());
    assert!(page.lines().all(|line| line.len() < 1000), "{page}");
    assert!(page.contains("function=\"x\\\",verdict=\\\"none\\\"}\""), "{page}");
    let figures = figures(&address);
    let functions: Vec<&str> = figures.iter().filter_map(|figure| figure[1]["function"].as_str()).collect();
    assert!(functions.iter().any(|name| name.starts_with("\\x1b[2J")), "{functions:?}");
    assert!(functions.iter().any(|name| name.contains("AAAA…AAAA")), "{functions:?}");
    assert!(
        figures.iter().any(|figure| figure[1]["comm"].as_str().is_some_and(|name| name.starts_with("\"} 1\\x0a#")))
    );
    leaktrace.end().well();
}
