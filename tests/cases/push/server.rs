//! A server on this machine that takes what is pushed, and answers as it is told.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::harness::PATIENCE;

/// A server. Once its answers are used up everything is well with it.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    requests: Receiver<Request>,
}

/// What came.
pub struct Request {
    /// Path and query, as they came.
    pub path: String,
    /// Each header, a line.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Server {
    /// Answers with these statuses and more headers, one after the other: `503 Busy\r\nRetry-After: 1`.
    pub fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self::on(listener, url, answers)
    }

    /// The same at the port of a URL where nobody is yet.
    pub fn at(url: &str, answers: &[&str]) -> Self {
        let listener = TcpListener::bind(url.trim_start_matches("http://")).expect("the same port");
        Self::on(listener, url.to_owned(), answers)
    }

    fn on(listener: TcpListener, url: String, answers: &[&str]) -> Self {
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let (sender, requests) = channel();
        // It ends with the process: nobody waits for it.
        thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming().flatten() {
                let answer = answers.next().unwrap_or_else(|| "200 OK".to_owned());
                if serve(stream, &answer, &sender).is_none() {
                    return;
                }
            }
        });
        Self { url, requests }
    }

    /// The next request.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    /// Fails if there is another request.
    pub fn has_no_more(&self) {
        assert!(self.requests.try_recv().is_err(), "there is one more request");
    }
}

/// A URL where nobody listens, on a port that was free a moment ago.
pub fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

fn serve(mut stream: TcpStream, answer: &str, sender: &Sender<Request>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end() {
            "" => break,
            header => headers.push(header.to_owned()),
        }
    }
    let length = headers.iter().find_map(|header| header.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let reply = r#"{"message":"as\u001b[2J told"}"#;
    let length = reply.len();
    let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reply}");
    sender.send(Request { path, headers, body }).ok()
}

impl Request {
    /// The profile as Pyroscope unpacks it.
    pub fn pyroscope(&self) -> Vec<u8> {
        assert!(self.path.starts_with("/ingest?"), "{}", self.path);
        unzipped(&self.body)
    }

    /// The profile as Parca unpacks it, and its labels.
    pub fn parca(&self) -> (Vec<u8>, Vec<(String, String)>) {
        assert_eq!(self.path, "/api/profiles/writeraw");
        let document: Value = serde_json::from_slice(&self.body).expect("JSON");
        let series = document["series"].as_array().expect("series");
        let [series] = series.as_slice() else { panic!("{document}") };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let labels = series["labels"]["labels"].as_array().expect("labels");
        let labels = labels.iter().map(|label| (text(&label["name"]), text(&label["value"]))).collect();
        let profile = STANDARD.decode(text(&series["samples"][0]["rawProfile"])).expect("base64");
        (unzipped(&profile), labels)
    }

    /// A part of the query, decoded.
    pub fn query(&self, name: &str) -> String {
        let (_, query) = self.path.split_once('?').expect("a query");
        let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).expect("that part");
        decoded(value)
    }
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut profile = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut profile).expect("gzip");
    profile
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let digits = str::from_utf8(&digits).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
