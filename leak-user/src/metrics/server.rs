//! The page over HTTP.
//!
//! A thread of its own, so that whoever asks never keeps the trace from its ring. It promises little to anybody: a few
//! connections at a time, of which the oldest makes room for a new one; so many a second; a bounded head, no body, one answer,
//! and not much time for either. So one who sends nothing, or without end, keeps no other from the page.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, ErrorKind},
    net,
    sync::Arc,
    thread,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    task::AbortHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Address, Family, exposition::Exposition};
use crate::notice::Notices;

/// Connections at a time.
const MOST_CONNECTIONS: usize = 8;

/// Time between two connections, at least.
const PAUSE: Duration = Duration::from_millis(10);

/// Time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time for a connection as a whole.
const WHOLE_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const LONGEST_HEAD: usize = 8 << 10;

/// What the page says, asked whenever somebody wants it.
pub type Families = Arc<dyn Fn() -> Vec<Family> + Send + Sync>;

/// Serves the page until it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what `board` says. Says where, and who can read it if that is anybody.
    ///
    /// An error is that nothing can be served at this address, and why.
    pub fn start(address: Address, families: Families, notices: Notices) -> Result<Self> {
        let listener = listen(address).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow!("the port of {address} is in use; give --metrics another"),
            _ => anyhow!("no page can be served at {address}: {error}; give --metrics another address"),
        })?;
        let bound = Address(listener.local_addr()?);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        // It cannot fail: the socket is there and does not block.
                        _ = serve(listener, families) => {}
                    }
                });
            })
            .context("no thread could be started for the metrics")?;
        let warning = if bound.is_open() { ", and whoever reaches that address can read them" } else { "" };
        notices.say(&format!("metrics are at http://{bound}/metrics{warning}"));
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Why it ended is of no interest any more.
            let _ = thread.join();
        }
    }
}

fn listen(address: Address) -> io::Result<net::TcpListener> {
    let listener = net::TcpListener::bind(address.0)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: net::TcpListener, families: Families) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let mut turns = interval(PAUSE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        turns.tick().await;
        // An error is of one connection, or there are too many open files: the next may do better.
        let Ok((stream, _)) = listener.accept().await else { continue };
        open.retain(|connection| !connection.is_finished());
        if open.len() == MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let families = Arc::clone(&families);
        let connection = tokio::spawn(async {
            // How it ended is the client's business.
            let _ = timeout(WHOLE_TIME, attend(stream, families)).await;
        });
        open.push_back(connection.abort_handle());
    }
}

async fn attend(stream: TcpStream, families: Families) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &families);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(2 * LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer<B>(request: &Request<B>, families: &Families) -> Response<String> {
    let plain = "text/plain; charset=utf-8";
    let said = |status, what: &str| respond(status, plain, format!("{what}\n"));
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "this is only to be read");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let form = Exposition::of(&accepted.collect::<Vec<_>>().join(","));
            respond(StatusCode::OK, form.content_type(), form.page(&families()))
        }
        "/" => said(StatusCode::OK, "leaktrace: the metrics are at /metrics"),
        _ => said(StatusCode::NOT_FOUND, "not here; the metrics are at /metrics"),
    }
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Unit;

    fn ask(method: Method, path: &str, accept: &str) -> Response<String> {
        let families: Families = Arc::new(|| vec![Family::gauge("x", Unit::None, "X").of(7)]);
        let request = Request::builder().method(method).uri(path).header(ACCEPT, accept).body(()).unwrap();
        answer(&request, &families)
    }

    #[test]
    fn the_page_comes_in_the_form_that_was_asked_for() {
        let open = ask(Method::GET, "/metrics", "application/openmetrics-text; version=1.0.0");
        assert_eq!(open.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert!(open.body().ends_with("x 7\n# EOF\n"));
        let classic = ask(Method::GET, "/metrics?debug=1", "*/*");
        assert_eq!(classic.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
        assert!(classic.body().ends_with("x 7\n"));
    }

    #[test]
    fn whoever_is_lost_is_told_the_way() {
        let at_root = ask(Method::GET, "/", "*/*");
        assert!(at_root.status() == StatusCode::OK && at_root.body().contains("/metrics"));
        assert_eq!(ask(Method::GET, "/metrics/", "*/*").status(), StatusCode::NOT_FOUND);
        let written = ask(Method::POST, "/metrics", "*/*");
        assert_eq!(
            (written.status(), &written.headers()[ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
        );
    }

    #[test]
    fn a_port_in_use_is_said_in_a_sentence() {
        let first = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address(first.local_addr().unwrap());
        let error = Server::start(address, Arc::new(Vec::new), Notices::Quiet).unwrap_err().to_string();
        assert_eq!(error, format!("the port of {address} is in use; give --metrics another"));
    }
}
