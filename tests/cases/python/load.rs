//! Load on a web service of this machine: clients that ask again and again, and look at every answer.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{scope, sleep},
    time::Duration,
};

use crate::harness::PATIENCE;

/// Clients at a time.
const CLIENTS: u64 = 4;

/// How long a client waits between an answer and its next request.
const PAUSE: Duration = Duration::from_millis(10);

/// What clients ask for: a method, a path and a JSON document.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path.
    pub path: &'static str,
    /// The document; empty for none.
    pub body: &'static str,
}

impl Request {
    /// Asks once; gives the status of the answer.
    pub fn once(&self, port: u16) -> io::Result<u32> {
        Client::connect(port)?.ask(self, "once")
    }

    /// Asks over and over while something else happens, each time with an id that is new. Gives what that gives and how many
    /// requests were answered, or the first that was not answered well.
    pub fn while_happens<T>(&self, port: u16, meanwhile: impl FnOnce() -> T) -> Result<(T, u64), String> {
        let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
        let ask_until_over = |client: u64| -> io::Result<()> {
            let mut connection = Client::connect(port)?;
            for number in 0_u64.. {
                if is_over.load(Relaxed) {
                    break;
                }
                let id = format!("{client}-{number:08}");
                match connection.ask(self, &id)? {
                    200 => answered.fetch_add(1, Relaxed),
                    other => return Err(io::Error::other(format!("request {id} was answered with {other}"))),
                };
                sleep(PAUSE);
            }
            Ok(())
        };
        scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask_until_over(client))).collect();
            // Clients must be told also when this fails, or nobody ever leaves the scope.
            let over = Over(&is_over);
            let result = meanwhile();
            drop(over);
            for client in clients {
                let asked = client.join().map_err(|_| "a client gave up, see above".to_owned())?;
                asked.map_err(|error| format!("a request failed after {answered:?} good ones: {error}"))?;
            }
            Ok((result, answered.load(Relaxed)))
        })
    }
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A connection that is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(connection)))
    }

    fn ask(&mut self, request: &Request, id: &str) -> io::Result<u32> {
        let Request { method, path, body } = request;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\nX-Request-Id: {id}\r\n");
        let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all([&head, &kind, *body].concat().as_bytes())?;
        self.answer()
    }

    /// Reads an answer to its end; gives its status.
    fn answer(&mut self) -> io::Result<u32> {
        let broken = |what: &str| io::Error::other(format!("an answer without {what}"));
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| broken("a status"))?;
        let mut length = None;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length:").map_or(length, |length| length.trim().parse().ok());
        }
        let length: u64 = length.ok_or_else(|| broken("a length"))?;
        let read = io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        if read == length { Ok(status) } else { Err(broken("its end")) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        line.ends_with("\r\n").then(|| line.trim_end().to_owned()).ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}
