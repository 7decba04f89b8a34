//! Web services as they are deployed, under load: leaktrace names the line of the handler that leaks, no request fails, and a
//! service that keeps nothing is not accused.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;

use super::{
    findings::Kind,
    interpreters::Interpreter,
    judge::{Leak, Traced},
    load::Request,
    programs::{marked, sources},
};
use crate::harness::{Machine, Running, is_full, python_path, wait_until};

/// What `shop.py` keeps for ever.
const ORDER: Request = Request {
    method: "POST",
    path: "/orders",
    body: r#"{"lines": [{"article": 17, "count": 2}, {"article": 256, "count": 1}, {"article": 31, "count": 12}]}"#,
};

/// What it does not.
const PRICE: Request = Request { method: "GET", path: "/prices/17", body: "" };

/// What `feed.py` keeps for ever.
const SUBSCRIPTION: Request = Request {
    method: "POST",
    path: "/subscriptions",
    body: r#"{"reader": "me@shop.example", "topics": ["shoes", "hats"]}"#,
};

/// A server that runs one of the services.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// A process that starts another, which answers with four threads.
    Gunicorn,
    /// One process with an event loop.
    Uvicorn,
}

/// A service at work.
struct Service {
    _running: Running,
    /// The process that answers.
    pid: u32,
    port: u16,
}

impl Service {
    /// Starts it; returns when it answers a request.
    fn start(machine: &Machine, server: Server, request: &Request) -> Self {
        // Free when asked; who binds to it first gets it.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = Command::new(python_path());
        match server {
            Server::Gunicorn => {
                command.args(["-m", "gunicorn", "--workers", "1", "--threads", "4", "--log-level", "warning"]);
                command.args(["--bind", &format!("127.0.0.1:{port}"), "--chdir"]).arg(sources().join("service"));
                command.arg("shop:app");
            }
            Server::Uvicorn => {
                command.args(["-m", "uvicorn", "--log-level", "warning", "--no-access-log"]);
                command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--app-dir"]);
                command.arg(sources().join("service")).arg("feed:app");
            }
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
        let running = machine.program(&mut command);
        wait_until("the service", || request.once(port).is_ok_and(|status| status == 200));
        let pid = match server {
            Server::Gunicorn => only_child(running.pid()),
            Server::Uvicorn => running.pid(),
        };
        Self { _running: running, pid, port }
    }

    /// Has leaktrace look at it while it answers; gives the reports. Fails if a request is not answered well.
    fn traced(&self, machine: &Machine, request: &Request) -> Vec<Value> {
        let seconds = if is_full() { 120 } else { 30 };
        let trace = || {
            let leaktrace = machine.leaktrace(&format!("-p {} --format json -d {seconds} 5", self.pid));
            sleep(Duration::from_secs(seconds));
            leaktrace.wait().reports()
        };
        let (reports, answered) = request.while_happens(self.port, trace).unwrap_or_else(|why| panic!("{why}"));
        println!("{answered} requests were answered in {seconds} s, and none failed");
        assert!(answered > 20 * seconds, "only {answered} requests were answered");
        assert_eq!(request.once(self.port).expect("it answers when leaktrace has left it"), 200);
        reports
    }
}

/// gunicorn's worker.
fn only_child(of: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).expect("a running server");
    children.trim().parse().expect("one worker")
}

/// The version of the interpreter that the services run on.
fn version() -> String {
    Interpreter::ask(&python_path()).expect("the tests' Python").version
}

/// Fails unless the reports on a service name the line that its file marks.
fn named(server: Server, request: &Request, file: &str, holder: &'static str) {
    let machine = Machine::shared();
    let service = Service::start(&machine, server, request);
    let reports = service.traced(&machine, request);
    let file = sources().join("service").join(file);
    // In half a minute, it need not be sure.
    let leak = Leak { kind: Kind::Holder, name: holder, lines: marked(&file), file, surely: is_full() };
    assert_eq!(leak.lines.len(), 1, "the service marks its line");
    let named = Traced { pid: service.pid, version: &version(), reports: &reports }.names(&leak);
    let named = named.unwrap_or_else(|why| panic!("{why}"));
    println!("{server:?}: after {:.0} s {}", named.after_s, named.what);
}

#[test]
fn a_leak_in_a_handler_of_flask_under_gunicorn_is_named_and_no_request_fails() {
    named(Server::Gunicorn, &ORDER, "shop.py", "ANSWERS");
}

#[test]
fn a_leak_in_a_handler_of_fastapi_under_uvicorn_is_named_and_no_request_fails() {
    named(Server::Uvicorn, &SUBSCRIPTION, "feed.py", "SUBSCRIPTIONS");
}

#[test]
fn a_service_that_keeps_nothing_is_not_accused() {
    let machine = Machine::shared();
    let service = Service::start(&machine, Server::Gunicorn, &PRICE);
    let reports = service.traced(&machine, &PRICE);
    let traced = Traced { pid: service.pid, version: &version(), reports: &reports };
    traced.accuses_nothing().unwrap_or_else(|why| panic!("{why}"));
}
