//! Commands on a server's files while no server runs. hauld, which knows the files, carries them
//! out; a user on that machine should not have to know which program does.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::exit;

/// Runs `hauld partials` with these words, and returns its exit code.
///
/// # Errors
/// If hauld is not installed on this machine, or can't be started.
pub fn partials(words: &[OsString]) -> anyhow::Result<u8> {
    let hauld = beside_this().unwrap_or_else(|| PathBuf::from("hauld"));
    match Command::new(hauld).arg("partials").args(words).status() {
        // Ended by a signal, it has no code.
        Ok(status) => {
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(anyhow::anyhow!(
            "partials are files of a server, and hauld is not installed here: run this on the \
             server's machine"
        )),
        Err(error) => Err(anyhow::anyhow!("could not start hauld: {error}")),
    }
}

/// The hauld that was installed together with this program.
fn beside_this() -> Option<PathBuf> {
    let name = format!("hauld{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.is_file().then_some(path)
}
