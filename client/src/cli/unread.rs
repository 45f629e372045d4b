//! The events of `--json` for a command line that can't be read.

use std::fmt::Display;

use super::console;
use super::events::Event;
use super::exit::Reason;
use super::summary::{Kind, Summary};

/// Commands without a run, the summary of which counts nothing.
const WITHOUT_RUN: [&str; 9] =
    ["discover", "login", "logout", "ls", "mkdir", "mv", "rm", "trust", "whoami"];

/// If the command line asks for events, its last ones: the mistake, and a summary.
pub(super) fn events(mistake: &dyn Display) {
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if words.any(|word| word == "--json") {
        let error = mistake.to_string();
        console::json(&Event::Error { error });
        let command = std::env::args_os().nth(1).unwrap_or_default();
        console::json(&match WITHOUT_RUN.iter().any(|name| command == *name) {
            true => Event::over(Reason::Usage),
            false => Event::Summary(Box::new(Summary::new(None, Reason::Usage, Kind::Run))),
        });
    }
}

/// The mistake that clap names, without the usage behind it.
pub(super) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mistake = text.split("\n\n").next().unwrap_or(&text);
    let words: Vec<_> = mistake.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}
