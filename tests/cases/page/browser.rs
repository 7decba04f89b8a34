//! A headless Chromium, driven by its own driver over the `WebDriver` protocol.
//!
//! It asks for nothing from the network, keeps its profile in the test's folder, and ends with its handle.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::harness::{Lines, Machine, PATIENCE, Running, Scratch};

/// The key under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How Chromium is started: as root it has no sandbox, and nobody asked it to call home.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
];

/// One browser with one window.
pub struct Browser {
    _driver: Running,
    port: u16,
    session: String,
    scratch: Scratch,
}

impl Browser {
    /// Starts one.
    pub fn start(machine: &Machine) -> Self {
        let scratch = Scratch::new();
        let mut command = Command::new("chromedriver");
        let mut driver = machine.program(command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut said = Lines::of(driver.stdout());
        let line = said.next_with("started successfully on port ");
        let port = line.trim_end().trim_end_matches('.').rsplit(' ').next().and_then(|port| port.parse().ok());
        let mut browser = Self { _driver: driver, port: port.expect("a port"), session: String::new(), scratch };
        let profile = format!("--user-data-dir={}", browser.scratch.path("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.ask("POST", "/session", &wanted);
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        // Its first page may be laid out in a window that has no size yet, and complain of that.
        let blank = browser.scratch.path("blank.html");
        fs::write(&blank, "<!doctype html><title>blank</title>").expect("a folder to write into");
        browser.visit(&blank);
        browser.wait("return innerWidth > 100");
        browser.log();
        browser
    }

    /// Opens a page, and returns when it says that it is ready.
    pub fn open(&self, page: &Path) {
        self.visit(page);
        self.wait("return document.documentElement.dataset.ready === 'yes'");
    }

    /// Opens any file.
    pub fn visit(&self, file: &Path) {
        self.post("/url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text that a script returns.
    pub fn text(&self, script: &str) -> String {
        let value = self.run(script);
        value.as_str().unwrap_or_else(|| panic!("{script} gave {value}")).to_owned()
    }

    /// Returns when a script returns true.
    pub fn wait(&self, script: &str) {
        let began = Instant::now();
        while self.run(script) != true {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {script}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Clicks what a selector finds first.
    pub fn click(&self, selector: &str) {
        self.run(&format!("document.querySelector(\"{selector}\").scrollIntoView({{ block: 'center' }})"));
        self.post(&format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    /// Types into what a selector finds first.
    pub fn type_into(&self, selector: &str, text: &str) {
        self.post(&format!("/element/{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Makes the window this wide, as on a device of that width, in light or dark.
    pub fn look(&self, width: u32, scheme: &str) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        // Nothing moves by itself, so that what is clicked on stays where it is.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features }));
        // Charts are drawn anew two frames after their boxes have changed.
        self.post(
            "/execute/async",
            &json!({
                "script": "const done = arguments[0]; let n = 4;
                           const next = () => n-- ? requestAnimationFrame(next) : done(true); next();",
                "args": [],
            }),
        );
    }

    /// Takes a picture of the whole page, into the folder that `LEAKTRACE_SCREENSHOTS` names or one that goes with this.
    pub fn picture(&self, name: &str) {
        let taken = self.command("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        let picture = BASE64_STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64");
        let path = match env::var_os("LEAKTRACE_SCREENSHOTS") {
            Some(folder) => Path::new(&folder).join(name),
            None => self.scratch.path(name),
        };
        fs::write(path.with_extension("png"), picture).expect("a folder to write into");
    }

    /// What pages and the browser have said since the last call, as on its console.
    pub fn log(&self) -> Vec<Value> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        log.as_array().expect("a log").clone()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Has the browser do what only it knows.
    fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = exchange(self.port, method, path, &body.to_string()).expect("the driver answers");
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer}"));
        let value = &answer["value"];
        assert!(value["error"].is_null(), "{path} {body}: {} {}", value["error"], value["message"]);
        value.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browsers first; without an answer it is too late for that.
        let _ = exchange(self.port, "GET", "/shutdown", "");
    }
}

/// Sends a request to the driver, and gives the body of its answer.
fn exchange(port: u16, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while answer.read_line(&mut line)? > 0 && line.trim_end() != "" {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    // Not up to the end: the driver leaves the connection open.
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    String::from_utf8(body).map_err(io::Error::other)
}
