//! Services and their stories for people: lines of figures, the latest and the worst where the eye is.

use std::io::{self, Write};

use super::{Leak, Service, Services, State, Story, Told};
use crate::{
    growth::Verdict,
    offline::{Direction, Rows, chain, names},
    report::{
        Outlook, Style,
        page::{Ink, Page},
    },
    symbolize::Frame,
    text::{columns, fold, printable, shorten_middle},
    units::{bytes, plural, rate, seconds},
};

const MARGIN: &str = "    ";

/// Letters of a build ID that are shown.
const SHORT_ID: usize = 8;

/// Columns that a narrow page has no room for: of services the bytes and the first day, of sessions the resident bytes, the
/// pid, the length and the build, of leaks the worst verdict, the build and the number of sessions.
const SPARE_OF_SERVICES: [usize; 2] = [3, 1];
const SPARE_OF_SESSIONS: [usize; 4] = [4, 2, 1, 3];
const SPARE_OF_LEAKS: [usize; 3] = [7, 2, 4];

impl Services {
    /// Writes a line for each of at most `top` services.
    pub fn write(&self, style: Style, top: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(style);
        let sum = |of: &dyn Fn(&Service) -> u64| self.services.iter().map(of).fold(0, u64::saturating_add);
        let sessions = plural(sum(&|service| service.sessions as u64), "session");
        let size = bytes(sum(&|service| service.bytes));
        let title =
            format!("leaktrace history of {}, {sessions}, {size}", plural(self.services.len() as u64, "service"));
        page.paragraph("", &title, Ink::Bold);
        page.line("");
        let shown = &self.services[..self.services.len().min(top)];
        let mut rows =
            Rows::open(&["SESSIONS", "FIRST", "LAST", "ON DISK", "LAST VERDICT", "SERVICE"], &SPARE_OF_SERVICES);
        for service in shown {
            rows.add([
                service.sessions.to_string(),
                day(&service.first_time),
                day(&service.last_time),
                bytes(service.bytes),
                verdict_of(&service.outlook),
            ]);
        }
        for (row, service) in rows.begin(&mut page).into_iter().zip(shown) {
            let name = printable(&service.name).into_owned();
            let room = page.width.saturating_sub(columns(&row));
            let ink = match (service.outlook.leaking, service.outlook.growing) {
                (0, 0) => Ink::Plain,
                (0, _) => Ink::of(Verdict::Growing),
                _ => Ink::of(Verdict::Leak),
            };
            let name = page.painted(ink, &shorten_middle(&name, room));
            page.line(&format!("{row}{name}"));
        }
        if let Some(more) = self.services.len().checked_sub(top).filter(|more| *more > 0) {
            page.line("");
            page.paragraph("", &format!("and {}", plural(more as u64, "more service")), Ink::Dim);
        }
        out.write_all(page.text.as_bytes())
    }
}

impl Story {
    /// Writes the latest `top` sessions and as many leaks.
    pub fn write(&self, style: Style, top: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(style);
        let span = match (self.sessions.first(), self.sessions.last()) {
            (Some(first), Some(last)) => format!(" from {} to {}", day(&first.time), day(&last.time)),
            _ => String::new(),
        };
        let sessions = plural(self.sessions.len() as u64, "session");
        let title = format!("leaktrace history of {}, {sessions}{span}", printable(&self.name));
        page.paragraph("", &title, Ink::Bold);
        page.line("");
        let earlier = self.sessions.len().saturating_sub(top);
        if earlier > 0 {
            page.paragraph("", &format!("{} before these", plural(earlier as u64, "session")), Ink::Dim);
        }
        sessions_of(&mut page, &self.sessions[earlier..]);
        for overall in self.overall.iter().filter(|overall| overall.sessions > 2) {
            page.line("");
            let program =
                if self.overall.len() > 1 { format!("{}, ", printable(&overall.program)) } else { String::new() };
            let text = format!("{program}{} to {}: {}", day(&overall.from), day(&overall.to), overall.summary);
            page.paragraph("", &text, Ink::Bold);
        }
        page.line("");
        if self.leaks.is_empty() {
            page.paragraph("", "Nothing leaked or grew in any of them.", Ink::Plain);
        } else {
            leaks(&mut page, &self.leaks, top);
        }
        out.write_all(page.text.as_bytes())
    }
}

fn sessions_of(page: &mut Page, sessions: &[Told]) {
    let mut rows =
        Rows::new(&["WHEN (UTC)", "FOR", "PID", "BUILD", "RSS", "HELD", "GROWTH", "VERDICT"], &SPARE_OF_SESSIONS);
    let verdict = |session: &Told| session.verdict.map_or("-", Verdict::name);
    for session in sessions {
        rows.add([
            minute(&session.time),
            seconds(session.elapsed_s),
            session.pid.to_string(),
            format!("{}{}", build(session.build_id.as_deref()), if session.is_other_build { "*" } else { " " }),
            bytes(session.rss_bytes),
            bytes(session.held_bytes),
            rate(session.bytes_per_s),
            verdict(session).to_owned(),
        ]);
    }
    for (row, session) in rows.begin(page).into_iter().zip(sessions) {
        let verdict = verdict(session);
        let ink = session.verdict.map_or(Ink::Plain, Ink::of);
        let figures = row.strip_suffix(verdict).unwrap_or(&row);
        page.line(&format!("{figures}{}", page.painted(ink, verdict)));
        if matches!(session.verdict, Some(Verdict::Leak | Verdict::Growing)) {
            calls(page, &session.frames);
        }
        if let Some(summary) = &session.since_last {
            for line in fold(summary, page.width - MARGIN.len()) {
                page.line(&format!("{MARGIN}{}", page.painted(Ink::Dim, &line)));
            }
        }
    }
    if sessions.iter().any(|session| session.is_other_build) {
        page.paragraph("", "* another build than in the session before", Ink::Dim);
    }
}

fn leaks(page: &mut Page, leaks: &[Leak], top: usize) {
    let shown = &leaks[..leaks.len().min(top)];
    let number = |state: State| leaks.iter().filter(|leak| leak.state == state).count();
    let states = [State::New, State::Worse, State::Same, State::Better, State::Fixed];
    let told: Vec<_> = states.into_iter().filter(|state| number(*state) > 0).collect();
    let told: Vec<_> = told.into_iter().map(|state| format!("{} {}", number(state), state.name())).collect();
    let title = format!("{} that leaked or grew: {}", plural(leaks.len() as u64, "stack"), told.join(", "));
    page.paragraph("", &title, Ink::Bold);
    page.line("");
    let titles = ["#", "FIRST SEEN", "BUILD", "LAST SEEN", "SESSIONS", "RATE THEN", "RATE NOW", "WORST", "STATE"];
    let mut rows = Rows::new(&titles, &SPARE_OF_LEAKS);
    for (n, leak) in shown.iter().enumerate() {
        rows.add([
            (n + 1).to_string(),
            day(&leak.first.time),
            build(leak.first.build_id.as_deref()),
            day(&leak.last.time),
            format!("{} of {}", leak.sessions, leak.of_sessions),
            rate(leak.first.bytes_per_s),
            if leak.bytes_per_s == 0.0 { "-".to_owned() } else { rate(leak.bytes_per_s) },
            leak.verdict.name().to_owned(),
            leak.state.name().to_owned(),
        ]);
    }
    for (row, leak) in rows.begin(page).into_iter().zip(shown) {
        // The state stands last, so colour around it shifts nothing.
        let state = leak.state.name();
        let ink = match leak.state {
            State::New | State::Worse => Ink::Red,
            State::Same => Ink::Yellow,
            State::Better | State::Fixed => Ink::Plain,
        };
        let figures = row.strip_suffix(state).unwrap_or(&row);
        page.line(&format!("{figures}{}", page.painted(ink, state)));
        calls(page, &leak.frames);
    }
    if leaks.len() > shown.len() {
        page.line("");
        page.paragraph("", &format!("and {}", plural((leaks.len() - shown.len()) as u64, "more stack")), Ink::Dim);
    }
}

fn calls(page: &mut Page, frames: &[Frame]) {
    let calls = chain(&names(frames), Direction::Outwards, page.width - MARGIN.len());
    let calls = if calls.is_empty() { "(no frames were recorded)" } else { &calls };
    page.line(&format!("{MARGIN}{calls}"));
}

/// `2 leaking`, `1 growing`, `good`; `-` where nothing could be judged.
fn verdict_of(outlook: &Outlook) -> String {
    match (outlook.leaking, outlook.growing, outlook.judged) {
        (0, 0, 0) => "-".to_owned(),
        (0, 0, _) => "good".to_owned(),
        (0, growing, _) => format!("{growing} growing"),
        (leaking, ..) => format!("{leaking} leaking"),
    }
}

/// A build ID as a column has room for it.
fn build(id: Option<&str>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| printable(&id.chars().take(SHORT_ID).collect::<String>()).into_owned())
}

/// The day of a time.
fn day(time: &str) -> String {
    time.get(..10).unwrap_or(time).to_owned()
}

/// A time to the minute.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
