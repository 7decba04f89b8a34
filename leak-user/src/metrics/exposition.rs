//! The page as text: `OpenMetrics` 1.0, or the text format 0.0.4 that came before it, for whoever does not ask for the other.
//!
//! Written here, for the libraries that there are write one of the two, and what they differ in are some words. Promises that
//! no label can end its line or its quotes. A family of which nothing is known is left out.

use std::fmt::Write as _;

use super::family::{Family, Kind, Value};

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// `OpenMetrics` 1.0.
    Open,
    /// Prometheus's text format 0.0.4.
    Classic,
}

impl Exposition {
    /// The better of the two that an `Accept` header allows.
    pub fn of(accept: &str) -> Self {
        let asked = |form: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                (parts.next() == Some(form)).then_some(parts)
            });
            let weights = ranges.map(|mut parameters| {
                let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok());
                weight.unwrap_or(1.0_f64)
            });
            weights.fold(0.0, f64::max)
        };
        let open = asked("application/openmetrics-text");
        if open > 0.0 && open >= asked("text/plain") { Self::Open } else { Self::Classic }
    }

    /// How it is announced.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The whole page.
    pub fn page(self, families: &[Family]) -> String {
        let mut page = String::new();
        for family in families.iter().filter(|family| !family.samples().is_empty()) {
            self.write(family, &mut page);
        }
        if self == Self::Open {
            page.push_str("# EOF\n");
        }
        page
    }

    fn write(self, family: &Family, page: &mut String) {
        let suffix = match family.kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        let kind = match (family.kind, self) {
            (Kind::Counter, _) => "counter",
            (Kind::Info, Self::Open) => "info",
            (Kind::Gauge, _) | (Kind::Info, Self::Classic) => "gauge",
        };
        // The older form has one name for a family and its figures.
        let (name, of_family) = (family.name, if self == Self::Open { "" } else { suffix });
        // Writing to a String cannot fail.
        let _ = writeln!(page, "# HELP {name}{of_family} {}.", family.help);
        let _ = writeln!(page, "# TYPE {name}{of_family} {kind}");
        if let (Self::Open, Some(unit)) = (self, family.unit.name()) {
            let _ = writeln!(page, "# UNIT {name} {unit}");
        }
        for (labels, value) in family.samples() {
            let _ = write!(page, "{name}{suffix}");
            for (place, (label, text)) in labels.iter().enumerate() {
                let before = if place == 0 { '{' } else { ',' };
                let _ = write!(page, "{before}{label}=\"{}\"", escaped(text));
            }
            page.push_str(if labels.is_empty() { " " } else { "} " });
            write_value(*value, page);
            page.push('\n');
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn write_value(value: Value, page: &mut String) {
    let _ = match value {
        Value::Whole(value) => write!(page, "{value}"),
        Value::Real(value) if value.is_nan() => write!(page, "NaN"),
        Value::Real(value) if value.is_infinite() => write!(page, "{}Inf", if value > 0.0 { '+' } else { '-' }),
        Value::Real(value) => write!(page, "{value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::{super::family::Unit, *};

    fn families() -> Vec<Family> {
        let labels = vec![("pid", "7".to_owned()), ("comm", "a\\\"b\nc} 1".to_owned())];
        vec![
            Family::info("leaktrace_build", "The version").with(&vec![("version", "0.1.0".to_owned())], 1),
            Family::counter("leaktrace_lost_bytes", Unit::Bytes, "Lost").of(u64::MAX),
            Family::gauge("leaktrace_nothing", Unit::None, "Not known"),
            Family::gauge("leaktrace_rate", Unit::None, "A rate").with(&labels, -0.5).with(&labels, 7),
        ]
    }

    #[test]
    fn both_forms_say_the_same_in_their_own_words() {
        let open = Exposition::Open.page(&families());
        let rate = "leaktrace_rate{pid=\"7\",comm=\"a\\\\\\\"b\\nc} 1\"} -0.5\n";
        assert_eq!(
            open,
            format!(
                "# HELP leaktrace_build The version.\n# TYPE leaktrace_build info\n\
                 leaktrace_build_info{{version=\"0.1.0\"}} 1\n\
                 # HELP leaktrace_lost_bytes Lost.\n# TYPE leaktrace_lost_bytes counter\n# UNIT leaktrace_lost_bytes bytes\n\
                 leaktrace_lost_bytes_total 18446744073709551615\n\
                 # HELP leaktrace_rate A rate.\n# TYPE leaktrace_rate gauge\n{rate}# EOF\n"
            )
        );
        let classic = Exposition::Classic.page(&families());
        assert!(classic.starts_with("# HELP leaktrace_build_info The version.\n# TYPE leaktrace_build_info gauge\n"));
        assert!(classic.contains("# TYPE leaktrace_lost_bytes_total counter\nleaktrace_lost_bytes_total 1844"));
        assert!(!classic.contains("UNIT") && classic.ends_with(rate));
    }

    #[test]
    fn figures_that_are_no_numbers_are_spelled_as_the_forms_demand() {
        let family = Family::gauge("x", Unit::None, "X").of(f64::NEG_INFINITY);
        assert!(Exposition::Classic.page(&[family]).ends_with("x -Inf\n"));
        let family = Family::gauge("x", Unit::None, "X").of(f64::NAN);
        assert!(Exposition::Open.page(&[family]).contains("x NaN\n"));
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Exposition::of(prometheus), Exposition::Open);
        assert_eq!(Exposition::of("application/openmetrics-text"), Exposition::Open);
        for other in [
            "",
            "*/*",
            "text/html",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; q=0.2, text/plain",
        ] {
            assert_eq!(Exposition::of(other), Exposition::Classic, "{other}");
        }
    }
}
