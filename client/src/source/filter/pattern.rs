//! One pattern in gitignore's syntax: the meaning of its line, and which names it fits.
//!
//! gitignore(5) is the authority, and `git check-ignore` where that page is silent; a test compares both.

use super::glob::{Flaw, Glob};

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// It began with `!`: names that fit are taken all the same.
    includes: bool,
    /// It ended with `/`: it fits directories only.
    only_directories: bool,
    fits: Fits,
}

/// The part of a name that a pattern is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fits {
    /// Nothing, whatever the name: no name has that form.
    Nothing,
    /// The last component of a name: there is no slash in the pattern, other than at its end.
    Last(Glob),
    /// The whole name, from the directory of the rules.
    Whole(Glob),
}

impl Pattern {
    /// From a line of a file, without its line feed; `None` if it is empty or a comment.
    pub(super) fn of_line(line: &[u8]) -> Option<(Self, Option<Flaw>)> {
        if line.first() == Some(&b'#') {
            return None;
        }
        Self::parse(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// From a pattern, which may begin with `#`; `None` if it is empty.
    pub(super) fn parse(text: &[u8]) -> Option<(Self, Option<Flaw>)> {
        let text = trimmed(text);
        let (includes, text) = text.strip_prefix(b"!").map_or((false, text), |rest| (true, rest));
        let (only_directories, text) =
            text.strip_suffix(b"/").map_or((false, text), |rest| (true, rest));
        if text.is_empty() {
            return None;
        }
        let parsed = if text.contains(&b'/') {
            Glob::parse(text.strip_prefix(b"/").unwrap_or(text)).map(Fits::Whole)
        } else {
            Glob::parse(text).map(Fits::Last)
        };
        let (fits, flaw) =
            parsed.map_or_else(|flaw| (Fits::Nothing, Some(flaw)), |fits| (fits, None));
        Some((Self { includes, only_directories, fits }, flaw))
    }

    /// Whether names that fit are taken, not left out.
    pub(super) fn includes(&self) -> bool {
        self.includes
    }

    /// Whether a name fits. `last` is its last component.
    pub(super) fn fits(&self, name: &[u8], last: &[u8], is_dir: bool) -> bool {
        if self.only_directories && !is_dir {
            return false;
        }
        match &self.fits {
            Fits::Nothing => false,
            Fits::Last(glob) => glob.fits(last),
            Fits::Whole(glob) => glob.fits(name),
        }
    }
}

/// Without the spaces at the end; one behind a backslash stays.
fn trimmed(text: &[u8]) -> &[u8] {
    let (mut end, mut position) = (0, 0);
    while let Some(&byte) = text.get(position) {
        position += if byte == b'\\' { 2 } else { 1 };
        if byte != b' ' {
            end = position.min(text.len());
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_at_the_end_count_only_behind_a_backslash() {
        for (text, expected) in [
            ("a", "a"),
            ("a  ", "a"),
            ("a\\ ", "a\\ "),
            ("a\\  ", "a\\ "),
            ("a\\\\ ", "a\\\\"),
            (" a b ", " a b"),
            ("a \\", "a \\"),
            ("  ", ""),
            ("a\t", "a\t"),
        ] {
            assert_eq!(trimmed(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn lines_that_are_no_patterns_are_skipped() {
        for line in ["", "# x", "#", "  ", "\r", "!", "/", "!/", " \r"] {
            assert_eq!(Pattern::of_line(line.as_bytes()), None, "{line:?}");
        }
        assert!(Pattern::parse(b"#x").is_some(), "a word of the command line is no comment");
    }

    #[test]
    fn flaws_are_told() {
        let flaw = |text: &str| Pattern::parse(text.as_bytes()).unwrap().1;
        for text in ["[", "a[b", "[!", "[]", "[a-", "[[:alpha:]", "[[:none:]]", "a/[b"] {
            assert_eq!(flaw(text), Some(Flaw::Set), "{text}");
        }
        assert_eq!(flaw("a[/]b"), Some(Flaw::Empty));
        assert_eq!(flaw("a\\"), Some(Flaw::Backslash));
        for text in ["[]]", "[!]]", "[a-]", "[[:]", "{a,b}", "a\\\\", "[z-a]"] {
            assert_eq!(flaw(text), None, "{text}");
        }
    }
}
