//! The plan of a run: sources become names on the server before anything is sent.

pub mod given;
pub mod namesakes;
pub mod policy;

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use haul_protocol::Name;
use thiserror::Error;

use crate::error::FileError;
use crate::error::system::words;
use crate::source::bytes;
use crate::source::file_list::{Names, Separator};
use given::Given;

/// One source, and its name at the server.
#[derive(Debug, Clone)]
pub struct Root {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Its name on the server. `None`: its contents go into the server's root.
    pub target: Option<Name>,
    /// The directory's contents go to the target, the directory itself does not.
    pub contents: bool,
    /// Its bytes, if they are not found there.
    pub given: Given,
}

/// The sources of one run, and their names at the server.
#[derive(Debug)]
pub struct Plan {
    /// In the order in which they were given.
    pub roots: Vec<Root>,
    /// Only these names below the one root, which is a directory.
    pub named: Option<Mutex<Names>>,
}

/// The sources of a run make no sense together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Two sources would be the same file there.
    #[error("`{first}` and `{second}` would both be stored as `{target}`")]
    SameTarget {
        /// One source.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The name they share.
        target: Name,
    },
    /// `--as` with anything but one file.
    #[error("--as takes a single file")]
    RenameMany,
    /// A list of names below anything but one directory.
    #[error("--files-from takes one SRC, the directory that the names are below")]
    NamedMany,
    /// A list of names can't be opened.
    #[error("--files-from {path}: {}", words(source), path = path.display())]
    Names {
        /// The list.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// `--as` gives no name.
    #[error("--as {name}: {source}")]
    Rename {
        /// The name as given.
        name: String,
        /// The reason.
        source: FileError,
    },
    /// A source's name can't be sent.
    #[error("`{path}`: {source}")]
    Name {
        /// The source.
        path: PathBuf,
        /// The reason.
        source: FileError,
    },
}

impl Plan {
    /// Decides the target of every source.
    ///
    /// # Errors
    /// If two sources share a target, or a name is not one.
    pub fn new(
        sources: &[PathBuf],
        path: Option<&Name>,
        rename: Option<&str>,
    ) -> Result<Self, PlanError> {
        if rename.is_some() && (sources.len() != 1 || sources.iter().any(|path| path.is_dir())) {
            return Err(PlanError::RenameMany);
        }
        let mut roots = Vec::with_capacity(sources.len());
        let mut seen: HashMap<Name, &PathBuf> = HashMap::new();
        for source in sources {
            let root = root(source, path, rename).map_err(|error| match rename {
                Some(name) => PlanError::Rename { name: name.to_owned(), source: error },
                None => PlanError::Name { path: source.clone(), source: error },
            })?;
            if let (false, Some(target)) = (root.contents, &root.target)
                && let Some(first) = seen.insert(target.clone(), source)
            {
                return Err(PlanError::SameTarget {
                    first: first.clone(),
                    second: source.clone(),
                    target: target.clone(),
                });
            }
            roots.push(root);
        }
        Ok(Self { roots, named: None })
    }
}

impl Plan {
    /// One file that is not found by its path; `label` names it in messages.
    ///
    /// # Errors
    /// If `name` is not one.
    pub fn single(
        given: Given,
        label: PathBuf,
        path: Option<&Name>,
        name: &str,
    ) -> Result<Self, PlanError> {
        let target = match path {
            Some(path) => path.join(name.as_bytes()),
            None => Name::parse(name.as_bytes()),
        };
        let target = target
            .map_err(|error| PlanError::Rename { name: name.into(), source: error.into() })?;
        let root = Root { source: label, target: Some(target), contents: false, given };
        Ok(Self { roots: vec![root], named: None })
    }

    /// The same, but only for the names in a list.
    ///
    /// # Errors
    /// If there is not one directory that they are below, or the list can't be opened.
    pub fn only(mut self, list: &Path, separator: Separator) -> Result<Self, PlanError> {
        match self.roots.as_slice() {
            [root] if root.source.is_dir() => {}
            _ => return Err(PlanError::NamedMany),
        }
        let opened = Names::open(list, separator);
        let names = opened.map_err(|source| PlanError::Names { path: list.to_owned(), source })?;
        self.named = Some(Mutex::new(names));
        Ok(self)
    }
}

fn root(source: &Path, path: Option<&Name>, rename: Option<&str>) -> Result<Root, FileError> {
    let contents = rename.is_none() && means_contents(source);
    let last = match (contents, rename, source.file_name()) {
        (true, _, _) => None,
        (false, Some(name), _) => Some(std::borrow::Cow::Borrowed(name.as_bytes())),
        (false, None, Some(name)) => Some(bytes(name)?),
        (false, None, None) => None,
    };
    let target = match (path, last) {
        (path, None) => path.cloned(),
        (Some(path), Some(last)) => Some(path.join(&last)?),
        (None, Some(last)) => Some(Name::parse(&last)?),
    };
    Ok(Root { source: source.to_owned(), contents, target, given: Given::Path })
}

/// `DIR/`, `.` and `..` mean what is inside.
fn means_contents(source: &Path) -> bool {
    let text = source.as_os_str().as_encoded_bytes();
    let dot = matches!(
        source.components().next_back(),
        Some(Component::CurDir | Component::ParentDir | Component::RootDir)
    );
    dot || text.ends_with(b"/") || text.ends_with(b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(source: &str, path: Option<&str>) -> (Option<String>, bool) {
        let path = path.map(|path| Name::parse(path.as_bytes()).unwrap());
        let plan = Plan::new(&[source.into()], path.as_ref(), None).unwrap();
        let root = &plan.roots[0];
        (root.target.as_ref().map(Name::to_string), root.contents)
    }

    #[test]
    fn a_directory_goes_itself_and_with_a_slash_its_contents() {
        assert_eq!(target("a/b", None), (Some("b".into()), false));
        assert_eq!(target("a/b", Some("to/x")), (Some("to/x/b".into()), false));
        assert_eq!(target("a/b/", Some("x")), (Some("x".into()), true));
        assert_eq!(target("a/b/", None), (None, true));
        for contents in [".", "..", "a/..", "a/.", "/", "./"] {
            assert_eq!(target(contents, None), (None, true), "{contents}");
        }
    }

    #[test]
    fn two_sources_of_one_target_are_refused() {
        let error = Plan::new(&["a/x".into(), "b/x".into()], None, None).unwrap_err();
        assert_eq!(error.to_string(), "`a/x` and `b/x` would both be stored as `x`");
    }

    #[test]
    fn rename_takes_one_file() {
        let plan = Plan::new(&["a/x".into()], None, Some("y/z")).unwrap();
        assert_eq!(plan.roots[0].target, Name::parse(b"y/z").ok());
        assert!(Plan::new(&["a".into(), "b".into()], None, Some("y")).is_err());
        assert!(Plan::new(&["a".into()], None, Some("../y")).is_err());
    }
}
