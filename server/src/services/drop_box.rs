//! The directory of one client of a drop account. Each run gets one of its own, so nothing that is there can be replaced, and
//! no answer tells whether something is there.

use std::time::{SystemTime, UNIX_EPOCH};

use haul_protocol::{Code, Digest, Name};

use super::Services;
use crate::accounts::{Account, View};
use crate::refusal::Refusal;

/// Letters of the name that only the client's own name gives. It is random, and nobody is told it.
const LETTERS: usize = 10;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Days after which a client that comes back gets another directory.
const DAYS: i64 = 7;

const SECONDS_OF_A_DAY: i64 = 86_400;

impl Services {
    /// The view of a client of a drop account: a directory with the day and letters that the client's name gives. The client
    /// gets the same one when it has lost its connections, also over a restart of the server. A run that has sent nothing
    /// before midnight may get one of each day.
    pub(crate) fn drop_directory(&self, account: &Account, client: &str) -> Result<View, Refusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let name = |before: i64| directory(account, client, now - before * SECONDS_OF_A_DAY);
        for before in 0..=DAYS {
            let name = name(before)?;
            if self.store.has_root(&name) {
                return Ok(View::below(Some(name)));
            }
        }
        Ok(View::below(Some(name(0)?)))
    }
}

fn directory(account: &Account, client: &str, second: i64) -> Result<Name, Refusal> {
    let Digest(bytes) = Digest::of(format!("drop {}\0{client}", account.name).as_bytes());
    let letters = bytes.iter().take(LETTERS).map(|byte| ALPHABET[usize::from(byte & 31)]);
    let letters: String = letters.map(char::from).collect();
    let day = jiff::Timestamp::from_second(second).unwrap_or_default().to_string();
    let name = format!("{}-{letters}", day.get(..10).unwrap_or(&day));
    let name = Name::parse(name.as_bytes());
    let wrong = |error| Refusal::new(Code::BadName, error);
    Ok(account.view.inward(name.map_err(wrong)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::file::parse;

    #[test]
    fn each_client_has_a_directory_of_its_own_for_each_day() {
        let accounts = parse(
            "[user.a]\nroot = \"in\"\nrights = [\"put\"]\n[user.b]\nroot = \"in\"\nrights = [\"put\"]\n",
        );
        let accounts = accounts.unwrap();
        let name = |account: usize, client, second| {
            directory(&accounts[account], client, second).unwrap().to_string()
        };
        let one = name(0, "client", 1_798_761_600);
        assert!(one.starts_with("in/2027-01-01-") && one.len() == "in/2027-01-01-".len() + LETTERS);
        assert_eq!(one, name(0, "client", 1_798_761_600 + SECONDS_OF_A_DAY - 1));
        for other in [name(0, "other", 1_798_761_600), name(1, "client", 1_798_761_600)] {
            assert_ne!(one, other);
        }
        assert_eq!(name(0, "client", 1_798_761_599)[14..], one[14..]);
    }
}
