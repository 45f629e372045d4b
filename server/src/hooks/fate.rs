//! The fate of a change that the spool has a record of, and how marks in the spool tell it.

/// What has become of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing is known yet.
    Open,
    /// It has happened, and is not known to last.
    Seen,
    /// It has happened.
    Done,
    /// It has happened and may not last; or nobody knows whether it has happened.
    Uncertain,
    /// It has not happened, and never will.
    Never,
}

impl Fate {
    /// Whether the hook may be told, or need not be.
    pub(super) fn is_settled(self) -> bool {
        !matches!(self, Self::Open | Self::Seen)
    }

    /// Its word in a mark. A change that was seen lasts when its mark is flushed, because its name is then, too.
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Seen | Self::Done => "done",
            Self::Uncertain => "uncertain",
            Self::Never => "never",
        }
    }
}

/// The fate of all changes whose records have these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) fate: Fate,
}

impl Mark {
    /// Bytes of the longest line: two numbers of 20 digits, and what stands around them.
    pub(super) const LONGEST: u64 = 2 * 20 + "=- uncertain\n".len() as u64;

    /// Its line.
    pub(super) fn line(self) -> String {
        format!("={}-{} {}\n", self.from, self.to, self.fate.word())
    }

    /// Reads a line; `None` if it is no mark.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (numbers, word) = line.strip_prefix('=')?.split_once(' ')?;
        let (from, to) = numbers.split_once('-')?;
        let fates = [Fate::Done, Fate::Uncertain, Fate::Never];
        let fate = fates.into_iter().find(|fate| fate.word() == word)?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()?, fate })
    }
}

/// Marks that are not in the spool yet; those of neighbours are one.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn add(&mut self, number: u64, fate: Fate) {
        match self.0.last_mut() {
            Some(last) if last.to + 1 == number && last.fate.word() == fate.word() => {
                last.to = number;
            }
            _ => self.0.push(Mark { from: number, to: number, fate }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of their lines.
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Their lines.
    pub(super) fn lines(&self) -> String {
        self.0.iter().map(|mark| mark.line()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_neighbours_are_one_and_are_read_back() {
        let mut marks = Marks::default();
        for (number, fate) in [
            (3, Fate::Seen),
            (4, Fate::Done),
            (5, Fate::Never),
            (7, Fate::Never),
            (3, Fate::Uncertain),
        ] {
            marks.add(number, fate);
        }
        let lines = marks.lines();
        let read: Vec<_> = lines.lines().map(|line| Mark::parse(line).unwrap()).collect();
        let mark = |from, to, fate| Mark { from, to, fate };
        let wanted = [
            mark(3, 4, Fate::Done),
            mark(5, 5, Fate::Never),
            mark(7, 7, Fate::Never),
            mark(3, 3, Fate::Uncertain),
        ];
        assert_eq!(read, wanted);
        let longest = mark(u64::MAX, u64::MAX, Fate::Uncertain).line();
        assert_eq!((longest.len() as u64, marks.len()), (Mark::LONGEST, 4));
        for line in ["", "=", "=1 done", "=1-2", "=a-2 done", "=1-2 open", "=1-2 done "] {
            assert_eq!(Mark::parse(line), None, "{line}");
        }
    }
}
