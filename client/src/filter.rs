//! Which entries of a tree are left out: patterns of the command line and of `.haulignore` files, in
//! gitignore's syntax (gitignore(5)).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use thiserror::Error;

use crate::source::below;

/// The name of a file with patterns for the directory that it is in.
const FILE: &str = ".haulignore";

/// Directories whose patterns are remembered; more are forgotten all at once.
const REMEMBERED: usize = 1024;

/// One rule of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Exclude(String),
    Include(String),
    /// A file with a pattern a line.
    From(PathBuf),
}

/// The rules of the command line, in their order: the last one that fits decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// A pattern makes no sense, or a file of patterns can't be read.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct FilterError(#[from] ignore::Error);

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";
const FROM: &str = "exclude_from";

// By hand, because clap tells the order of different options only by their positions.
impl Args for Rules {
    fn augment_args(command: clap::Command) -> clap::Command {
        let rule = |id: &'static str| Arg::new(id).action(ArgAction::Append);
        command
            .arg(rule(EXCLUDE).long("exclude").value_name("PATTERN").help(
                "Leave out what fits, in gitignore's syntax, relative to SRC: `*.o`, `/build/`. The \
                 last of all rules that fits decides; they go before those of `.haulignore` files",
            ))
            .arg(
                rule(INCLUDE)
                    .long("include")
                    .value_name("PATTERN")
                    .help("Take what fits all the same; as `--exclude '!PATTERN'`"),
            )
            .arg(
                rule(FROM)
                    .long("exclude-from")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("Leave out what fits a line of FILE"),
            )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, Rule)> = Vec::new();
        for (id, rule) in [(EXCLUDE, Rule::Exclude as fn(String) -> Rule), (INCLUDE, Rule::Include)]
        {
            let values = matches.get_many::<String>(id).unwrap_or_default().cloned();
            found.extend(matches.indices_of(id).unwrap_or_default().zip(values.map(rule)));
        }
        let values = matches.get_many::<PathBuf>(FROM).unwrap_or_default().cloned();
        found.extend(matches.indices_of(FROM).unwrap_or_default().zip(values.map(Rule::From)));
        found.sort_by_key(|(position, _)| *position);
        Ok(Self(found.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Decides what is left out.
#[derive(Debug)]
pub struct Filter {
    given: Gitignore,
    files: Mutex<Files>,
}

/// By source and directory below it, the nearest patterns for what is in that directory.
type Files = HashMap<PathBuf, HashMap<PathBuf, Option<Arc<Patterns>>>>;

/// The patterns of one file.
#[derive(Debug)]
struct Patterns {
    patterns: Gitignore,
    /// Those of the next directory above that has some.
    above: Option<Arc<Self>>,
}

impl Filter {
    /// From the rules of the command line.
    ///
    /// # Errors
    /// If a pattern makes no sense, or a file can't be read.
    pub fn new(rules: &Rules) -> Result<Self, FilterError> {
        let mut given = GitignoreBuilder::new("");
        for rule in &rules.0 {
            match rule {
                // A line of a file may be a comment, a word of the command line is none.
                Rule::Exclude(pattern) if pattern.starts_with('#') => {
                    given.add_line(None, &format!("\\{pattern}"))?;
                }
                Rule::Exclude(pattern) => {
                    given.add_line(None, pattern)?;
                }
                Rule::Include(pattern) => {
                    given.add_line(None, &format!("!{pattern}"))?;
                }
                Rule::From(file) => {
                    if let Some(error) = given.add(file) {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(Self { given: given.build()?, files: Mutex::default() })
    }

    /// Whether `path`, which is below the source `root`, is left out, the directories above it not
    /// considered.
    #[must_use]
    pub fn excludes(&self, root: &Path, path: &Path, is_dir: bool) -> bool {
        let below = below(path, root);
        if below.as_os_str().is_empty() {
            return false;
        }
        match self.given.matched(below, is_dir) {
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
            Match::None => {}
        }
        let mut rules = path.parent().and_then(|directory| self.of(root, directory));
        while let Some(found) = rules {
            match found.patterns.matched(path, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = found.above.clone(),
            }
        }
        false
    }

    /// Whether `path` or a directory between it and `root` is left out.
    #[must_use]
    pub fn excludes_above(&self, root: &Path, path: &Path, is_dir: bool) -> bool {
        self.excludes(root, path, is_dir)
            || path
                .ancestors()
                .skip(1)
                .take_while(|above| *above != root)
                .any(|above| self.excludes(root, above, true))
    }

    /// The nearest patterns for what is in a directory below a source.
    fn of(&self, root: &Path, directory: &Path) -> Option<Arc<Patterns>> {
        let known = |files: &Files| files.get(root)?.get(directory).cloned();
        if let Some(known) = known(&self.files()) {
            return known;
        }
        let above = match directory.parent() {
            Some(parent) if directory != root => self.of(root, parent),
            _ => None,
        };
        let file = directory.join(FILE);
        let rules = if file.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            let mut patterns = GitignoreBuilder::new(directory);
            // A line that makes no sense fits nothing, as in git.
            let _ = patterns.add(file);
            let patterns = patterns.build().unwrap_or_else(|_| Gitignore::empty());
            Some(Arc::new(Patterns { patterns, above }))
        } else {
            above
        };
        let mut files = self.files();
        let files = files.entry(root.to_owned()).or_default();
        if files.len() == REMEMBERED {
            files.clear();
        }
        files.insert(directory.to_owned(), rules.clone());
        rules
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
