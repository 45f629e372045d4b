//! Rules that leave entries of a tree out: patterns of the command line and of `.haulignore` files, in
//! gitignore's syntax (gitignore(5)).

mod absent;
#[cfg(test)]
mod git;
mod glob;
mod known;
mod pattern;
mod rules;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{below, bytes, split, stdin};
use absent::Waits;
use glob::Flaw;
use known::{File, Found, Known};
use pattern::Pattern;
use rules::List;

use crate::error::rules::RulesError;

/// The name of a file with patterns for the directory that it is in.
const FILE: &str = ".haulignore";

/// The path of the file of rules in a directory.
pub(crate) fn rules_of(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Whether a path may be that of a file of rules.
pub(crate) fn is_rules(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE)
}

/// One rule of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A pattern: what fits it is left out.
    Exclude(String),
    /// A pattern: what fits it is taken all the same.
    Include(String),
    /// A file with a pattern a line.
    From(PathBuf),
}

/// The rules of a run, in their order: the last one that fits decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Adds one, which goes before those that are there.
    pub fn push(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files that rules are read from.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|rule| match rule {
            Rule::From(file) => Some(file.as_path()),
            Rule::Exclude(_) | Rule::Include(_) => None,
        })
    }

    /// The patterns that are rules by themselves, and their options.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter_map(|rule| match rule {
            Rule::Exclude(pattern) => Some(("--exclude", pattern.as_str())),
            Rule::Include(pattern) => Some(("--include", pattern.as_str())),
            Rule::From(_) => None,
        })
    }

    /// The number of files of rules that are standard input.
    #[must_use]
    pub fn reads_stdin(&self) -> usize {
        let is_stdin = |rule: &&Rule| matches!(rule, Rule::From(file) if stdin::is_stdin(file));
        self.0.iter().filter(is_stdin).count()
    }
}

/// The rules of a run can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A pattern fits nothing.
    #[error("the pattern `{pattern}` fits nothing: {flaw}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// Why.
        flaw: String,
    },
    /// A file can't be read, or a pattern in it fits nothing.
    #[error("--exclude-from: {0}")]
    File(#[from] RulesError),
}

/// Decides which entries are left out.
#[derive(Debug)]
pub struct Filter {
    given: List,
    known: Known,
    waits: Waits,
}

/// The rules of one file.
#[derive(Debug)]
struct Nearest {
    list: List,
    /// The bytes of a name, as seen from the source, that say where the directory of the file is.
    base: usize,
    /// The rules of the next directory above that has some.
    above: Option<Arc<Self>>,
}

impl Filter {
    /// From the rules of a run.
    ///
    /// # Errors
    /// If a pattern fits nothing, or a file can't be read.
    pub fn new(rules: &Rules) -> Result<Self, FilterError> {
        let mut given = List::default();
        let parse = |text: &str| match Pattern::parse(text.as_bytes()) {
            Some((_, Some(flaw))) => {
                Err(FilterError::Pattern { pattern: text.to_owned(), flaw: flaw.to_string() })
            }
            parsed => Ok(parsed.map(|(pattern, _)| pattern)),
        };
        for rule in &rules.0 {
            let pattern = match rule {
                Rule::Exclude(pattern) => parse(pattern)?,
                Rule::Include(pattern) => parse(&format!("!{pattern}"))?,
                Rule::From(file) => {
                    given.add_named(file)?;
                    None
                }
            };
            pattern.into_iter().for_each(|pattern| given.push(pattern));
        }
        Ok(Self { given, known: Known::default(), waits: Waits::default() })
    }

    /// Whether `path`, which is below the source `root`, is left out, the directories above it not
    /// considered.
    ///
    /// # Errors
    /// If that is not known, because rules can't be read.
    pub fn excludes(
        &self,
        root: &Path,
        path: &Path,
        is_dir: bool,
    ) -> Result<bool, Arc<RulesError>> {
        let directory = split(path).map_or(root, |(directory, _)| directory);
        self.excludes_by(root, directory, path, is_dir)
    }

    /// Whether an entry of a server is left out by the rules of the command line, the only ones that hold for it. `name` is
    /// that below its source.
    #[must_use]
    pub fn leaves_out(&self, name: &[u8], is_dir: bool) -> bool {
        self.given.leaves_out(name, is_dir).unwrap_or(false)
    }

    /// Whether `path` or a directory between it and `root` is left out.
    ///
    /// # Errors
    /// If that is not known, because rules can't be read.
    pub fn excludes_above(
        &self,
        root: &Path,
        path: &Path,
        is_dir: bool,
    ) -> Result<bool, Arc<RulesError>> {
        let above = path.ancestors().skip(1).take_while(|above| *above != root);
        let mut above: Vec<&Path> = above.collect();
        // From the top: if a directory is left out, so is everything below it.
        while let Some(directory) = above.pop() {
            if self.excludes(root, directory, true)? {
                return Ok(true);
            }
        }
        self.excludes(root, path, is_dir)
    }

    /// Reads the rules for what is in a directory, before anything in it is looked at. Tells lines that fit
    /// nothing, with their numbers. `found` is the directory's inode, if the walk has just looked at it.
    ///
    /// # Errors
    /// If they can't be read: then nothing in the directory may be sent or removed.
    pub fn enter(
        &self,
        root: &Path,
        directory: &Path,
        found: Option<[i64; 2]>,
        flawed: impl Fn(&Path, usize, &dyn std::fmt::Display),
    ) -> Result<(), Arc<RulesError>> {
        let Some(found) = self.of(root, directory, found)? else { return Ok(()) };
        if found.base == base(root, directory) {
            let flaws: &[(usize, Flaw)] = found.list.flaws();
            flaws.iter().for_each(|(line, flaw)| flawed(&directory.join(FILE), *line, flaw));
        }
        Ok(())
    }

    /// The same by the rules that hold in a directory above `path`, for a path that the source does not have.
    ///
    /// # Errors
    /// If that is not known, because rules can't be read.
    pub fn excludes_by(
        &self,
        root: &Path,
        directory: &Path,
        path: &Path,
        is_dir: bool,
    ) -> Result<bool, Arc<RulesError>> {
        let name = below(path, root);
        if name.as_os_str().is_empty() {
            return Ok(false);
        }
        // A name that has no bytes can't be sent; the walk tells that.
        let Ok(name) = bytes(name.as_os_str()) else { return Ok(false) };
        if let Some(decided) = self.given.leaves_out(&name, is_dir) {
            return Ok(decided);
        }
        let rules = self.of(root, directory, None)?;
        let mut nearest = rules.as_deref();
        while let Some(found) = nearest {
            let name = name.get(found.base..).unwrap_or_default();
            if let Some(decided) = found.list.leaves_out(name, is_dir) {
                return Ok(decided);
            }
            nearest = found.above.as_deref();
        }
        Ok(false)
    }

    /// The nearest rules for the entries of a directory below a source.
    fn of(&self, root: &Path, directory: &Path, found: Option<[i64; 2]>) -> Found {
        if let Some(known) = self.known.rules(root, directory) {
            return known;
        }
        let above = match directory.parent() {
            Some(parent) if directory != root => self.of(root, parent, None),
            _ => Ok(None),
        };
        let rules = above.and_then(|above| {
            let path = directory.join(FILE);
            let found = List::of_directory(&path, found, &self.waits);
            let file = match &found {
                Ok(None) => File::Absent,
                Ok(Some((_, stamp))) => File::Is(*stamp),
                Err(_) => File::Unreadable,
            };
            if !self.known.is_same(directory, file) {
                return Err(Arc::new(RulesError::Changed(path)));
            }
            Ok(match found? {
                Some((list, _)) => {
                    Some(Arc::new(Nearest { list, base: base(root, directory), above }))
                }
                None => above,
            })
        });
        self.known.keep(root, directory, &rules);
        rules
    }

    /// Whether the file of rules in a directory, if there was one when the directory was walked, is what it was.
    #[must_use]
    pub fn is_as_read(&self, directory: &Path) -> bool {
        !self.known.has_file(directory) || {
            let now = List::of_directory(&directory.join(FILE), None, &self.waits);
            let now =
                now.map_or(File::Unreadable, |now| now.map_or(File::Absent, |now| File::Is(now.1)));
            self.known.is_same(directory, now)
        }
    }

    /// The walk is over. If rules have to be read again, they must be what they were: the server has what those allowed.
    pub fn is_walked(&self) {
        self.known.is_walked();
    }

    /// Everything is walked once more. Rules are read again, and must be what they were: what they left out may be at the
    /// server, and what they leave out now must not be sent.
    pub fn walks_again(&self) {
        self.known.walks_again();
    }

    /// Everything is walked once more, with the rules that there are now.
    pub fn forget(&self) {
        self.known.forget();
    }

    /// A file of rules that had to be read again, and is not what it was.
    #[must_use]
    pub fn changed(&self) -> Option<PathBuf> {
        self.known.changed().map(|directory| directory.join(FILE))
    }
}

/// The length of the path with which the names of a directory's entries begin, as seen from the source.
fn base(root: &Path, directory: &Path) -> usize {
    match below(directory, root).as_os_str().len() {
        0 => 0,
        len => len + 1,
    }
}
