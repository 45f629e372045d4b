//! The observer of a run, and its calls.

use std::path::Path;
use std::time::Duration;

use haul_protocol::Name;

use super::note::Note;
use super::status::{Attempt, Status};
use crate::error::FileError;

/// The observer of a run is told each event while the run goes on: on the thread that has started the run, one event
/// after the other.
///
/// Each method does nothing unless it is written. An observer that takes long makes the run wait. `()` is an observer
/// that wants to know nothing.
pub trait Observer {
    /// Whether the methods that say so are called, of which there is one call for each entry. Counts are the same either
    /// way. Asked once.
    fn wants_names(&self) -> bool {
        true
    }

    /// Whether the run looks at the size of each file before it is sent, for [`Status::bytes_found`]. Asked once.
    fn wants_sizes(&self) -> bool {
        false
    }

    /// The interval between calls of [`status`](Self::status); `None`: never. Asked once.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// The sources that can be read only once are read; from now on the run connects and sends.
    fn begun(&mut self) {}

    /// The progress of the run.
    fn status(&mut self, status: &Status) {
        let _ = status;
    }

    /// A file of `bytes` is committed. If names are wanted.
    fn file_done(&mut self, name: &Name, bytes: u64) {
        let _ = (name, bytes);
    }

    /// A symbolic link is committed. If names are wanted.
    fn symlink_done(&mut self, name: &Name) {
        let _ = name;
    }

    /// A directory has its final mode and mtime. If names are wanted.
    fn directory_done(&mut self, name: &Name) {
        let _ = name;
    }

    /// The server had the bytes of a file, which has got its mode and mtime. If names are wanted.
    fn adjusted(&mut self, name: &Name) {
        let _ = name;
    }

    /// The server has removed an entry that the source lacks. If names are wanted.
    fn removed(&mut self, name: &Name) {
        let _ = name;
    }

    /// An entry is left out as the options say. If names are wanted.
    fn left_out(&mut self, path: &Path, why: &str) {
        let _ = (path, why);
    }

    /// An entry is left out because it is of a kind that is not carried, or gone since it was found.
    fn skipped(&mut self, path: &Path, why: &str) {
        let _ = (path, why);
    }

    /// An entry failed for good. `path` is that of the source, or the option of `haul` that the failure is about.
    fn failed(&mut self, path: &Path, error: &FileError) {
        let _ = (path, error);
    }

    /// In a dry run: a change that would be made (`send`, `make`, `adjust`, `remove`), and the reason.
    fn would(&mut self, action: &str, name: &Name, why: &str, bytes: Option<u64>) {
        let _ = (action, name, why, bytes);
    }

    /// When source and server are compared: a name is `missing` at the server, `extra` there, or `differs`.
    fn differs(&mut self, finding: &str, name: &Name, why: Option<&str>) {
        let _ = (finding, name, why);
    }

    /// No connection is up, and the run tries to connect again.
    fn reconnecting(&mut self, attempt: &Attempt, why: &str) {
        let _ = (attempt, why);
    }

    /// Another fact that a user may want to know.
    fn note(&mut self, note: &Note) {
        let _ = note;
    }
}

impl Observer for () {
    fn wants_names(&self) -> bool {
        false
    }
}
