//! Reading files that have secrets in them: only if no other user can.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::credentials::CredentialsError;

/// Bytes of a file that are read at most.
const LONGEST: u64 = 1 << 20;

/// The bytes of a file that only its owner may read, and that is this user's or the system's.
///
/// # Errors
/// If others may read or write it, it is another user's, or it can't be read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let failed = |source| CredentialsError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    check(&file, path)?;
    let len = file.metadata().map_err(failed)?.len().min(LONGEST);
    // With all its room from the start: a buffer that grows leaves copies behind.
    let room = usize::try_from(len).unwrap_or(0).max(4096) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Whether the file that is open is for this user only. A pipe of a shell is.
#[cfg(unix)]
fn check(file: &File, path: &Path) -> Result<(), CredentialsError> {
    use std::os::unix::fs::MetadataExt;

    let found = file
        .metadata()
        .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return Err(CredentialsError::Foreign(path.to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(CredentialsError::Open(path.to_owned()));
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have modes")]
fn check(_: &File, _: &Path) -> Result<(), CredentialsError> {
    Ok(())
}
