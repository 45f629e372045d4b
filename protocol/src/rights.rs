//! The rights of an account.

use core::fmt;

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// To write files, symlinks, directories and their attributes.
    Put,
    /// To put a file or a symlink where another entry stands. No request needs it by itself: the store asks for it.
    Replace,
    /// To remove entries, or, together with [`Put`](Self::Put), to give them other names.
    Delete,
    /// To learn which entries are there, and their differences.
    List,
    /// To read files. No request of this version needs it.
    Get,
    /// To change the visible version of a directory.
    Publish,
}

impl Right {
    /// All rights, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Put, Self::Replace, Self::Delete, Self::List, Self::Get, Self::Publish];

    /// Its word, on the wire and elsewhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Get => "get",
            Self::Publish => "publish",
        }
    }

    /// The right of a word, if this version knows it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.as_str() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of rights.
///
/// ```
/// use haul_protocol::{Right, Rights};
/// let mut rights = Rights::drop_box();
/// assert!(rights.contains(Right::Put) && !rights.contains(Right::List));
/// rights.insert(Right::List);
/// assert_eq!(rights.to_string(), "put, list");
/// assert_eq!(rights, [Right::List, Right::Put].into_iter().collect());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    pub(crate) const fn of(rights: &[Right]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < rights.len() {
            bits |= rights[index].bit();
            index += 1;
        }
        Self(bits)
    }

    /// The preset `writer`: puts, replaces and compares; removes nothing.
    #[must_use]
    pub const fn writer() -> Self {
        Self::of(&[Right::Put, Right::Replace, Right::List])
    }

    /// The preset `mirror`: every right.
    #[must_use]
    pub const fn mirror() -> Self {
        Self::of(&Right::ALL)
    }

    /// The preset `reader`: changes nothing.
    #[must_use]
    pub const fn reader() -> Self {
        Self::of(&[Right::List, Right::Get])
    }

    /// The preset `drop`: puts, and learns nothing.
    #[must_use]
    pub const fn drop_box() -> Self {
        Self::of(&[Right::Put])
    }

    /// Whether the right is one of them.
    #[must_use]
    pub const fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a right.
    pub const fn insert(&mut self, right: Right) {
        self.0 |= right.bit();
    }

    /// The rights in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.contains(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        let mut all = Self::none();
        rights.into_iter().for_each(|right| all.insert(right));
        all
    }
}

/// The words with commas between them.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, right) in self.iter().enumerate() {
            write!(f, "{}{right}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_right_is_one_of_its_own_and_reads_back_from_its_word() {
        for right in Right::ALL {
            assert_eq!(Right::parse(right.as_str()), Some(right));
            let alone: Rights = [right].into_iter().collect();
            let others = Right::ALL.into_iter().filter(|other| *other != right);
            assert!(alone.contains(right) && others.clone().all(|other| !alone.contains(other)));
            assert!(!others.collect::<Rights>().contains(right));
        }
        assert_eq!(Right::parse("Put"), None);
        assert_eq!(Right::parse("fly"), None);
    }

    #[test]
    fn presets_have_the_rights_of_their_documentation() {
        assert_eq!(Rights::writer().to_string(), "put, replace, list");
        assert_eq!(Rights::mirror().to_string(), "put, replace, delete, list, get, publish");
        assert_eq!(Rights::reader().to_string(), "list, get");
        assert_eq!(Rights::drop_box().to_string(), "put");
        assert!(Rights::none().is_empty() && Rights::none() == Rights::default());
    }
}
