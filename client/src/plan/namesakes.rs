//! Sources that send entries to the same names: the server keeps only one file of a name, and no file where a directory is.
//!
//! The answers come from the sources as they are now, and not from what a walk has seen: a file that a killed run has sent
//! may be gone here, and the walk of the other source may not have begun.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};

use haul_protocol::Name;

use super::given::Given;
use super::policy::Policy;
use super::{Plan, Root};
use crate::source::links::Links;
use crate::source::{from_bytes, identity, stamp};

/// Kinds of entries of which only one sort can have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Directories: several sources may fill one.
    Directory,
    /// Files and symlinks.
    Other,
}

/// An entry that a source sends; if its sort is not known, one that the source may send.
#[derive(Debug)]
struct Sends {
    path: PathBuf,
    sort: Option<Sort>,
}

/// The sources of a plan by their targets.
#[derive(Debug)]
pub struct Namesakes<'a> {
    roots: &'a [Root],
    /// For each target, the sources that have it. The server's root is the empty target.
    targets: HashMap<&'a [u8], Vec<usize>>,
}

impl<'a> Namesakes<'a> {
    /// Of the sources of a plan.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let mut targets: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for (index, root) in plan.roots.iter().enumerate() {
            targets.entry(target(root)).or_default().push(index);
        }
        Self { roots: &plan.roots, targets }
    }

    /// Another file or symlink than that at `path`, which the run sends or may send to the same name. A source that can't be
    /// looked at may have one.
    #[must_use]
    pub fn other(&self, path: &Path, name: &Name, policy: &Policy) -> Option<PathBuf> {
        if self.roots.len() < 2 {
            return None;
        }
        let own = path.symlink_metadata().ok();
        let is_other = |found: &PathBuf| found != path && !is_same(own.as_ref(), found);
        let mut candidates = self.candidates(name);
        candidates.find_map(|(index, rest)| {
            let found = sends(&self.roots[index], rest, policy);
            let found = found.filter(|found| found.sort != Some(Sort::Directory));
            found.map(|found| found.path).filter(is_other)
        })
    }

    /// The sort of entry that the first source before `root` sends to a name, if one does. `seems`: if a source can't be looked
    /// at, it has this sort.
    #[must_use]
    pub fn earlier(&self, root: &Root, name: &Name, seems: Sort, policy: &Policy) -> Option<Sort> {
        let end = self.roots.iter().position(|known| std::ptr::eq(known, root));
        let end = end.unwrap_or(self.roots.len());
        let candidates = self.candidates(name).filter(|(index, _)| *index < end);
        let sends = |(index, rest)| Some((index, sends(&self.roots[index], rest, policy)?.sort));
        // Sources that can't be looked at come last.
        let first =
            candidates.filter_map(sends).min_by_key(|(index, sort)| (sort.is_none(), *index));
        first.map(|(_, sort)| sort.unwrap_or(seems))
    }

    /// Whether a source before `root` has a directory of a name: that one gives it mode and mtime.
    #[must_use]
    pub fn has_earlier_directory(&self, root: &Root, name: &Name, policy: &Policy) -> bool {
        let end = self.roots.iter().position(|known| std::ptr::eq(known, root));
        let mut earlier = self.candidates(name).filter(|(index, _)| Some(*index) < end);
        earlier.any(|(index, rest)| {
            let earlier = &self.roots[index];
            let path = earlier.source.join(from_bytes(rest));
            let excludes = || policy.filter.excludes_above(&earlier.source, &path, true);
            let is_directory = policy.links.look(&path).is_ok_and(|found| found.is_dir());
            is_directory
                && !is_behind_symlink(earlier, &path, policy)
                && !matches!(excludes(), Ok(true))
        })
    }

    /// The sources that may have something of a name, and its name in each.
    fn candidates<'n>(&'n self, name: &'n Name) -> impl Iterator<Item = (usize, &'n [u8])> {
        let name = name.as_bytes();
        let slashes = (0..name.len()).rev().filter(|&at| name[at] == b'/');
        let below = slashes.map(|at| (&name[..at], &name[at + 1..]));
        let all = std::iter::once((name, &b""[..])).chain(below);
        let all = all.chain(std::iter::once((&b""[..], name)));
        all.flat_map(|(target, rest)| {
            let found = self.targets.get(target).map_or(&[][..], Vec::as_slice);
            found.iter().map(move |&index| (index, rest))
        })
    }
}

fn target(root: &Root) -> &[u8] {
    root.target.as_ref().map_or(b"", Name::as_bytes)
}

/// The entry that a source sends under `rest` of its target, or that it may send.
fn sends(root: &Root, rest: &[u8], policy: &Policy) -> Option<Sends> {
    let itself = rest.is_empty();
    let path = if itself { root.source.clone() } else { root.source.join(from_bytes(rest)) };
    let is = |sort, path| Sends { path, sort: Some(sort) };
    let may_be = |path| Sends { path, sort: None };
    if itself && root.contents {
        return Some(is(Sort::Directory, path));
    }
    if !matches!(root.given, Given::Path) {
        return itself.then(|| is(Sort::Other, path));
    }
    let found = match policy.links.look(&path) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
            // Of a source that is not there nobody knows what is in it.
            let is_known = itself || root.source.metadata().is_ok();
            return (!is_known).then(|| may_be(root.source.clone()));
        }
        Err(_) => return Some(may_be(path)),
    };
    let is_sent = found.is_file() || (found.is_symlink() && policy.links == Links::Copy);
    let sort = if found.is_dir() { Sort::Directory } else { Sort::Other };
    if !(is_sent || found.is_dir()) || (!itself && is_behind_symlink(root, &path, policy)) {
        return None;
    }
    let excludes = || policy.filter.excludes_above(&root.source, &path, found.is_dir());
    (itself || !matches!(excludes(), Ok(true))).then(|| is(sort, path))
}

/// Whether a symlink leads to a path from its source, through which no walk goes.
fn is_behind_symlink(root: &Root, path: &Path, policy: &Policy) -> bool {
    let mut above = path.ancestors().skip(1).take_while(|above| *above != root.source);
    policy.links != Links::Follow
        && above.any(|above| above.symlink_metadata().is_ok_and(|found| found.is_symlink()))
}

/// Whether a path leads to this very file, by another name of it perhaps. Some platforms don't tell, and some file systems give
/// several files one number.
fn is_same(own: Option<&Metadata>, path: &Path) -> bool {
    let own = own.filter(|own| identity(own) != [0; 2]).map(stamp);
    own.is_some() && own == path.symlink_metadata().ok().as_ref().map(stamp)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, create_dir_all, write};

    use tempfile::TempDir;

    use super::*;
    use crate::plan::policy::Mode;
    use crate::source::filter::{Filter, Rules};

    fn policy() -> Policy {
        Policy::new(Mode::Put, Filter::new(&Rules::default()).unwrap())
    }

    /// A plan that sends the contents of these directories, and `x` of its place.
    fn plan(place: &TempDir, contents: &[&str]) -> Plan {
        let mut sources: Vec<PathBuf> =
            contents.iter().map(|name| place.path().join(format!("{name}/"))).collect();
        sources.push(place.path().join("x"));
        Plan::new(&sources, Name::parse(b"d").ok().as_ref(), None).unwrap()
    }

    #[test]
    fn file_of_another_source_has_the_same_name_and_a_directory_or_what_is_left_out_has_not() {
        let place = TempDir::new().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["a/in", "b/in/x", "b/y"] {
            create_dir_all(path(name)).unwrap();
        }
        for name in ["a/x", "a/y", "a/in/x", "a/in/z", "b/in/z", "x"] {
            write(path(name), name).unwrap();
        }
        write(path("b/.haulignore"), "z\n").unwrap();
        let (plan, policy) = (plan(&place, &["a", "b"]), policy());
        let names = Namesakes::new(&plan);
        let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
        let other = |own: &str, to: &str| names.other(&path(own), &name(to), &policy);
        assert_eq!(other("a/x", "d/x"), Some(path("x")));
        assert_eq!(other("x", "d/x"), Some(path("a/x")));
        for own in ["y", "in/x", "in/z"] {
            assert_eq!(other(&format!("a/{own}"), &format!("d/{own}")), None, "{own}");
        }
        write(path("b/in/y"), "").unwrap();
        write(path("a/in/y"), "").unwrap();
        assert_eq!(other("a/in/y", "d/in/y"), Some(path("b/in/y")));
        let earlier =
            |root: usize, to| names.earlier(&plan.roots[root], &name(to), Sort::Other, &policy);
        assert_eq!([0, 1].map(|root| earlier(root, "d/in/y")), [None, Some(Sort::Other)]);
        // The first source has a file there, and the second a directory.
        assert_eq!(
            [0, 1, 2].map(|root| earlier(root, "d/in")),
            [None, Some(Sort::Directory), Some(Sort::Directory)]
        );
        assert_eq!([1, 2].map(|root| earlier(root, "d/y")), [Some(Sort::Other); 2]);
        assert_eq!(earlier(2, "d/z"), None);
    }

    #[test]
    fn source_that_is_not_there_may_have_any_name() {
        let place = TempDir::new().unwrap();
        create_dir(place.path().join("a")).unwrap();
        write(place.path().join("a/y"), "").unwrap();
        let (plan, policy) = (plan(&place, &["a", "b"]), policy());
        let names = Namesakes::new(&plan);
        let (path, name) = (place.path().join("a/y"), Name::parse(b"d/y").unwrap());
        assert!(names.other(&path, &name, &policy).is_some());
        create_dir(place.path().join("b")).unwrap();
        assert_eq!(names.other(&path, &name, &policy), None);
    }

    #[cfg(unix)]
    #[test]
    fn file_that_two_sources_have_both_is_not_another_one() {
        let place = TempDir::new().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["a", "b"] {
            create_dir(path(name)).unwrap();
        }
        write(path("a/y"), "").unwrap();
        std::fs::hard_link(path("a/y"), path("b/y")).unwrap();
        let (plan, policy) = (plan(&place, &["a", "b"]), policy());
        let name = Name::parse(b"d/y").unwrap();
        assert_eq!(Namesakes::new(&plan).other(&path("a/y"), &name, &policy), None);
    }
}
