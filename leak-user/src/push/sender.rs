//! Sends a request over HTTP, once.
//!
//! Promises an end within the timeout, that nothing of the reply but its beginning is read, that no proxy is used unless
//! a person said so, that no redirect is followed (who is asked for a password is the person's choice), and that whose
//! certificate the system does not trust gets nothing.

use std::{
    io::{self, Read as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use ureq::{
    Agent, Proxy,
    http::{HeaderMap, header::RETRY_AFTER},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::{answer::Answer, headers::Header, target::Target, wire::Request};
use crate::text::printable;

/// Bytes of a reply that are read.
const MOST_REPLY: u64 = 4096;

/// Letters of a reply that are shown.
const SHOWN_REPLY: usize = 200;

/// What is sent with, to one target.
pub struct Sender {
    agent: Agent,
    headers: HeaderMap,
}

impl Sender {
    /// For this target; through the proxy that the environment names if `by_proxy`.
    pub fn new(target: &Target, headers: &[Header], timeout: Duration, by_proxy: bool) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(if by_proxy { Proxy::try_from_env() } else { None })
            .timeout_global(Some(timeout))
            .user_agent(concat!("leaktrace/", env!("CARGO_PKG_VERSION")));
        if !target.is_plain() {
            config = config.tls_config(trusted()?);
        }
        let headers = headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
        Ok(Self { agent: config.build().new_agent(), headers })
    }

    /// Sends it.
    pub fn send(&self, target: &Target, request: &Request) -> Answer {
        let mut call = self.agent.post(&target.secret_url).content_type(request.content_type);
        for (name, value) in &request.query {
            call = call.query(name, value);
        }
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        let mut response = match call.send(&request.body[..]) {
            Ok(response) => response,
            Err(error) => return unsent(&error),
        };
        let mut reply = Vec::new();
        // A reply that breaks off says as much as it says.
        let _ = response.body_mut().as_reader().take(MOST_REPLY).read_to_end(&mut reply);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Answer::of(response.status().as_u16(), retry_after, &said(&reply), SystemTime::now())
    }
}

/// The beginning of a reply, on one line.
fn said(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    // Both kinds of servers say it in JSON, as `message`.
    let message = serde_json::from_str::<serde_json::Value>(&text).ok();
    let message = message.as_ref().and_then(|document| document["message"].as_str()).unwrap_or(&text);
    let words: Vec<&str> = message.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(SHOWN_REPLY).collect();
    printable(&short).into_owned()
}

/// What an error means for the profile. It is not printed as it is: it could have the URL in it.
fn unsent(error: &ureq::Error) -> Answer {
    match error {
        ureq::Error::HostNotFound => Answer::Later("cannot be reached: its host has no address".to_owned(), None),
        ureq::Error::Timeout(_) => Answer::Later("does not answer in time".to_owned(), None),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => distrusted(&error.to_string()),
        ureq::Error::Io(error) => {
            let why = error.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            Answer::Later(format!("cannot be reached: {}", printable(why)), None)
        }
        ureq::Error::Rustls(error) => distrusted(&error.to_string()),
        ureq::Error::Tls(_) | ureq::Error::TlsRequired => distrusted("it speaks no TLS"),
        ureq::Error::ConnectionFailed => Answer::Later("cannot be reached".to_owned(), None),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            Answer::Denied("cannot be reached through the proxy of the environment; look at HTTPS_PROXY".to_owned())
        }
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
            Answer::Denied("does not speak HTTP there; look at the URL".to_owned())
        }
        _ => Answer::Denied("cannot be asked; look at the URL".to_owned()),
    }
}

fn distrusted(why: &str) -> Answer {
    let why = printable(why);
    Answer::Denied(format!("is not trusted: {why}; SSL_CERT_FILE can name other certificates than the system's"))
}

/// TLS, with the certificates that the system trusts.
fn trusted() -> Result<TlsConfig> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        bail!("this system has no certificates to tell a server of https by; install ca-certificates");
    }
    let certificates: Vec<Certificate<'static>> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_short_inert_and_its_message() {
        assert_eq!(said(br#"{"code":"invalid_argument","message":"too  old\n\u001b[2J"}"#), "too old \\x1b[2J");
        assert_eq!(said(b"plain\r\ntext \xff"), "plain text \u{fffd}");
        assert_eq!(said(&[b'x'; 4096]).len(), SHOWN_REPLY);
        assert_eq!(said(b""), "");
    }
}
