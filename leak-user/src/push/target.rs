//! Where profiles are sent: a URL that a person types, and which server's way of taking profiles is meant.
//!
//! A URL may hold a user and a password. These go to the server alone: what is printed or kept names the target without them.

use std::fmt;

use anyhow::{Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use ureq::http::{Uri, uri::Authority};

use crate::text::printable;

/// Whose way of taking profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Grafana Pyroscope's `/ingest`.
    Pyroscope,
    /// Parca's `/api/profiles/writeraw`.
    Parca,
}

impl Kind {
    /// The end of the path that it takes profiles at.
    const fn path(self) -> &'static str {
        match self {
            Self::Pyroscope => "/ingest",
            Self::Parca => "/profiles/writeraw",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pyroscope => "pyroscope",
            Self::Parca => "parca",
        }
    }
}

/// Where profiles are sent.
pub struct Target {
    /// Whose way.
    pub kind: Kind,
    /// Up to the path, with user and password: not to be printed.
    pub secret_url: String,
    /// The same without what is secret, fit for a terminal.
    pub name: String,
    user: Option<String>,
}

impl Target {
    /// The target that a person typed; of this kind, or of the one that the path tells, or else Pyroscope.
    pub fn parse(text: &str, kind: Option<Kind>) -> Result<Self> {
        // Not even a part of what cannot be read is shown: the password could be in it.
        let Ok(url) = text.parse::<Uri>() else {
            bail!("--to is not a URL; give one such as http://localhost:4040");
        };
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            bail!("--to is not a URL of http or https; give one such as http://localhost:4040");
        };
        ensure!(!authority.host().is_empty(), "--to names no host; give a URL such as http://localhost:4040");
        ensure!(
            url.query().is_none(),
            "--to has a query, which leaktrace makes itself; give the URL up to its path, and labels with --label"
        );
        let path = url.path().trim_end_matches('/');
        let told = [Kind::Pyroscope, Kind::Parca].into_iter().find(|kind| path.ends_with(kind.path()));
        let kind = kind.or(told).unwrap_or(Kind::Pyroscope);
        if let Some(told) = told.filter(|told| *told != kind) {
            bail!("--to ends as a URL of {} does, but --kind says {}; leave out one of both", told.name(), kind.name());
        }
        let rest = match (told, kind) {
            (Some(_), _) => "",
            (None, Kind::Parca) if !path.ends_with("/api") => "/api/profiles/writeraw",
            (None, kind) => kind.path(),
        };
        let host = without_user(authority);
        Ok(Self {
            kind,
            secret_url: format!("{scheme}://{authority}{path}{rest}"),
            name: printable(&format!("{scheme}://{host}{path}{rest}")).into_owned(),
            user: user(authority),
        })
    }

    /// Tells this target from others, also from the same server for another user or, by plain headers, another tenant.
    pub fn key<'h>(&self, headers: impl Iterator<Item = (&'h str, &'h str)>) -> String {
        let mut all: Vec<String> =
            headers.map(|(name, value)| format!("{}\0{value}", name.to_ascii_lowercase())).collect();
        all.sort();
        let text = format!("{}\0{}\0{}", self.name, self.user.as_deref().unwrap_or_default(), all.join("\0"));
        let digest = Sha256::digest(text);
        let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{number:016x}")
    }

    /// Whether what is sent can be read on the way.
    pub fn is_plain(&self) -> bool {
        self.name.starts_with("http://")
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        let host = self.secret_url.parse::<Uri>().ok().and_then(|url| url.host().map(str::to_owned));
        host.is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
    }
}

/// The name only.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

fn without_user(authority: &Authority) -> &str {
    let all = authority.as_str();
    all.rsplit_once('@').map_or(all, |(_, host)| host)
}

/// The user, who is no secret; what stands behind the colon is.
fn user(authority: &Authority) -> Option<String> {
    let (user, _) = authority.as_str().rsplit_once('@')?;
    Some(user.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str, kind: Option<Kind>) -> (Kind, String) {
        let target = Target::parse(text, kind).unwrap();
        (target.kind, target.name)
    }

    #[test]
    fn the_kind_is_told_by_the_path_and_else_pyroscope() {
        use Kind::{Parca, Pyroscope};
        let known = [
            ("http://h:4040", None, Pyroscope, "http://h:4040/ingest"),
            ("http://h/pyroscope/", None, Pyroscope, "http://h/pyroscope/ingest"),
            ("https://h/x/ingest", None, Pyroscope, "https://h/x/ingest"),
            ("http://h:7070", Some(Parca), Parca, "http://h:7070/api/profiles/writeraw"),
            ("http://h:7070/api", Some(Parca), Parca, "http://h:7070/api/profiles/writeraw"),
            ("http://h/profiles/writeraw", None, Parca, "http://h/profiles/writeraw"),
            ("http://[::1]:9", None, Pyroscope, "http://[::1]:9/ingest"),
        ];
        for (text, asked, kind, shown) in known {
            assert_eq!(name(text, asked), (kind, shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_in_what_is_shown() {
        let target = Target::parse("http://me:hunter2@h:1/p", None).unwrap();
        assert_eq!(target.name, "http://h:1/p/ingest");
        assert!(target.secret_url.contains("hunter2"));
        assert!(!format!("{target:?}").contains("hunter2"));
        for wrong in ["ftp://me:hunter2@h", "http://me:hunter2@h /", "http://me:hunter2@h/?x=1"] {
            let error = Target::parse(wrong, None).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn another_user_or_tenant_is_another_target_and_another_password_is_not() {
        let key =
            |url: &str, tenant: &str| Target::parse(url, None).unwrap().key([("X-Scope-OrgID", tenant)].into_iter());
        let one = key("http://me:old@h", "a");
        assert_eq!(one, key("http://me:new@h", "a"));
        assert_ne!(one, key("http://you:old@h", "a"));
        assert_ne!(one, key("http://me:old@h", "b"));
    }

    #[test]
    fn a_kind_that_the_path_denies_is_said() {
        let error = Target::parse("http://h/ingest", Some(Kind::Parca)).unwrap_err().to_string();
        assert!(error.contains("--kind says parca"), "{error}");
    }
}
