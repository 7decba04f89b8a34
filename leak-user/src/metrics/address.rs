//! Where the page is, as a person types it: `9911`, `:9911`, `127.0.0.1:9911`, `[::1]:9911`, `localhost:9911`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use crate::text::printable;

/// Where the page is. Without a host it is on the loopback address, which no other machine reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Whether other machines may reach it.
    pub fn is_open(self) -> bool {
        !self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for Address {
    type Err = String;

    /// Names but `localhost` are not looked up: what they stand for changes.
    fn from_str(text: &str) -> Result<Self, String> {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let port = text.strip_prefix(':').or_else(|| text.strip_prefix("localhost:")).unwrap_or(text);
        let address = port.parse().map(|port| SocketAddr::new(here, port)).or_else(|_| text.parse());
        address.map(Self).map_err(|_| {
            format!(
                "\"{}\" is not a port, or an address with one; give such as 9911, 127.0.0.1:9911 or [::1]:9911",
                printable(text)
            )
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_it_is_the_loopback_address() {
        for text in ["9911", ":9911", "localhost:9911", "127.0.0.1:9911"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), "127.0.0.1:9911", "{text}");
        }
    }

    #[test]
    fn only_what_other_machines_reach_is_open() {
        let is_open = |text: &str| text.parse::<Address>().unwrap().is_open();
        assert!(["0.0.0.0:1", "[::]:1", "10.0.0.7:1", "[::ffff:10.0.0.7]:1"].into_iter().all(is_open));
        assert!(!["1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].into_iter().any(is_open));
    }

    #[test]
    fn what_is_no_address_is_refused_in_a_sentence() {
        for text in
            ["", ":", "65536", "-1", "example.org:80", "127.0.0.1", "[::1]", "::1:80", "a\u{1b}[2J", ":localhost:1"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("give such as 9911") && !error.contains('\u{1b}'), "{text}: {error}");
        }
    }
}
