//! Lines that fit a terminal: folded at a word, and names shortened in the middle.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The space before each line but the first.
const INDENT: &str = "  ";

/// No terminal is taken to be narrower: on fewer columns a line is folded by the terminal.
const LEAST: usize = 20;

/// The mark in the place of the middle of a name.
const GAP: &str = "…";

/// The columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Puts items beside each other, on as many lines as they need. An item that does not fit a line is folded at a space, and a
/// word that does not is cut.
pub(crate) fn fold<'a>(items: impl IntoIterator<Item = &'a str>, width: usize) -> Vec<String> {
    let mut folded = Folded { width: width.max(LEAST), lines: vec![String::new()] };
    for item in items {
        if folded.is_room_for(item) {
            folded.push(item);
            continue;
        }
        for word in item.split(' ') {
            folded.word(word);
        }
    }
    folded.lines
}

/// Folds a message at words. If the message is too long for a line, a command in it ([`command`]) stands whole on a line of
/// its own, which the terminal breaks if it must: so it can be copied.
pub(crate) fn message(text: &str, width: usize) -> Vec<String> {
    let command = command(text).filter(|_| columns(text) > width);
    let Some((before, command, after)) = command else { return fold(text.split(' '), width) };
    let mut lines = fold(before.split(' '), width);
    lines.push(format!("{INDENT}{command}"));
    if !after.is_empty() {
        let after = fold(after.split(' '), width.saturating_sub(INDENT.len()));
        lines.extend(after.iter().map(|line| format!("{INDENT}{}", line.trim_start())));
    }
    lines
}

/// A word behind a text. If both are too long for a line, the word stands whole on a line of its own, which the terminal
/// breaks if it must.
pub(crate) fn whole(text: &str, word: &str, width: usize) -> Vec<String> {
    let both = format!("{text} {word}");
    if columns(&both) <= width {
        return vec![both];
    }
    let mut lines = fold(text.split(' '), width);
    lines.push(format!("{INDENT}{word}"));
    lines
}

/// The commands of haul that messages tell users to run.
pub(crate) const COMMANDS: [&str; 18] = [
    "put", "sync", "publish", "verify", "get", "cat", "ls", "mkdir", "rm", "mv", "login", "logout",
    "whoami", "shell", "trust", "config", "discover", "partials",
];

/// Splits a message around a command that the user is to run: `haul` and one of its commands, or `chmod`, behind a colon to the
/// next semicolon.
pub(crate) fn command(text: &str) -> Option<(&str, &str, &str)> {
    let is_command = |at: &usize| {
        let mut words = text[at + ": haul ".len()..].split(' ');
        words.next().is_some_and(|word| COMMANDS.contains(&word))
    };
    let haul = text.rmatch_indices(": haul ").map(|(at, _)| at).find(is_command);
    let at = haul.max(text.rfind(": chmod "))? + ": ".len();
    let end = text[at..].find("; ").map_or(text.len(), |end| at + end + 1);
    Some((text[..at].trim_end(), &text[at..end], text[end..].trim_start()))
}

/// A text with the middle left out, if it takes more columns.
pub(crate) fn middle(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(columns(GAP));
    // The end of a name tells more.
    let (start, _) = split_at_columns(text, room / 2);
    let end: String = {
        let turned: String = text.chars().rev().collect();
        split_at_columns(&turned, room - room / 2).0.chars().rev().collect()
    };
    format!("{start}{GAP}{end}")
}

/// Splits a text after so many columns, or fewer.
fn split_at_columns(text: &str, most: usize) -> (&str, &str) {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, character)| {
        taken += character.width().unwrap_or(0);
        taken > most
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

/// Lines that are filled one after the other.
struct Folded {
    width: usize,
    lines: Vec<String>,
}

impl Folded {
    fn last(&mut self) -> &mut String {
        if self.lines.is_empty() {
            self.lines.push(String::new());
        }
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    /// Columns that an item may take on a line of its own.
    fn room(&self) -> usize {
        self.width - INDENT.len()
    }

    /// Whether an item fits the present line, or the next one.
    fn is_room_for(&self, item: &str) -> bool {
        let is_first = self.lines.len() == 1 && self.lines[0].is_empty();
        columns(item) <= if is_first { self.width } else { self.room() }
    }

    fn push(&mut self, item: &str) {
        let width = self.width;
        let line = self.last();
        let is_begun = !line.trim_start().is_empty();
        if is_begun && columns(line) + 1 + columns(item) > width {
            self.lines.push(format!("{INDENT}{item}"));
        } else {
            if is_begun {
                line.push(' ');
            }
            line.push_str(item);
        }
    }

    fn word(&mut self, mut word: &str) {
        while !self.is_room_for(word) {
            let (start, rest) = split_at_columns(word, self.room());
            self.push(start);
            word = rest;
        }
        self.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_items_and_then_at_words() {
        let items = ["one two,", "three four five six seven,", "eight"];
        assert_eq!(fold(items, 80), ["one two, three four five six seven, eight"]);
        assert_eq!(fold(items, 28), ["one two,", "  three four five six seven,", "  eight"]);
        assert_eq!(fold(items, 20), ["one two, three four", "  five six seven,", "  eight"]);
    }

    #[test]
    fn word_that_fits_no_line_is_cut() {
        let lines = fold(["haul:", &"x".repeat(45)], 20);
        assert!(lines.iter().all(|line| columns(line) <= 20), "{lines:?}");
        assert_eq!(lines.concat().matches('x').count(), 45);
    }

    #[test]
    fn command_in_a_message_that_is_too_long_for_a_line_is_whole() {
        let text = "haul: box:8080 does not take this token; with a new one: haul login alice@box:8080; then again";
        assert_eq!(message(text, 200), [text]);
        assert_eq!(
            message(text, 40),
            [
                "haul: box:8080 does not take this token;",
                "  with a new one:",
                "  haul login alice@box:8080;",
                "  then again",
            ]
        );
        let long = format!("haul: it is new here: haul trust box {}", "x".repeat(60));
        let lines = message(&long, 40);
        assert_eq!(
            lines,
            ["haul: it is new here:", &format!("  haul trust box {}", "x".repeat(60))]
        );
        assert_eq!(message("haul: a b: haul", 20), ["haul: a b: haul"]);
        // A sentence about haul is none.
        assert_eq!(message("haul: haul can't do that", 20), ["haul: haul can't do", "  that"]);
    }

    #[test]
    fn wide_characters_count_as_what_they_take() {
        assert_eq!(columns("漢字"), 4);
        assert!(fold(["漢字".repeat(20).as_str()], 30).iter().all(|line| columns(line) <= 30));
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(middle("short", 5), "short");
        assert_eq!(middle("photos/2026/holiday.jpg", 13), "photos…ay.jpg");
        for most in 1..30 {
            assert!(columns(&middle("photos/漢字漢字/holiday.jpg", most)) <= most);
        }
    }
}
