//! Sources that a user gives and no walk finds: standard input, named streams, the output of a command.

use std::sync::Arc;

use super::{Plan, Root};
use crate::error::FileError;
use crate::source::command;
use crate::source::command::Line;
use crate::source::links::Links;
use crate::source::spool::Opened;
use crate::source::stdin;

/// Where the bytes of a source come from.
#[derive(Debug, Clone, Default)]
pub enum Given {
    /// From what is found at its path.
    #[default]
    Path,
    /// From standard input, which is not read yet.
    Stdin,
    /// From a command, which is not started yet.
    Command(Line),
    /// From a file that is open.
    Opened(Arc<Opened>),
    /// From nowhere: it can't be sent.
    Failed(Arc<FileError>),
}

/// Has descriptors of directories as sources under the paths that they have now. Nothing is opened or waited for.
#[cfg(unix)]
pub fn find_directories(plan: &mut Plan) {
    for root in plan.roots.iter_mut().filter(|root| matches!(root.given, Given::Path)) {
        if let Some(path) = crate::source::fifo::directory(&root.source) {
            root.source = path;
        }
    }
}

/// There are no such names here.
#[cfg(not(unix))]
pub fn find_directories(_: &mut Plan) {}

/// Reads whatever can be read only once, one after the other, before anything is sent: a server would wait meanwhile.
/// `false`: `stopped`, since the user has had enough.
pub fn take(plan: &mut Plan, links: Links, stopped: &dyn Fn() -> bool) -> bool {
    for root in &mut plan.roots {
        root.given = match take_one(root, links, stopped) {
            Ok(given) => given,
            Err(error) => Given::Failed(Arc::new(error)),
        };
        if stopped() {
            return false;
        }
    }
    true
}

fn take_one(root: &Root, links: Links, stopped: &dyn Fn() -> bool) -> Result<Given, FileError> {
    let opened = match &root.given {
        Given::Stdin => stdin::read(stopped)?,
        Given::Command(command) => command::output(command, stopped)?,
        Given::Path => return named(root, links, stopped),
        Given::Opened(_) | Given::Failed(_) => return Ok(root.given.clone()),
    };
    Ok(opened.map_or(Given::Path, |opened| Given::Opened(Arc::new(opened))))
}

#[cfg(unix)]
fn named(root: &Root, links: Links, stopped: &dyn Fn() -> bool) -> Result<Given, FileError> {
    use crate::source::Source;
    use crate::source::fifo::{Named, Stream, named};
    use crate::source::spool::{keep, settled};
    let opened = match named(&root.source, links)? {
        Named::Ordinary => return Ok(Given::Path),
        Named::Opened(file) => {
            let source = settled(Source::of(file)?, u64::MAX, stopped)?;
            Some(Opened::from_source(source))
        }
        Named::Stream(file) => {
            let stream = Stream::new(file);
            keep(&stream, u64::MAX, &|| stream.wait(stopped))?
        }
    };
    Ok(opened.map_or(Given::Path, |opened| Given::Opened(Arc::new(opened))))
}

/// There are no such names here.
#[cfg(not(unix))]
fn named(_: &Root, _: Links, _: &dyn Fn() -> bool) -> Result<Given, FileError> {
    Ok(Given::Path)
}
