//! The question whether a server is to be trusted, on the terminal of the user: standard input and output may be files.

use std::io;

use haul_protocol::Pin;
use indicatif::ProgressBar;

use super::signals::Signals;
use super::terminal::Terminal;
use crate::trust::{Answer, Stranger, Trust};

/// The number of words that are no answer before the question is given up.
const TRIES: usize = 3;

/// The rules of a command. While the user is asked, `bar` is not shown.
pub(super) fn trust(is_insecure: bool, signals: &Signals, bar: &ProgressBar) -> Trust {
    let (signals, bar) = (signals.clone(), bar.clone());
    let trust = Trust::of_user().ask(move |Stranger { server, pin, why, .. }| {
        let first = nobody_vouches(server, why.as_deref());
        bar.suspend(|| ask(&first, *pin, &signals)).unwrap_or(Answer::Nobody)
    });
    if is_insecure { trust.insecure() } else { trust }
}

/// The sentence about a server that nobody vouches for.
pub(super) fn nobody_vouches(server: &str, why: Option<&str>) -> String {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("{server} is not known here, and no authority vouches for it{why}.")
}

/// Asks whether a server with this key is to be trusted, after a first sentence.
///
/// # Errors
/// If there is no terminal, or nobody at it.
pub(super) fn ask(first: &str, pin: Pin, signals: &Signals) -> io::Result<Answer> {
    let mut terminal = Terminal::open()?;
    terminal.line(&format_args!("haul: {first}"))?;
    terminal.fact("Its key is", &pin)?;
    terminal.line(&"`hauld fingerprint` on the server prints the same if nobody is in between.")?;
    for _ in 0..TRIES {
        terminal.prompt("Trust it from now on? Type yes, no, or the key: ")?;
        let Some(line) = terminal.read(&|| signals.is_set())? else { break };
        match answer(&line) {
            Ok(answer) => return Ok(answer),
            Err(error) => terminal.line(&error)?,
        }
    }
    Ok(Answer::No)
}

/// The meaning of a line.
fn answer(line: &str) -> Result<Answer, String> {
    let word = line.trim().to_lowercase();
    match word.as_str() {
        "yes" => Ok(Answer::Yes),
        // A user who only wants to go on has not compared anything.
        "" | "no" | "n" => Ok(Answer::No),
        "y" => Err(String::from("Type the whole word yes.")),
        _ => match line.parse::<Pin>() {
            Ok(pin) => Ok(Answer::Key(pin)),
            Err(error) => Err(format!("That is no answer, and no key: {error}.")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_or_the_key_trusts_and_enter_means_no() {
        assert_eq!(answer(" Yes \n"), Ok(Answer::Yes));
        for no in ["", "\n", "no", "N", "  "] {
            assert_eq!(answer(no), Ok(Answer::No), "{no:?}");
        }
        let pin = Pin::of_spki(b"a key");
        let pasted = format!("\u{200e}{pin}\u{200b} ").replace("haul1", " HAUL1\u{ad}");
        assert_eq!(answer(&pasted), Ok(Answer::Key(pin)));
        for none in ["y", "yess", "haul1-abc", "ok"] {
            assert!(answer(none).is_err(), "{none}");
        }
    }
}
