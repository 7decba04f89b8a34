//! What came of sending a profile once, and whether to try again.

use std::time::{Duration, SystemTime};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The target has it.
    Sent,
    /// It may go well later; after so long, if the target has said.
    Later(String, Option<Duration>),
    /// The target takes none as they are sent now: its address or the rights are wrong.
    Denied(String),
    /// The target does not take this profile, and never will.
    Refused(String),
}

impl Answer {
    /// What a target says by a status, in `reply` more closely, and by `Retry-After`.
    pub fn of(status: u16, retry_after: Option<&str>, reply: &str, now: SystemTime) -> Self {
        let reply = if reply.is_empty() { String::new() } else { format!(": {reply}") };
        let why = |what: &str| format!("{what} (status {status}){reply}");
        match status {
            200..=299 => Self::Sent,
            408 | 429 | 500..=599 => {
                let wait = retry_after.and_then(|text| pause(text, now));
                Self::Later(why("cannot take a profile at the moment"), wait)
            }
            300..=399 => Self::Denied(why("sends profiles on to another URL; give that one")),
            401 | 403 | 407 => Self::Denied(why(
                "lets nobody in like this; give --token-file, --header or a user with the right to write",
            )),
            400 | 413 | 415 | 422 => Self::Refused(why("refuses the profile")),
            _ => Self::Denied(why("takes no profiles there; look at the URL and --kind")),
        }
    }
}

/// `Retry-After`: seconds, or a date.
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

/// Tries until it goes well or there is no use in it, at most `tries` times, with pauses that double.
pub fn patiently(
    tries: u32,
    mut send: impl FnMut() -> Answer,
    mut rest: impl FnMut(Duration, &str),
    mut chance: impl FnMut() -> f64,
) -> Answer {
    let mut done = 0;
    loop {
        done += 1;
        let (why, asked) = match send() {
            Answer::Later(why, asked) => (why, asked),
            answer => return answer,
        };
        match asked {
            Some(asked) if asked > LONGEST_PAUSE => {
                let asked = crate::units::seconds(asked.as_secs_f64());
                return Answer::Later(format!("{why}, and asks for {asked} of peace"), None);
            }
            _ if done >= tries => {
                let often = if done == 1 { String::new() } else { format!(", {done} times in a row") };
                return Answer::Later(format!("{why}{often}"), None);
            }
            // Not all that wait for a target come back at once.
            _ => rest(asked.unwrap_or_default().max(step(done).mul_f64(0.5 + chance().clamp(0.0, 1.0) / 2.0)), &why),
        }
    }
}

/// The longest that a target is waited for within a run.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pause after so many tries.
fn step(done: u32) -> Duration {
    Duration::from_secs(1 << (done - 1).min(5)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tries: u32, answers: &[Answer]) -> (Answer, Vec<f64>) {
        let mut answers = answers.iter().cloned().cycle();
        let mut pauses = Vec::new();
        let answer = patiently(tries, || answers.next().unwrap(), |pause, _| pauses.push(pause.as_secs_f64()), || 1.0);
        (answer, pauses)
    }

    fn status(status: u16, retry_after: Option<&str>) -> Answer {
        Answer::of(status, retry_after, "", SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn pauses_double_and_the_tries_have_an_end() {
        let (answer, pauses) = run(5, &[status(503, None)]);
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0]);
        assert!(matches!(answer, Answer::Later(why, None) if why.contains("5 times in a row")));
        let (_, pauses) = run(40, &[status(503, None)]);
        assert!(pauses.iter().all(|pause| *pause <= 60.0));
    }

    #[test]
    fn chance_takes_at_most_half_of_a_pause() {
        let mut pauses = Vec::new();
        let mut chances = [0.0, 0.5, f64::NAN].into_iter();
        let _ =
            patiently(3, || status(503, None), |pause, _| pauses.push(pause.as_secs_f64()), || chances.next().unwrap());
        assert_eq!(pauses, [0.5, 1.5]);
    }

    #[test]
    fn a_target_that_asks_for_time_is_given_it_within_bounds() {
        let (answer, pauses) = run(3, &[status(503, Some("7")), status(200, None)]);
        assert_eq!((answer, pauses), (Answer::Sent, vec![7.0]));
        let (answer, pauses) = run(3, &[status(429, Some("3600"))]);
        assert!(pauses.is_empty() && matches!(answer, Answer::Later(why, None) if why.contains("1 h 00 m of peace")));
        let (_, pauses) = run(2, &[status(503, Some("Thu, 01 Jan 1970 00:00:30 GMT"))]);
        assert_eq!(pauses, [30.0]);
        let (_, pauses) = run(2, &[status(503, Some("soon"))]);
        assert_eq!(pauses, [1.0]);
    }

    #[test]
    fn what_is_no_use_is_not_tried_again() {
        for (code, refused) in [(400, true), (422, true), (401, false), (404, false), (301, false), (418, false)] {
            let (answer, pauses) = run(5, &[status(code, None)]);
            assert!(pauses.is_empty(), "{code}");
            assert_eq!(matches!(answer, Answer::Refused(_)), refused, "{code}");
            assert_eq!(matches!(answer, Answer::Denied(_)), !refused, "{code}");
        }
        for code in [408, 429, 500, 502, 503, 504] {
            assert_eq!(run(2, &[status(code, None)]).1.len(), 1, "{code}");
        }
    }
}
