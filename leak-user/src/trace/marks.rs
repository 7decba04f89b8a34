//! `leaktrace mark`: a labelled snapshot of a trace that is running, asked for through a Unix socket.
//!
//! The socket lies in a folder of the tracing user's own, and who asks has to be that user or root. A trace that cannot
//! have one goes on without.

use std::{
    fs::{self, DirBuilder},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::DirBuilderExt, net},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

use crate::{notice::Notices, text::printable};

/// The longest request, and so the longest label.
const MAX_BYTES: usize = 1024;

/// So long the other side may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Wish {
    label: String,
    /// The process that the trace must be of, if it matters.
    pid: Option<u32>,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Marked,
    /// The process is not traced here.
    Other,
}

/// A trace's ear for marks.
pub struct Marks {
    requests: mpsc::Receiver<Request>,
    /// Kept, so that the channel does not close where nothing listens.
    _sender: mpsc::Sender<Request>,
    path: Option<PathBuf>,
}

/// Somebody asks for a mark.
pub struct Request {
    wish: Wish,
    stream: UnixStream,
}

impl Marks {
    /// Listens from now on.
    pub fn listen(notices: Notices) -> Self {
        let (sender, requests) = mpsc::channel(8);
        let path = match Self::start(sender.clone()) {
            Ok(path) => Some(path),
            Err(error) => {
                notices.detail(&format!("`leaktrace mark` cannot reach this trace: {error:#}"));
                None
            }
        };
        Self { requests, _sender: sender, path }
    }

    fn start(sender: mpsc::Sender<Request>) -> Result<PathBuf> {
        let folder = own_folder().context("there is no folder for its socket")?;
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("{}.sock", std::process::id()));
        // One of this name is left over from a process that is gone.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_allowed = stream.peer_cred().is_ok_and(|peer| [0, geteuid().as_raw()].contains(&peer.uid()));
                if is_allowed {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        if let Ok(Some(wish)) = timeout(PATIENCE, read(&stream)).await {
                            let _ = sender.send(Request { wish, stream }).await;
                        }
                    });
                }
            }
        });
        Ok(path)
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it cannot be removed, whoever finds it learns that nobody listens.
            let _ = fs::remove_file(path);
        }
    }
}

impl Request {
    /// Whether it is for a trace of these processes; else whoever asks is told so.
    pub fn is_for(&self, pids: &[u32]) -> bool {
        let is_ours = self.wish.pid.is_none_or(|pid| pids.contains(&pid));
        if !is_ours {
            self.answer(&Answer::Other);
        }
        is_ours
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.wish.label
    }

    /// Tells who asks that it was done.
    pub fn granted(&self) {
        self.answer(&Answer::Marked);
    }

    fn answer(&self, answer: &Answer) {
        let line = serde_json::to_string(answer).unwrap_or_default() + "\n";
        // It is short, so the socket has room for it; who went away needs no answer.
        let _ = self.stream.try_write(line.as_bytes());
    }
}

/// The wish in the stream's first line.
async fn read(stream: &UnixStream) -> Option<Wish> {
    let mut bytes = [0; MAX_BYTES];
    let mut length = 0;
    loop {
        stream.readable().await.ok()?;
        match stream.try_read(&mut bytes[length..]) {
            Ok(0) => return None,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        if let Some(end) = bytes[..length].iter().position(|byte| *byte == b'\n') {
            return serde_json::from_slice(&bytes[..end]).ok();
        }
    }
}

/// The folder of this user's sockets.
fn own_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(PathBuf::from("/run/leaktrace"));
    }
    Some(PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join("leaktrace"))
}

/// All folders that this user can reach others' traces in.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = own_folder().into_iter().collect();
    if geteuid().is_root() {
        let users = fs::read_dir("/run/user").into_iter().flatten().flatten();
        folders.extend(users.map(|user| user.path().join("leaktrace")));
    }
    folders
}

/// Marks the trace that is running, of this process if one is given.
pub fn mark(label: &str, pid: Option<u32>) -> Result<()> {
    let sockets: Vec<PathBuf> = folders()
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .collect();
    let traces: Vec<net::UnixStream> = sockets.iter().filter_map(|path| connect(path)).collect();
    match (traces.len(), pid) {
        (0, None) => bail!("no trace of this user is running; start one with `leaktrace -p PID`"),
        (2.., None) => bail!("{} traces are running; say which with -p PID", traces.len()),
        _ => {}
    }
    // All at once: one that is stopped keeps none of the others from answering.
    let (sender, answers) = std::sync::mpsc::channel();
    for stream in traces {
        let (sender, wish) = (sender.clone(), Wish { label: label.to_owned(), pid });
        std::thread::spawn(move || sender.send(ask(&stream, &wish)));
    }
    drop(sender);
    let mut refusal = anyhow!("the trace does not take marks");
    for answer in answers {
        match answer {
            Ok(Answer::Marked) => return Ok(()),
            Ok(Answer::Other) => {}
            Err(error) => refusal = error,
        }
    }
    let Some(pid) = pid else { return Err(refusal) };
    bail!("no trace answers for process {pid}; start one with `leaktrace -p {pid}`, or look whether it is stopped")
}

fn connect(path: &Path) -> Option<net::UnixStream> {
    let stream = net::UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(PATIENCE * 5)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

fn ask(mut stream: &net::UnixStream, wish: &Wish) -> Result<Answer> {
    let asked = stream.write_all((serde_json::to_string(wish)? + "\n").as_bytes());
    asked.context("the trace does not listen; look whether it is stopped")?;
    let mut line = String::new();
    let read = BufReader::new(stream.take(MAX_BYTES as u64)).read_line(&mut line);
    read.context("the trace does not answer; look whether it is stopped")?;
    serde_json::from_str(&line).context("the trace does not answer; look whether it has ended")
}

/// Reads a label as a person gives it.
pub fn label(text: &str) -> Result<String, String> {
    let is_good = !text.trim().is_empty() && text.len() <= MAX_LABEL && !text.chars().any(char::is_control);
    if is_good {
        return Ok(text.to_owned());
    }
    Err(format!("\"{}\" is no label; give up to {MAX_LABEL} bytes of text in one line", printable(text)))
}

/// The longest label.
const MAX_LABEL: usize = 200;
