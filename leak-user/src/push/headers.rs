//! Headers of a request: a tenant, a token. What is secret is read from a file, so that no list of processes shows it.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use ureq::http::{HeaderName, HeaderValue};

use crate::text::printable;

/// Most bytes of a value.
const LONGEST: usize = 8192;

/// A header.
#[derive(Clone)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value: not to be printed.
    pub value: HeaderValue,
    /// Whether it came from a file. It may then change from one day to the next, and the target stays the same.
    pub is_secret: bool,
}

/// The name only.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ...", self.name)
    }
}

impl Header {
    /// `NAME=VALUE`, or `NAME=@FILE` for a value in a file, as a person types it.
    pub fn parse(text: &str) -> Result<Self> {
        // The value is not shown, and neither is what could be one.
        let Some((name, value)) = text.split_once('=') else {
            bail!("a --header is not NAME=VALUE; give one such as X-Scope-OrgID=team, or NAME=@FILE for a secret");
        };
        let Ok(name) = name.parse::<HeaderName>() else {
            bail!("\"{}\" is no name of a header; give one such as X-Scope-OrgID", printable(name));
        };
        match value.strip_prefix('@') {
            Some(file) => Self::of_file(name, "", Path::new(file)),
            None => Self::new(name, value, false).context("give --header another value"),
        }
    }

    /// `Authorization: Bearer`, with the token that the file holds.
    pub fn bearer(file: &Path) -> Result<Self> {
        Self::of_file(ureq::http::header::AUTHORIZATION, "Bearer ", file)
    }

    fn of_file(name: HeaderName, before: &str, file: &Path) -> Result<Self> {
        let shown = printable(&file.to_string_lossy()).into_owned();
        let text = fs::read_to_string(file)
            .with_context(|| format!("the file {shown} for the header {name} cannot be read; give one that can"))?;
        ensure!(!text.trim().is_empty(), "the file {shown} for the header {name} is empty; put its value there");
        Self::new(name, &format!("{before}{}", text.trim()), true)
            .with_context(|| format!("the file {shown} holds no value of a header; give another"))
    }

    fn new(name: HeaderName, value: &str, is_secret: bool) -> Result<Self> {
        ensure!(value.len() <= LONGEST, "the value of the header {name} has more than {LONGEST} bytes");
        let Ok(mut value) = HeaderValue::from_str(value) else {
            bail!("the value of the header {name} has control letters or line ends");
        };
        value.set_sensitive(true);
        Ok(Self { name, value, is_secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_shown_and_cannot_bring_another_header() {
        let header = Header::parse("Authorization=Basic c2VjcmV0").unwrap();
        assert!(!header.is_secret && !format!("{header:?}").contains("c2VjcmV0"));
        let error = format!("{:#}", Header::parse("X-A=secret\r\nX-B: 1").unwrap_err());
        assert!(error.contains("x-a") && !error.contains("secret"), "{error}");
        assert!(!Header::parse("hunter2").unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_file_holds_a_secret_and_its_line_end_is_no_part_of_it() {
        let path = std::env::temp_dir().join(format!("leaktrace-token-{}", std::process::id()));
        fs::write(&path, "s3cret\n").unwrap();
        let bearer = Header::bearer(&path).unwrap();
        let other = Header::parse(&format!("X-Key=@{}", path.display())).unwrap();
        fs::write(&path, "\n").unwrap();
        let empty = Header::bearer(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert_eq!((bearer.value.to_str().unwrap(), bearer.is_secret), ("Bearer s3cret", true));
        assert_eq!((other.value.to_str().unwrap(), other.is_secret), ("s3cret", true));
        assert!(empty.contains("is empty"), "{empty}");
    }
}
