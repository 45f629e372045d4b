//! The limit of open files, for chores with thousands of connections.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those that it starts, open as many files as may be.
///
/// # Errors
/// If fewer may be open than are wanted.
pub fn allow(wanted: u64) -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let enough = most.is_none_or(|most| most >= wanted);
    ensure!(enough, "the server needs {wanted} open files for so many connections; see ulimit -Hn");
    Ok(())
}
