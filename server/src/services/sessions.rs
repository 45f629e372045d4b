//! Logins of browsers. A browser shows its token once, and then sends a random word, its cookie. The server knows the word's
//! digest, and which token it stands for: never the token itself. With the token, or its account, the session is over.

use std::collections::HashMap;
use std::time::Duration;

use haul_protocol::Digest;

use crate::accounts::{AccountName, Proof};
use crate::http::cookie::{MAX_AGE, SessionId};
use crate::locks::{Mutex, Rank};

/// Sessions of all accounts. One that comes when there are so many ends the one that was used longest ago.
const MOST: usize = 4096;

/// Sessions of one account; as above.
const MOST_OF_ACCOUNT: usize = 64;

/// A session that is not used for so long is over.
const IDLE: Duration = Duration::from_secs(12 * 60 * 60);

/// All sessions. A server that starts again has none.
#[derive(Debug)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) account: AccountName,
    pub(crate) proof: Proof,
    /// The browser's name for the directory of a drop account: all of its connections put into the same one.
    pub(crate) client: String,
    /// When it began, and when it was last used, in milliseconds of the server's clock.
    began: u64,
    used: u64,
}

impl Session {
    fn is_over(&self, now: u64) -> bool {
        let idle = u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(self.used) >= idle || now.saturating_sub(self.began) >= MAX_AGE * 1000
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(Rank::Sessions, HashMap::new()))
    }
}

impl Sessions {
    /// A session begins: its word.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(crate) fn begin(
        &self,
        account: AccountName,
        proof: Proof,
        now: u64,
    ) -> Result<SessionId, getrandom::Error> {
        let (id, client) = (SessionId::draw()?, SessionId::draw()?);
        let client = format!("browser {}", Digest::of(client.as_bytes()));
        let mut table = self.0.lock();
        table.retain(|_, session| !session.is_over(now));
        let of_account = table.values().filter(|session| session.account == account).count();
        if of_account >= MOST_OF_ACCOUNT {
            end_oldest(&mut table, |session| session.account == account);
        } else if table.len() >= MOST {
            end_oldest(&mut table, |_| true);
        }
        let session = Session { account, proof, client, began: now, used: now };
        table.insert(key(&id), session);
        Ok(id)
    }

    /// The session of a word, which is used now.
    pub(crate) fn find(&self, id: &SessionId, now: u64) -> Option<Session> {
        let mut table = self.0.lock();
        let session = table.get_mut(&key(id)).filter(|session| !session.is_over(now))?;
        session.used = now;
        Some(session.clone())
    }

    /// The session is over.
    pub(crate) fn end(&self, id: &SessionId) {
        self.0.lock().remove(&key(id));
    }
}

/// Nobody who sees how long a look into the table takes learns anything of a word by that.
fn key(id: &SessionId) -> [u8; 32] {
    Digest::of(id.as_bytes()).0
}

fn end_oldest(table: &mut HashMap<[u8; 32], Session>, of: impl Fn(&Session) -> bool) {
    let oldest =
        table.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| session.used);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        table.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &Sessions, account: &str, now: u64) -> SessionId {
        let account = AccountName::parse(account).unwrap();
        sessions.begin(account, Proof::User(1), now).unwrap()
    }

    #[test]
    fn session_is_found_by_its_word_until_it_is_ended_or_not_used_for_long() {
        let sessions = Sessions::default();
        let (one, other) = (begin(&sessions, "alice", 0), begin(&sessions, "alice", 0));
        let hour = 60 * 60 * 1000;
        assert_ne!(
            sessions.find(&one, 1).unwrap().client,
            sessions.find(&other, 1).unwrap().client
        );
        sessions.end(&one);
        assert!(sessions.find(&one, 1).is_none());
        for hours in 1..(7 * 24) {
            assert!(sessions.find(&other, hours * hour).is_some(), "{hours}");
        }
        assert!(sessions.find(&other, 7 * 24 * hour).is_none(), "used, but a week old");
        let idle = begin(&sessions, "alice", 0);
        assert!(sessions.find(&idle, 12 * hour).is_none());
        assert!(sessions.find(&SessionId::draw().unwrap(), 0).is_none());
    }

    #[test]
    fn sessions_are_few_and_no_account_ends_those_of_another() {
        let sessions = Sessions::default();
        let bobs = begin(&sessions, "bob", 0);
        let first = begin(&sessions, "alice", 1);
        let second = begin(&sessions, "alice", 2);
        assert!(sessions.find(&first, 3).is_some());
        for now in 0..63 {
            begin(&sessions, "alice", 10 + now);
        }
        // The one that was used longest ago made way.
        assert!(sessions.find(&second, 80).is_none() && sessions.find(&first, 80).is_some());
        assert!(sessions.find(&bobs, 80).is_some());
        for account in 0..80 {
            for now in 0..64 {
                begin(&sessions, &format!("a{account}"), 100 + now);
            }
        }
        assert_eq!(sessions.0.lock().len(), MOST);
    }
}
