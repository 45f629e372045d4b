//! The words of the answer to `check`: the difference of each entry.

/// The difference between the server's entry and a stated one: the first that applies, in this
/// order.
///
/// One letter for each entry, in the order of the entries, is the body of the answer to `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// No stated attribute differs.
    Same,
    /// No entry of that name can be reached.
    Missing,
    /// A directory is there, and an entry of another kind is stated.
    Directory,
    /// The entry that is there is no directory, and of another kind.
    Kind,
    /// The file has another size.
    Size,
    /// The link points elsewhere.
    Target,
    /// The file's bytes have another digest.
    Digest,
    /// The mtime is another, and not the one that the server's file system makes of the stated one.
    Mtime,
    /// The permission bits are others.
    Mode,
}

impl Verdict {
    const ALL: [(Self, u8); 9] = [
        (Self::Same, b'='),
        (Self::Missing, b'+'),
        (Self::Directory, b'D'),
        (Self::Kind, b'k'),
        (Self::Size, b's'),
        (Self::Target, b'l'),
        (Self::Digest, b'd'),
        (Self::Mtime, b't'),
        (Self::Mode, b'm'),
    ];

    /// Its letter on the wire.
    ///
    /// ```
    /// use haul_protocol::Verdict;
    /// assert_eq!(Verdict::Same.letter(), b'=');
    /// ```
    #[must_use]
    pub fn letter(self) -> u8 {
        Self::ALL.iter().find(|(verdict, _)| *verdict == self).map_or(b'?', |(_, letter)| *letter)
    }

    /// The verdict of a letter; `None` for one that a later version has added, which means that the
    /// entry differs in some way.
    #[must_use]
    pub fn from_letter(letter: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == letter).map(|(verdict, _)| *verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_there_and_back() {
        for (verdict, letter) in Verdict::ALL {
            assert_eq!(verdict.letter(), letter);
            assert_eq!(Verdict::from_letter(letter), Some(verdict));
        }
        assert_eq!(Verdict::from_letter(b'?'), None);
    }
}
