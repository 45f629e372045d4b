//! The words of the system for an error.

use std::io;

/// Without the number that says the same to programmers.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.ends_with(')') => words.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_left_out_and_other_words_are_not() {
        let [number, other] = ["gone (os error 2)", "line 3 (os error"].map(io::Error::other);
        assert_eq!((words(&number).as_str(), words(&other).as_str()), ("gone", "line 3 (os error"));
    }
}
