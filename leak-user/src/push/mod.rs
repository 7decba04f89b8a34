//! Sends the profiles of sessions to a server that keeps them: Pyroscope, Parca, or what takes profiles as they do.
//!
//! What a server cannot take at the moment waits in a [`spool`] and goes first with the next push to the same target,
//! oldest first. Promises that nothing is lost without a word, and that no secret is printed or kept. A profile may
//! arrive twice where leaktrace is killed in the moment between its arrival and its removal. Leaves out sending while
//! a trace goes on: a session is sent when it is there.

mod answer;
mod entry;
mod headers;
mod labels;
mod profile;
mod sender;
mod spool;
mod target;
mod wire;

use std::{
    hash::{BuildHasher as _, RandomState},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};

use self::{
    answer::{Answer, patiently},
    profile::{Profile, of_session},
    sender::Sender,
    spool::Waiting,
    wire::Request,
};
pub use self::{
    headers::Header,
    labels::parse as parse_label,
    spool::Spool,
    target::{Kind, Target},
};
use crate::{
    notice::Notices,
    session::View,
    text::printable,
    units::{plural, seconds},
};

/// Where to, and how.
#[derive(Debug)]
pub struct Plan {
    /// Where to.
    pub target: Target,
    /// Sent with each request.
    pub headers: Vec<Header>,
    /// Put on each profile.
    pub labels: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
    /// How often a profile is tried in one run, at least 1.
    pub tries: u32,
    /// Whether the proxy of the environment is used.
    pub by_proxy: bool,
    /// Where profiles wait.
    pub spool: Spool,
}

/// A push that is under way.
pub struct Push {
    plan: Plan,
    key: String,
    sender: Sender,
    notices: Notices,
    sent: u64,
    kept: u64,
    /// Whether another push is sending what waits.
    is_left_to_another: bool,
    /// Why nothing more is sent in this run.
    closed: Option<String>,
    /// What did not go well, in sentences.
    troubles: Vec<String>,
}

impl Push {
    /// Makes ready to send. Nothing is sent yet.
    pub fn new(plan: Plan, notices: Notices) -> Result<Self> {
        let sender = Sender::new(&plan.target, &plan.headers, plan.timeout, plan.by_proxy)?;
        if plan.target.is_plain() && plan.headers.iter().any(|header| header.is_secret) && !plan.target.is_local() {
            notices.say(&format!("{} is no https: who listens on the way reads the secret header", plan.target.name));
        }
        let shown = plan.headers.iter().filter(|header| !header.is_secret);
        let key =
            plan.target.key(shown.map(|header| (header.name.as_str(), header.value.to_str().unwrap_or_default())));
        Ok(Self {
            plan,
            key,
            sender,
            notices,
            sent: 0,
            kept: 0,
            is_left_to_another: false,
            closed: None,
            troubles: Vec::new(),
        })
    }

    /// Sends what waits in the spool for this target.
    pub fn send_waiting(&mut self) -> Result<()> {
        for said in self.plan.spool.tidy(SystemTime::now(), None) {
            self.notices.say(&said);
        }
        if self.plan.spool.waiting(&self.key)?.is_empty() {
            return Ok(());
        }
        let Some(_turn) = self.plan.spool.turn()? else {
            self.is_left_to_another = true;
            return Ok(());
        };
        for file in self.plan.spool.waiting(&self.key)? {
            if self.closed.is_some() {
                break;
            }
            match self.plan.spool.read(&file) {
                Ok(profile) => self.send_again(&file, &profile)?,
                Err(error) => {
                    let aside = self.plan.spool.set_aside(&file, "damaged")?;
                    self.notices
                        .say(&format!("a profile in the spool is damaged: {error:#}; it is set aside as {aside}"));
                }
            }
        }
        Ok(())
    }

    fn send_again(&mut self, file: &Waiting, profile: &Profile) -> Result<()> {
        match self.send(profile) {
            Answer::Sent => self.plan.spool.remove(file),
            Answer::Refused(why) => {
                let aside = self.plan.spool.set_aside(file, "refused")?;
                self.trouble(&format!("{why}, which waited in the spool; it is set aside as {aside}"));
                Ok(())
            }
            Answer::Later(why, _) | Answer::Denied(why) => {
                self.closed = Some(why);
                Ok(())
            }
        }
    }

    /// Sends a session, named for people; what cannot be sent now waits in the spool.
    pub fn send_session(&mut self, name: &str, view: View) -> Result<()> {
        for profile in of_session(view, &self.plan.labels)? {
            let answer = match self.closed.clone() {
                Some(why) => Answer::Later(why, None),
                None => self.send(&profile),
            };
            match answer {
                Answer::Sent => {}
                Answer::Refused(why) => self.trouble(&format!("{why} of {}", printable(name))),
                Answer::Later(why, _) | Answer::Denied(why) => {
                    self.closed = Some(why);
                    self.keep(name, &profile);
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: &str, profile: &Profile) {
        match self.plan.spool.keep(profile, &self.key, &self.plan.target.name) {
            Ok(gone) => {
                self.kept += 1;
                for said in gone {
                    self.notices.say(&said);
                }
            }
            Err(error) => self.troubles.push(format!(
                "a profile of {} is not kept to be sent later: {error:#}; push that session again",
                printable(name)
            )),
        }
    }

    fn send(&mut self, profile: &Profile) -> Answer {
        let request = Request::of(profile, self.plan.target.kind);
        let target = &self.plan.target;
        let answer = patiently(
            self.plan.tries,
            || self.sender.send(target, &request),
            |pause, why| {
                let pause_s = seconds(pause.as_secs_f64());
                self.notices.detail(&format!("{} {why}; again in {pause_s}", target.name));
                thread::sleep(pause);
            },
            chance,
        );
        self.sent += u64::from(answer == Answer::Sent);
        answer
    }

    fn trouble(&mut self, why: &str) {
        self.troubles.push(format!("{} {why}", self.plan.target.name));
    }

    /// What was done, as a sentence; an error says what was not.
    pub fn finish(mut self) -> Result<String> {
        if let Some(why) = &self.closed {
            let target = &self.plan.target.name;
            let waiting = self.plan.spool.waiting(&self.key).map_or(self.kept, |files| files.len() as u64);
            let spool = self.plan.spool.name();
            let waits = if waiting == 1 { "waits" } else { "wait" };
            let kept = if waiting == 0 {
                String::new()
            } else {
                format!("; {} {waits} in {spool} for the next push there", plural(waiting, "profile"))
            };
            self.troubles.insert(0, format!("{target} {why}{kept}"));
        }
        let sent = format!("{} sent to {}", plural(self.sent, "profile"), self.plan.target.name);
        match (self.troubles.is_empty(), self.sent) {
            (true, 0) if self.is_left_to_another => {
                Ok("another push is sending what waits; it is left to that".to_owned())
            }
            (true, 0) => Ok(format!("nothing waits in {} for {}", self.plan.spool.name(), self.plan.target.name)),
            (true, _) => Ok(sent),
            (false, 0) => bail!("{}", self.troubles.join("; ")),
            (false, _) => bail!("{sent}, but {}", self.troubles.join("; ")),
        }
    }
}

/// From 0 to 1, another each time. Nothing rests on how evenly.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}
