//! A real server under load: redis, with jemalloc, as Debian ships it.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{
    Machine, PATIENCE, Running, Scratch, first_function, functions, is_full, number, stacks, wait_until, whole_share,
};

/// A server on a port of this machine alone.
struct Server {
    running: Running,
    port: u16,
    _folder: Scratch,
}

impl Server {
    fn start(machine: &Machine) -> Self {
        let folder = Scratch::new();
        // Free when asked; who binds to it first gets it.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.current_dir(folder.path("")).stdout(Stdio::null());
        let server = Self { running: machine.program(&mut command), port, _folder: folder };
        wait_until("redis-server", || server.answers());
        server
    }

    /// The name of its program's file.
    fn program(&self) -> String {
        let path = fs::read_link(format!("/proc/{}/exe", self.running.pid())).expect("a running server");
        path.file_name().expect("a file").to_string_lossy().into_owned()
    }

    /// Whether it answers a PING.
    fn answers(&self) -> bool {
        let pong = || -> std::io::Result<[u8; 7]> {
            let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            connection.read_exact(&mut answer)?;
            Ok(answer)
        };
        pong().is_ok_and(|answer| &answer == b"+PONG\r\n")
    }

    /// Runs redis-benchmark once.
    fn benchmark(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "-n", "20000", "-r", "100000000"]);
        command.args(arguments).output().expect("redis-benchmark")
    }
}

#[test]
fn redis_serves_its_benchmark_without_an_error_while_traced() {
    let machine = Machine::shared();
    let server = Server::start(&machine);
    let mut leaktrace = machine.attach(server.running.pid(), "--format json -T 100000 60");
    leaktrace.wait_for_table(&server.program());
    let stretch = Duration::from_secs(if is_full() { 60 } else { 10 });
    let began = Instant::now();
    let mut keys = 0;
    while began.elapsed() < stretch {
        for arguments in [&["lpush", "list:__rand_int__", "value"][..], &["-t", "set,get,lpush,lpop,mset"][..]] {
            let output = server.benchmark(arguments);
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            assert!(output.status.success() && !said.to_lowercase().contains("error"), "{said}");
        }
        keys += 20_000;
    }
    assert!(server.answers(), "redis still serves");
    let outcome = leaktrace.end().well();
    assert!(outcome.errors.contains("jemalloc allocator in "), "{}", outcome.errors);
    assert!(server.answers(), "redis serves when leaktrace has left it");

    let report = outcome.last_report();
    // Nearly all keys are new, and each has a name, a value and a place.
    assert!(number(&report["totals"], "outstanding_count") > keys, "{}", report["totals"]);
    let most = &stacks(&report)[0];
    assert_eq!(report["processes"][0]["alive"], true);
    assert!(is_of_redis(first_function(most)), "{:?}", functions(most));
    // Debian's redis has no frame pointers, and no debug information beside it.
    let whole = stacks(&report).iter().filter(|stack| stack["complete"] == true).count();
    assert!(whole * 100 >= stacks(&report).len() * 98, "{whole} of {} stacks are whole", stacks(&report).len());
    assert!(whole_share(&report) >= 0.98, "{}", report["walks"]);
}

/// Whether a function is one of those that redis allocates with.
fn is_of_redis(function: &str) -> bool {
    ["zmalloc", "zcalloc", "zrealloc", "ztrymalloc", "ztrycalloc", "ztryrealloc"]
        .iter()
        .any(|own| function.starts_with(own))
}
