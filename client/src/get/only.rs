//! The names of `--files-from`, below a source: as a tree in which each directory is a range of one sorted list. It has no
//! levels in memory, so that names as deep as a protocol allows cost no stack.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::Name;

use crate::source::file_list::below;
use crate::source::{bytes, from_bytes};

/// A name below a source, without `.` and empty components; the source itself is the empty one.
pub(super) type Below = Box<[u8]>;

/// The names of a list that are one entry or below it.
#[derive(Debug, Clone)]
pub(super) struct Only {
    /// All names of the list, sorted by their components.
    names: Arc<[Below]>,
    /// Those that are here.
    range: Range<usize>,
    /// Bytes of each name before the component that tells the entries here apart, the slash included.
    above: usize,
}

/// The components of a name.
fn components(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == b'/')
}

/// A name of a list, below a source of this name (`None`: the root).
///
/// # Errors
/// If it leads elsewhere, or no entry can have it.
pub(super) fn checked(name: &Path, source: Option<&Name>) -> Result<Below, String> {
    let path = below(name).ok_or("it is not below SRC")?;
    let bytes = bytes(path.as_os_str()).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Ok(Below::default());
    }
    let full = match source {
        Some(source) => source.join(&bytes),
        None => Name::parse(&bytes),
    };
    full.map_err(|error| error.to_string())?;
    Ok(bytes.into())
}

impl Only {
    /// A list of [`checked`] names.
    pub(super) fn new(mut names: Vec<Below>) -> Self {
        names.sort_unstable_by(|one, other| components(one).cmp(components(other)));
        names.dedup();
        let range = 0..names.len();
        Self { names: names.into(), range, above: 0 }
    }

    /// Whether there is no name.
    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether the directory itself is in the list, and not only entries in it.
    pub(super) fn is_named(&self) -> bool {
        let first = self.names.get(self.range.start).filter(|_| !self.range.is_empty());
        first.is_some_and(|first| first.is_empty() || first.len() < self.above)
    }

    /// The names of the list that are here, as paths below the source.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let path = |name: &Below| match name.is_empty() {
            true => PathBuf::from("."),
            false => PathBuf::from(from_bytes(name).into_owned()),
        };
        self.names[self.range.clone()].iter().map(path)
    }

    /// The component of a name that tells the entries here apart.
    fn component<'n>(&self, name: &'n Below) -> &'n [u8] {
        let rest = name.get(self.above..).unwrap_or_default();
        components(rest).next().unwrap_or_default()
    }

    /// The entries of the directory alone, without itself.
    pub(super) fn entries(mut self) -> Self {
        self.range.start += usize::from(self.is_named());
        self
    }

    /// Takes the first entry out of those of a directory.
    pub(super) fn next_entry(&mut self) -> Option<(Vec<u8>, Self)> {
        let component = self.first()?.to_vec();
        let here = &self.names[self.range.clone()];
        let len =
            here.partition_point(|name| self.component(name).cmp(&component) != Ordering::Greater);
        let range = self.range.start..self.range.start + len;
        self.range.start = range.end;
        let above = self.above + component.len() + 1;
        Some((component, Self { names: Arc::clone(&self.names), range, above }))
    }

    /// The component of the first entry of a directory.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let here = &self.names[self.range.clone()];
        here.first().map(|name| self.component(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Only {
        Only::new(names.iter().map(|name| checked(Path::new(name), None).unwrap()).collect())
    }

    /// All entries, each with whether it is in the list itself.
    fn walked(only: Only, path: &str, found: &mut Vec<(String, bool)>) {
        let mut entries = only.entries();
        while let Some((component, below)) = entries.next_entry() {
            let path = format!("{path}/{}", String::from_utf8(component).unwrap());
            found.push((path.clone(), below.is_named()));
            walked(below, &path, found);
        }
    }

    #[test]
    fn directories_are_ranges_of_the_list() {
        let only = list(&["b/x", "a-b", "a/y", "./a/x/", "a/x", "a", "b//x/z", "."]);
        assert!(only.is_named() && !list(&["a"]).is_named() && list(&[]).is_empty());
        let mut found = Vec::new();
        walked(only, "", &mut found);
        let expected = [
            ("/a", true),
            ("/a/x", true),
            ("/a/y", true),
            ("/a-b", true),
            ("/b", false),
            ("/b/x", true),
            ("/b/x/z", true),
        ];
        assert_eq!(found, expected.map(|(name, is_named)| (name.to_owned(), is_named)));
    }

    #[test]
    fn names_that_are_not_below_the_source_or_none_at_all_are_refused() {
        let long = "x".repeat(256);
        let source = Name::parse("y".repeat(200).as_bytes()).unwrap();
        for name in ["/etc", "..", "a/../b", "../x", &long, &"x/".repeat(2100)] {
            checked(Path::new(name), Some(&source)).unwrap_err();
        }
        assert_eq!(checked(Path::new("./"), None), Ok(Below::default()));
    }

    #[test]
    fn names_of_thousands_of_components_cost_no_stack() {
        let mut names = Vec::new();
        for depth in 1..2_000 {
            names.push(vec!["x"; depth].join("/").into_bytes().into());
        }
        let (mut only, mut depth) = (Only::new(names), 0);
        while let Some((component, below)) = only.entries().next_entry() {
            (only, depth) = (below, depth + 1);
            assert!(component == b"x" && only.is_named());
        }
        assert_eq!(depth, 1_999);
    }
}
