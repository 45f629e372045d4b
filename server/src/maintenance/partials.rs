//! `hauld partials`: partials and drafts that interrupted uploads and publishes have left, listed and removed while no server
//! runs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use haul_protocol::Shown;
use humansize::{BINARY, format_size};
use nix::unistd::{Uid, User};
use rustix::fs::Mode;

use crate::error::StartError;
use crate::store::{OpenError, Store};

/// A command about partials and drafts.
#[derive(Debug, Clone, Subcommand)]
pub enum Partials {
    /// Shows each partial: id, how much of it is held, since when, and its name; then each draft of a directory: its size,
    /// since when, and the directory.
    List(Where),
    /// Removes partials and drafts; what has been sent of these files and versions is sent again.
    Clean {
        /// Where.
        #[command(flatten)]
        root: Where,
        /// Only those to which nothing was added for this time, such as 2d.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        older_than: Option<Duration>,
    },
}

/// The root of the partials.
#[derive(Debug, Clone, Args)]
pub struct Where {
    /// Directory that uploads go to.
    #[arg(long, value_name = "DIR", env = "HAULD_ROOT")]
    root: PathBuf,
}

impl Partials {
    /// Does it, and tells on standard output.
    ///
    /// # Errors
    /// If the root can't be opened or is served, or a partial can't be removed.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), StartError> {
        match self {
            Self::List(at) => {
                let store = at.open()?;
                for partial in store.listed() {
                    let held = format_size(partial.held, BINARY);
                    let size = format_size(partial.size, BINARY);
                    let age =
                        humantime::format_duration(Duration::from_secs(partial.age.as_secs()));
                    writeln!(
                        out,
                        "{}  {held} of {size}  {age}  {}",
                        partial.id,
                        Shown(partial.name)
                    )?;
                }
                for draft in store.left_drafts() {
                    let (size, count) = (format_size(draft.bytes, BINARY), draft.entries);
                    let entries = if count == 1 { "entry" } else { "entries" };
                    let age = humantime::format_duration(Duration::from_secs(draft.age.as_secs()));
                    let (home, name) = (draft.home.escape_debug(), Shown(draft.name));
                    writeln!(out, "{home}  draft  {size} in {count} {entries}  {age}  {name}")?;
                }
            }
            Self::Clean { root, older_than } => {
                let store = root.open()?;
                let (mut count, mut bytes, mut first) = (0, 0, Ok(()));
                for partial in store.listed() {
                    if older_than.is_some_and(|older| partial.age < older) {
                        continue;
                    }
                    match store.forget(&partial.id).map_err(io::Error::from) {
                        Ok(_) => {
                            count += 1;
                            bytes += partial.bytes;
                        }
                        Err(error) => {
                            writeln!(
                                out,
                                "could not remove {}: {error}",
                                partial.id.escape_debug()
                            )?;
                            first = first.and(Err(error));
                        }
                    }
                }
                let mut drafts = 0;
                for draft in store.left_drafts() {
                    if older_than.is_some_and(|older| draft.age < older) {
                        continue;
                    }
                    match store.forget_left_draft(&draft).map_err(io::Error::from) {
                        Ok(()) => {
                            drafts += 1;
                            bytes += draft.bytes;
                        }
                        Err(error) => {
                            let home = draft.home.escape_debug();
                            writeln!(out, "could not remove the draft {home}: {error}")?;
                            first = first.and(Err(error));
                        }
                    }
                }
                let drafts = match drafts {
                    0 => String::new(),
                    1 => String::from(" and 1 draft"),
                    drafts => format!(" and {drafts} drafts"),
                };
                let plural = if count == 1 { "" } else { "s" };
                let bytes = format_size(bytes, BINARY);
                writeln!(out, "removed {count} partial{plural}{drafts}, {bytes}")?;
                first?;
            }
        }
        Ok(())
    }
}

impl Where {
    fn open(&self) -> Result<Store, StartError> {
        if !self.root.join(".haul").is_dir() {
            let root = self.root.display();
            return Err(StartError::Root(format!("`{root}` is not the root of a server")));
        }
        let umask = Mode::from_raw_mode(0o077);
        Store::open(&self.root, umask, false, 0).map_err(|error| match error {
            OpenError::NotOurs { path, owner, .. } if path.ends_with(".haul") => {
                StartError::Root(not_ours(&path, owner))
            }
            error => StartError::Root(error.to_string()),
        })
    }
}

/// A directory belongs to the user of a server, as whom the command is to be run. If it belonged to the caller, that server would not
/// start any more.
fn not_ours(path: &Path, owner: u32) -> String {
    let user = User::from_uid(Uid::from_raw(owner)).ok().flatten();
    let (name, word) = match &user {
        Some(user) => (format!("`{}`", user.name), user.name.clone()),
        None => (owner.to_string(), format!("'#{owner}'")),
    };
    let path = path.display();
    format!(
        "`{path}` belongs to user {name}: run this as that user, such as by: sudo -u {word} hauld partials"
    )
}
