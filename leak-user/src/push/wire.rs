//! A profile as each kind of server takes it: the query behind the URL, and what is sent.
//!
//! Pyroscope: `name`, `from`, `until` and `format=pprof` in the query and the gzipped pprof as it is. It tells by the sample
//! types that this is memory. Parca: JSON, the profile in base64, and no query. Both
//! unzip the profile themselves.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{labels::Labels, profile::Profile, target::Kind};

/// What Pyroscope calls the application; a label `service_name` goes before it.
const APPLICATION: &str = "leaktrace.memory";

/// What Parca calls the profiles, as it does Go's.
const NAME: &str = "memory";

/// What is sent.
pub struct Request {
    /// The query, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// This profile for this kind of server.
    pub fn of(profile: &Profile, kind: Kind) -> Self {
        match kind {
            Kind::Pyroscope => pyroscope(profile),
            Kind::Parca => parca(profile),
        }
    }
}

fn pyroscope(profile: &Profile) -> Request {
    Request {
        query: vec![
            ("name", application(&profile.head.labels)),
            ("from", profile.head.from.to_string()),
            ("until", profile.head.until.to_string()),
            ("format", "pprof".to_owned()),
            ("spyName", "leaktrace".to_owned()),
        ],
        content_type: "application/octet-stream",
        body: profile.pprof.clone(),
    }
}

/// `leaktrace.memory{comm=redis-server,host=web-3}`.
fn application(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{APPLICATION}{{{}}}", labels.join(","))
}

/// Parca's `WriteRawRequest`, as its gateway takes it.
#[derive(Serialize)]
struct WriteRaw<'p> {
    normalized: bool,
    series: [Series<'p>; 1],
}

#[derive(Serialize)]
struct Series<'p> {
    labels: LabelSet<'p>,
    samples: [RawSample; 1],
}

#[derive(Serialize)]
struct LabelSet<'p> {
    labels: Vec<Label<'p>>,
}

#[derive(Serialize)]
struct Label<'p> {
    name: &'p str,
    value: &'p str,
}

#[derive(Serialize)]
struct RawSample {
    #[serde(rename = "rawProfile")]
    raw_profile: String,
}

fn parca(profile: &Profile) -> Request {
    let name = Label { name: "__name__", value: NAME };
    let others = profile.head.labels.iter().map(|(name, value)| Label { name, value });
    let document = WriteRaw {
        normalized: false,
        series: [Series {
            labels: LabelSet { labels: [name].into_iter().chain(others).collect() },
            samples: [RawSample { raw_profile: STANDARD.encode(&profile.pprof) }],
        }],
    };
    Request {
        query: Vec::new(),
        content_type: "application/json",
        // Of texts and lists alone there always is JSON.
        body: serde_json::to_vec(&document).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{labels, profile::Head};

    fn profile() -> Profile {
        let labels = [("comm", "redis"), ("host", "web")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Profile { head: Head { from: 10, until: 20, labels: labels.into() }, pprof: vec![0x1f, 0x8b, 1, 2] }
    }

    #[test]
    fn pyroscope_gets_the_labels_in_the_name_and_the_profile_as_it_is() {
        let request = Request::of(&profile(), Kind::Pyroscope);
        let query: Vec<(&str, &str)> = request.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let known =
            [("name", "leaktrace.memory{comm=redis,host=web}"), ("from", "10"), ("until", "20"), ("format", "pprof")];
        assert_eq!(query[..4], known);
        assert_eq!(request.body, profile().pprof);
    }

    #[test]
    fn parca_gets_a_series_with_the_profile_in_base64() {
        let request = Request::of(&profile(), Kind::Parca);
        let document: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let series = &document["series"][0];
        assert_eq!(series["labels"]["labels"][0], serde_json::json!({ "name": "__name__", "value": "memory" }));
        assert_eq!(series["labels"]["labels"][1]["value"], "redis");
        assert_eq!(series["samples"][0]["rawProfile"], "H4sBAg==");
        assert_eq!(document["normalized"], false);
    }

    #[test]
    fn a_hostile_name_stays_within_its_label() {
        let mut hostile = profile();
        hostile.head.labels = labels::of_program("a,env=prod}{\"]", &[labels::parse("host=h").unwrap()]);
        let request = Request::of(&hostile, Kind::Pyroscope);
        assert_eq!(request.query[0].1, "leaktrace.memory{comm=a_env=prod__\"],host=h}");
        let request = Request::of(&hostile, Kind::Parca);
        let document: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(document["series"][0]["labels"]["labels"].as_array().unwrap().len(), 3);
    }
}
