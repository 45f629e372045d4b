//! The outcome of each entry of a request that makes several: the answer tells them all, once the last one is durable.

use haul_protocol::{Refusal, RequestId, Shown};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::http::page::shell::{self, Nonce};
use crate::http::response::{Length, Response};
use crate::http::status::Status;
use crate::refusal;

/// Bytes of all reasons of one request that are kept for its answer. Those behind them are told by their status alone.
const MOST_WORDS: usize = 64 * 1024;

/// A request that makes several entries.
#[derive(Debug)]
pub(in crate::connection) struct Several {
    id: RequestId,
    answer: Answer,
    outcomes: Vec<Outcome>,
    /// Entries whose outcome is not known.
    under_way: usize,
    /// All of the request has come.
    is_whole: bool,
    /// Bytes of all reasons so far.
    words: usize,
}

/// The form of the answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The page of the directory again, which has this address, or a page with the reasons.
    Page {
        back: String,
    },
    Json,
}

#[derive(Debug)]
enum Outcome {
    UnderWay { success: Status, name: Box<str> },
    Done(Status),
    Refused { status: Status, name: Box<str>, why: Box<str>, found: Option<Found> },
}

/// A file that stands where another one was to come: its size, and its mtime in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connection) struct Found {
    pub(super) size: u64,
    pub(super) mtime: Option<i64>,
}

impl Several {
    pub(super) fn begin(id: RequestId, answer: Answer) -> Self {
        Self { id, answer, outcomes: Vec::new(), under_way: 0, is_whole: false, words: 0 }
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection::http) fn held_bytes(&self) -> usize {
        self.outcomes.capacity() * size_of::<Outcome>() + self.words
    }

    /// One entry more, which has this name for people; returns its index.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        // The names are of use only with reasons, and are bounded with them.
        let name = if self.words < MOST_WORDS { name } else { "" };
        self.words += name.len();
        self.under_way += 1;
        let success = Status::CREATED;
        self.outcomes.push(Outcome::UnderWay { success, name: name.into() });
        u32::try_from(self.outcomes.len() - 1).unwrap_or(u32::MAX)
    }

    /// The status with which success of the last entry is told.
    pub(super) fn will_be(&mut self, status: Status) {
        if let Some(Outcome::UnderWay { success, .. }) = self.outcomes.last_mut() {
            *success = status;
        }
    }

    fn over(&mut self, index: u32, result: Result<(), Refusal>, found: Option<Found>) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(outcome) = self.outcomes.get_mut(index) else { return };
        let Outcome::UnderWay { success, name } = outcome else { return };
        self.under_way -= 1;
        *outcome = match result {
            Ok(()) => {
                self.words -= name.len();
                Outcome::Done(*success)
            }
            Err(refusal) => {
                let why = if self.words < MOST_WORDS { &*refusal.message } else { "" };
                self.words += why.len();
                let status = Status::of(&refusal.code);
                Outcome::Refused { status, name: std::mem::take(name), why: why.into(), found }
            }
        };
    }

    /// One line of JSON for each entry, in their order.
    fn json(&self) -> String {
        let mut text = String::from("{\"entries\":[");
        for (index, outcome) in self.outcomes.iter().enumerate() {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            let line = match outcome {
                Outcome::UnderWay { success: status, .. } | Outcome::Done(status) => {
                    json!({"status": status.0})
                }
                Outcome::Refused { status, why, found, .. } => {
                    let mut line = json!({"status": status.0, "why": Shown(why).to_string()});
                    if let Some(Found { size, mtime }) = found {
                        line["found"] = json!({"size": size, "mtime": mtime});
                    }
                    line
                }
            };
            text.push_str(&Value::to_string(&line));
        }
        text.push_str("\n]}\n");
        text
    }

    /// The names and reasons of those that were refused.
    fn refused(&self) -> Vec<(String, String)> {
        let refused = self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Refused { name, why, .. } => Some((name.to_string(), why.to_string())),
            _ => None,
        });
        refused.collect()
    }

    fn first_refused(&self) -> Option<Status> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Refused { status, .. } => Some(*status),
            _ => None,
        })
    }
}

impl Connection {
    /// One entry of a request is over. `found`: the file that stands there, if that is the reason.
    pub(in crate::connection) fn one_over(
        &mut self,
        id: RequestId,
        index: u32,
        result: Result<(), refusal::Refusal>,
        found: Option<Found>,
    ) {
        if let Err(refusal) = &result {
            tracing::debug!(peer = self.peer, id = id.get(), index, %refusal, "refused");
            self.tell_refusal(refusal);
        }
        let result = result.map_err(|refusal| self.told(refusal));
        let several = self.http().and_then(|http| http.several.as_mut());
        if let Some(several) = several.filter(|several| several.id == id) {
            several.over(index, result, found);
            self.tell_all();
        }
    }

    /// The request has come whole.
    pub(in crate::connection::http) fn all_have_come(&mut self) {
        if let Some(several) = self.http().and_then(|http| http.several.as_mut()) {
            several.is_whole = true;
            self.tell_all();
        }
    }

    /// Answers a request whose entries are all over.
    fn tell_all(&mut self) {
        let Some(http) = self.http() else { return };
        let is_due = |several: &mut Box<Several>| several.is_whole && several.under_way == 0;
        let Some(several) = http.several.take_if(is_due) else { return };
        let Some(half) = self.half.http() else { return };
        let page = match (&several.answer, several.first_refused()) {
            (Answer::Json, _) => {
                let response = Response::new(Status::OK).with("Content-Type", "application/json");
                return half.answer(&response, several.json().as_bytes());
            }
            (Answer::Page { back }, None) => {
                let there = format!("{back}?stored={}", several.outcomes.len());
                let response = Response::new(Status::SEE_OTHER).with("Location", there);
                return half.begin(&response, Length::Known(0));
            }
            (Answer::Page { .. }, Some(status)) => {
                let refused = several.refused();
                let page = shell::refused(several.outcomes.len() - refused.len(), &refused);
                (status, page)
            }
        };
        half.answer(&shell::head(page.0, &Nonce::default()), page.1.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Code;

    use super::*;

    #[test]
    fn answer_has_the_outcome_of_each_entry_in_order_and_few_words() {
        let mut several = Several::begin(RequestId::FIRST, Answer::Json);
        let long = "x".repeat(1000);
        for _ in 0..500 {
            several.add(&long);
        }
        several.will_be(Status::NO_CONTENT);
        several.over(499, Ok(()), None);
        several.over(1, Ok(()), None);
        let found = Some(Found { size: 7, mtime: Some(9) });
        several.over(0, Err(Refusal::new(Code::Exists, "it is\u{202e} there")), found);
        for index in 2..499 {
            several.over(index, Err(Refusal::new(Code::Busy, &long)), None);
        }
        // A second result, and one of no entry.
        several.over(0, Ok(()), None);
        several.over(500, Ok(()), None);
        assert_eq!(several.under_way, 0);
        assert!(several.held_bytes() < 200_000 + 2 * MOST_WORDS, "{}", several.held_bytes());
        let told: Value = serde_json::from_str(&several.json()).unwrap();
        let told = told["entries"].as_array().unwrap();
        assert_eq!(told.len(), 500);
        assert_eq!((&told[1], &told[499]), (&json!({"status": 201}), &json!({"status": 204})));
        assert_eq!((&told[0]["status"], &told[0]["found"]["size"]), (&json!(409), &json!(7)));
        assert!(!told[0]["why"].as_str().unwrap().contains('\u{202e}'));
        assert_eq!((&told[498]["status"], &told[498]["why"]), (&json!(503), &json!("")));
        assert_eq!(several.first_refused(), Some(Status::CONFLICT));
    }
}
