//! redis-server under redis-benchmark, both as the distribution ships them, on the loopback interface alone.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Subject, Workload, prefer};
use crate::{scratch::Scratch, tools::Tool};

const SERVER: Tool = Tool { program: "redis-server", package: "redis-server" };
const BENCHMARK: Tool = Tool { program: "redis-benchmark", package: "redis-tools" };

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests of the first turn, before it is known how many a server can take.
const FIRST_REQUESTS: f64 = 2000.0;

/// Keys that are set and set again: what they hold comes to a plateau.
const KEYS: &str = "20000";

/// Bytes of a value.
const VALUE_BYTES: &str = "64";

/// Redis with SETs of random keys.
pub struct Redis {
    /// Requests that a client sends at once.
    pub pipeline: u32,
    /// How long a turn is.
    pub turn: Duration,
    server: PathBuf,
    benchmark: PathBuf,
}

impl Redis {
    /// Finds the programs.
    pub fn find(pipeline: u32, turn: Duration) -> Result<Self> {
        Ok(Self { pipeline, turn, server: SERVER.find()?, benchmark: BENCHMARK.find()? })
    }

    /// Starts a server, as what it is.
    pub fn start_server(&self, libraries: Option<&Path>) -> Result<Server> {
        Server::start(self, libraries)
    }
}

impl Workload for Redis {
    fn start(&self, libraries: Option<&Path>) -> Result<Box<dyn Subject>> {
        Ok(Box::new(self.start_server(libraries)?))
    }

    fn allocator(&self) -> &'static str {
        "libjemalloc.so"
    }
}

/// A running server that keeps nothing on disk. Killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    benchmark: PathBuf,
    pipeline: u32,
    turn: Duration,
    requests: f64,
    _directory: Scratch,
}

impl Server {
    fn start(redis: &Redis, libraries: Option<&Path>) -> Result<Self> {
        let directory = Scratch::make()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // A server would outlive us where we are killed: the kernel sees to it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&redis.server);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]).arg(directory.path());
        prefer(&mut command, libraries);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self {
            child: child.context("redis-server cannot be started")?,
            address,
            benchmark: redis.benchmark.clone(),
            pipeline: redis.pipeline,
            turn: redis.turn,
            requests: FIRST_REQUESTS,
            _directory: directory,
        };
        server.wait_until_it_listens()?;
        // The keys come to be.
        server.turn()?;
        server.turn()?;
        // How many it takes under a tracer has to show again.
        server.requests = FIRST_REQUESTS;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended at once ({status}); start it by hand to see why");
            }
            ensure!(began.elapsed() < PATIENCE, "redis-server does not listen on {}", self.address);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Subject for Server {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives requests a second, as redis-benchmark counts them.
    fn turn(&mut self) -> Result<f64> {
        let port = self.address.port().to_string();
        let (requests, pipeline) = (format!("{:.0}", self.requests), self.pipeline.to_string());
        let output = Command::new(&self.benchmark)
            .args(["-h", "127.0.0.1", "-p", &port, "-t", "set", "-r", KEYS, "-d", VALUE_BYTES])
            .args(["-n", &requests, "-P", &pipeline, "--csv"])
            .stdin(Stdio::null())
            .output()
            .context("redis-benchmark cannot be started")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let rate = rate(&said).with_context(|| {
            format!("redis-benchmark did not give a rate ({}): {}", output.status, said.trim().replace('\n', " "))
        })?;
        // As many as fill the next turn: a slow server takes turns no longer than a fast one's.
        self.requests = (rate * self.turn.as_secs_f64()).max(FIRST_REQUESTS / 4.0);
        Ok(rate)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rate of `"SET","79365.08",…`.
fn rate(csv: &str) -> Option<f64> {
    let row = csv.lines().find_map(|line| line.strip_prefix("\"SET\",\""))?;
    row.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_second_column() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"79365.08\",\"0.3\"\n";
        assert_eq!(rate(csv), Some(79365.08));
        assert_eq!(rate("Could not connect"), None);
    }
}
