//! The identity of a client: a text that stays the same across the runs of one user on one machine, so that a server
//! lets a later run go on with the parts that an earlier one left.
//!
//! It is a digest, because the machine's own id is nobody else's business, and nothing is proved by
//! it: it keeps users apart who don't mean harm.

use std::fs::File;
use std::io::Read;

use haul_protocol::{FileHasher, Token};

/// Makes the digest one that is used for nothing else.
const CONTEXT: &[u8] = b"haul 2026 identity of a user on a machine";

/// Where Linux keeps an id that each installation has for itself; other systems have the host name.
const MACHINE_ID: &str = "/etc/machine-id";

/// The identity of the user who runs this.
#[must_use]
pub fn identity() -> String {
    of(&[&machine().unwrap_or_default(), &platform::host(), &platform::user()])
}

/// The id of the machine. The file has 33 bytes, so one read is enough.
fn machine() -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    let read = File::open(MACHINE_ID)?.read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Each piece goes in with its length, so that no two lists look the same.
fn of(pieces: &[&[u8]]) -> String {
    let mut hasher = FileHasher::new();
    hasher.update(CONTEXT);
    for piece in pieces {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finish().0[..16]);
    Token(bytes).to_string()
}

#[cfg(unix)]
mod platform {
    pub(super) fn host() -> Vec<u8> {
        rustix::system::uname().nodename().to_bytes().to_vec()
    }

    pub(super) fn user() -> Vec<u8> {
        rustix::process::geteuid().as_raw().to_string().into_bytes()
    }
}

#[cfg(not(unix))]
mod platform {
    fn first(variables: &[&str]) -> Vec<u8> {
        let found = variables.iter().find_map(|variable| std::env::var(variable).ok());
        found.unwrap_or_default().into_bytes()
    }

    pub(super) fn host() -> Vec<u8> {
        first(&["COMPUTERNAME", "HOSTNAME"])
    }

    pub(super) fn user() -> Vec<u8> {
        first(&["USERNAME", "USER"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_stays_the_same_and_differs_with_each_piece() {
        assert_eq!(identity(), identity());
        assert_eq!(identity().len(), 32);
        let all = [of(&[b"a", b"b"]), of(&[b"ab", b""]), of(&[b"", b"ab"]), of(&[b"a", b"c"])];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one));
        }
    }
}
