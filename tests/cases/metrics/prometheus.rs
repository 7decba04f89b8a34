//! Prometheus itself, on a free port of this machine.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Machine, Running, Scratch, wait_until};

/// It, and where it listens; it ends with this.
pub struct Prometheus {
    _running: Running,
    _scratch: Scratch,
    address: String,
}

impl Prometheus {
    /// Has it ask this page every second, and keep what it is told in a folder of its own.
    pub fn start(machine: &Machine, page: &str) -> Self {
        let scratch = Scratch::new();
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").to_string();
        let settings = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [{{ job_name: leaktrace, static_configs: [{{ targets: ['{page}'] }}] }}]\n"
        );
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", scratch.file("settings.yml", settings).display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.path("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.args(["--log.level=error"]).current_dir(scratch.path("."));
        let running = machine.program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        wait_until("Prometheus", || TcpStream::connect(&address).is_ok());
        Self { _running: running, _scratch: scratch, address }
    }

    /// What it knows of this, as soon as it knows anything.
    pub fn knows(&self, query: &str) -> Vec<Value> {
        let mut known = Vec::new();
        let path = format!("/api/v1/query?query={}", query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"));
        wait_until(query, || {
            let mut stream = TcpStream::connect(&self.address).expect("Prometheus listens");
            let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            let document = answer.find('{').and_then(|start| answer.rfind('}').map(|end| &answer[start..=end]));
            let document: Value = document.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            known = document["data"]["result"].as_array().cloned().unwrap_or_default();
            !known.is_empty()
        });
        known
    }
}

/// The value of what Prometheus knows.
pub fn known_value(known: &Value) -> u64 {
    let value = known["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("no value: {known}")) as u64
}
