//! A client of Redis that pushes onto a list that nobody empties.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// How fast it leaks.
pub const BYTES_PER_SECOND: u64 = 200_000;

/// Bytes of one element.
const ELEMENT_BYTES: usize = 1000;

/// How long it waits for an answer: a server under load and under trace takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A leak under way; stopped when dropped.
pub struct Leak {
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<Result<()>>>,
}

impl Leak {
    /// Starts it.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        Ok(Self { stop, client: Some(thread::spawn(move || push(stream, &asked))) })
    }

    /// Stops it; an error says that it had stopped before.
    pub fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.client.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => Err(anyhow!("the client that leaks has broken down")),
        }
    }
}

impl Drop for Leak {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn push(mut stream: TcpStream, stop: &AtomicBool) -> Result<()> {
    let element = "x".repeat(ELEMENT_BYTES);
    let request = format!("*3\r\n$5\r\nLPUSH\r\n$4\r\nleak\r\n${ELEMENT_BYTES}\r\n{element}\r\n");
    let (began, mut pushed) = (Instant::now(), 0);
    let mut answer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // What is behind is caught up with: the rate is the promise.
        while pushed * ELEMENT_BYTES as u64 <= began.elapsed().as_millis() as u64 * BYTES_PER_SECOND / 1000 {
            stream.write_all(request.as_bytes())?;
            if stream.read(&mut answer)? == 0 || answer[0] != b':' {
                return Err(anyhow!("redis-server refused an LPUSH"));
            }
            pushed += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
