//! A refusal as a sentence, with the step that helps if the account is the reason.

use std::fmt;

use haul_protocol::{Code, Refusal};

/// A refusal of a request, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'a>(pub(crate) &'a Refusal);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused by the server: {}{}", self.0, advice(&self.0.code))
    }
}

/// The step that helps.
pub(crate) fn advice(code: &Code) -> &'static str {
    match code {
        Code::Forbidden => "; `haul whoami HOST` tells the rights of the account",
        Code::Quota => {
            "; remove something there, or ask the server's administrator for a larger quota; `haul whoami HOST` tells both"
        }
        Code::Exists => "; send it under another name, or ask for the right `replace`",
        _ => "",
    }
}
