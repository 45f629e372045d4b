//! A question to the hook `before-put`: whether files may come.

use std::task::Waker;

use haul_protocol::{Code, Digest, Name, Shown};
use serde::{Deserialize, Serialize};

use super::record::text;
use crate::accounts::AccountName;
use crate::audit::Who;
use crate::locks::{Mutex, Rank};
use crate::refusal::Refusal;

/// Letters of the hook's message that a client gets.
const LONGEST: usize = 300;

/// A file that is about to come.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Its name in the root.
    pub(crate) name: &'a Name,
    /// `None`: nobody has told it yet.
    pub(crate) size: Option<u64>,
    pub(crate) digest: Option<Digest>,
}

/// The line about a file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_b64: Option<String>,
    size: Option<u64>,
    digest: Option<String>,
    account: Option<&'a str>,
    address: &'a str,
    dialect: &'static str,
}

/// The line of a question about one file, which has a number of its own.
pub(super) fn line(id: u64, asked: &Asked<'_>, who: &Who, dialect: &'static str) -> String {
    let (name, name_b64) = text(asked.name.as_bytes());
    let line = Line {
        id,
        event: "put",
        name,
        name_b64,
        size: asked.size,
        digest: asked.digest.map(|digest| digest.to_hex()),
        account: who.account.as_ref().map(AccountName::as_str),
        address: &who.address,
        dialect,
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// A line of the hook's.
#[derive(Debug, Deserialize)]
struct Said {
    id: u64,
    allow: bool,
    #[serde(default)]
    message: Option<String>,
}

/// The answer about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    /// The hook does not want it, with these words for the client.
    Refused(String),
    /// The hook has not answered, for this reason.
    Failed(String),
    /// The file is refused anyway, so the hook is not asked about it.
    NotAsked(Refusal),
}

/// Reads a line of the hook's: the number of the question, and the answer. `None`: it is none.
pub(super) fn parse(line: &[u8]) -> Option<(u64, Answer)> {
    let Said { id, allow, message } = serde_json::from_slice(line).ok()?;
    let answer = match allow {
        true => Answer::Allowed,
        false => {
            let message = message.unwrap_or_default();
            let short: String = message.chars().take(LONGEST).collect();
            Answer::Refused(Shown(short).to_string())
        }
    };
    Some((id, answer))
}

impl Answer {
    /// No answer has come.
    pub(crate) fn missing() -> Self {
        Self::Failed(String::from("not asked"))
    }

    /// Whether it is the hook that says whether the file may come.
    pub(crate) fn is_of_hook(&self) -> bool {
        !matches!(self, Self::NotAsked(_))
    }

    /// Whether the file may come.
    pub(crate) fn allows(&self) -> Result<(), Refusal> {
        match self {
            Self::Allowed => Ok(()),
            Self::Refused(words) if words.is_empty() => {
                Err(Refusal::new(Code::Unwanted, "the server's hook refuses this file"))
            }
            Self::Refused(words) => {
                let message = format!("the server's hook refuses this file: {words}");
                Err(Refusal::new(Code::Unwanted, message))
            }
            // The reason is for the owner of the server.
            Self::Failed(_) => {
                let message = "the server's hook before-put has not answered; try again";
                Err(Refusal::new(Code::Busy, message))
            }
            Self::NotAsked(refusal) => Err(refusal.clone()),
        }
    }
}

/// Files that a connection asks about. The connection is woken when there are answers for all.
#[derive(Debug)]
pub(crate) struct Question(Mutex<State>);

#[derive(Debug)]
struct State {
    answers: Vec<Option<Answer>>,
    left: usize,
    waker: Option<Waker>,
}

impl Question {
    pub(super) fn new(count: usize, waker: Waker) -> Self {
        let state = State { answers: vec![None; count], left: count, waker: Some(waker) };
        Self(Mutex::new(Rank::HookAnswer, state))
    }

    /// Nobody answers it.
    pub(super) fn is_given_up(&self) {
        self.0.lock().left = 0;
    }

    /// Whether all is answered.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().left == 0
    }

    /// The answers, one for each file. Those that are missing are failures.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let answers = self.0.lock().answers.clone();
        answers.into_iter().map(|answer| answer.unwrap_or_else(Answer::missing)).collect()
    }

    /// Sets one answer. Returns the connection that has to be woken, if it was the last one that was missing.
    #[must_use]
    pub(super) fn answer(&self, at: usize, answer: Answer) -> Option<Waker> {
        let mut state = self.0.lock();
        let place = state.answers.get_mut(at)?;
        if place.is_none() {
            *place = Some(answer);
            state.left -= 1;
        }
        if state.left == 0 { state.waker.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_hook_are_bounded_and_move_no_terminal() {
        assert_eq!(parse(br#"{"id":3,"allow":true,"more":1}"#), Some((3, Answer::Allowed)));
        let refused = parse(br#"{"id":4,"allow":false,"message":"no\u001b[2J\n"}"#).unwrap();
        assert_eq!(refused, (4, Answer::Refused(String::from("no\\u{1b}[2J\\n"))));
        let long = format!("{{\"id\":5,\"allow\":false,\"message\":\"{}\"}}", "x".repeat(9999));
        let Some((5, Answer::Refused(words))) = parse(long.as_bytes()) else { panic!() };
        assert_eq!(words.len(), LONGEST);
        for line in
            ["", "{}", "yes", "{\"id\":1}", "{\"id\":-1,\"allow\":true}", "{\"allow\":true}"]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn refusal_is_final_and_failure_may_be_tried_again() {
        let told = |answer: Answer| {
            let view = crate::accounts::View::default();
            answer.allows().map_err(|refusal| refusal.told(&view, None, false))
        };
        assert!(told(Answer::Allowed).is_ok());
        let refused = told(Answer::Refused(String::from("why"))).unwrap_err();
        assert!(!refused.retry && refused.message.contains("why"), "{refused}");
        let failed = told(Answer::Failed(String::from("secret"))).unwrap_err();
        assert!(failed.retry && !failed.message.contains("secret"), "{failed}");
    }
}
