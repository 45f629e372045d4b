//! Questions about errors of entries that this machine is to get from a server.

use std::io;
use std::sync::Arc;

use super::file::FileError;
use super::target::TargetError;

impl FileError {
    /// For `map_err`: an error of this machine in `op`, about an entry that comes from a server.
    pub(crate) fn target<E: Into<io::Error>>(op: &'static str) -> impl Fn(E) -> Self {
        move |source| TargetError::System { op, source: Arc::new(source.into()) }.into()
    }

    fn at_target(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Target(TargetError::System { source, .. }) => Some(source.kind()),
            _ => None,
        }
    }

    /// Whether an entry of this machine that does not make way stands in the place.
    #[must_use]
    pub(crate) fn is_in_the_way(&self) -> bool {
        matches!(self, Self::Target(TargetError::InTheWay(_)))
    }

    /// Whether an entry of the target was removed meanwhile.
    #[must_use]
    pub(crate) fn is_vanished_target(&self) -> bool {
        self.at_target() == Some(io::ErrorKind::NotFound)
    }

    /// Whether this machine has no room, or its user's quota has none.
    #[must_use]
    pub(crate) fn is_full_target(&self) -> bool {
        matches!(self.at_target(), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

#[cfg(test)]
impl FileError {
    /// Whether a directory of this machine was not removed because entries are in it.
    pub(crate) fn is_not_empty(&self) -> bool {
        self.at_target() == Some(io::ErrorKind::DirectoryNotEmpty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_told_with_what_to_do() {
        let error = FileError::target("write")(io::Error::from(io::ErrorKind::StorageFull));
        assert!(error.is_full_target() && !error.is_not_empty() && !error.is_in_the_way());
        let text = error.to_string();
        assert!(text.starts_with("could not write: ") && text.contains("make room"), "{text}");
    }
}
