//! Errors about the account of a connection, each with the step that helps.

use std::fmt;
use std::path::PathBuf;

use haul_protocol::Right;

/// The place where a token was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenPlace {
    /// There is no token.
    None,
    /// The caller has given it.
    Caller,
    /// The variable `HAUL_TOKEN`.
    Variable,
    /// A file that `HAUL_TOKEN_FILE` names.
    File(PathBuf),
    /// The file that `haul login` writes.
    Stored,
}

/// The server takes nobody without an account, and did not take this client's login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unauthorized {
    /// The server, as it was given.
    pub server: String,
    /// The account, as far as it is known.
    pub account: Option<String>,
    /// The place of the token.
    pub place: TokenPlace,
    /// Whether the token was sent: the client sends none over a connection that others can read.
    pub is_sent: bool,
    /// Whether the server had taken the token before.
    pub was_taken: bool,
    /// Whether a large file was on its way.
    pub has_large: bool,
    /// The server's reason.
    pub message: String,
}

impl fmt::Display for Unauthorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, account, place, is_sent, was_taken, has_large, message } = self;
        let login = account.as_ref().map_or(server.clone(), |name| format!("{name}@{server}"));
        if *place == TokenPlace::None {
            return write!(f, "{server} asks for an account: haul login {login}");
        }
        if !is_sent {
            return write!(
                f,
                "{server} asks for an account, and haul sends no token over a connection that others can read: leave \
                 --insecure out"
            );
        }
        let (refuses, of) = match (was_taken, account) {
            (true, Some(account)) => ("no longer takes the token", format!(" of {account}")),
            (true, None) => ("no longer takes the token", String::new()),
            (false, Some(account)) => ("does not take the token", format!(" of {account}")),
            (false, None) => ("does not take the token", String::new()),
        };
        write!(f, "{server} {refuses}{of}")?;
        match place {
            TokenPlace::Variable => write!(f, " in HAUL_TOKEN")?,
            TokenPlace::File(path) => write!(f, " in {}", path.display())?,
            _ => {}
        }
        write!(f, ": {message}")?;
        if *was_taken {
            f.write_str("; run the same command again")?;
            if *has_large {
                f.write_str(", large files go on where they stopped")?;
            }
        }
        if *place == TokenPlace::Stored {
            let then = if *was_taken { "; if the token is refused then," } else { ";" };
            write!(f, "{then} with a new token: haul login {login}")?;
        }
        Ok(())
    }
}

/// The server has taken the login, and it is not that of the account which the destination names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherAccount {
    /// The server, as it was given.
    pub server: String,
    /// The account that the destination names.
    pub wanted: String,
    /// The account that the server has told, if it has told any.
    pub found: Option<String>,
}

impl fmt::Display for OtherAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, wanted, found } = self;
        match found {
            Some(found) => write!(
                f,
                "at {server} this token is of account {found}, and not of {wanted}, so nothing is done: write \
                 {found}@{server}, or give the token of {wanted}"
            ),
            None => {
                write!(f, "{server} asks nobody for an account: write {server} without {wanted}@")
            }
        }
    }
}

/// The account lacks a right without which the command can't begin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lacking {
    /// The server, as it was given.
    pub server: String,
    /// The account, as far as it is known.
    pub account: Option<String>,
    /// The right.
    pub right: Right,
    /// The part of the command that needs it.
    pub need: &'static str,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, so nothing is done", self.fact())?;
        let Self { right, need, .. } = self;
        match (*right, *need) {
            (Right::List, "sync" | "--ignore-existing") => {
                write!(f, "; `haul put` sends without asking what is there")
            }
            (Right::Delete, "--delete") => write!(f, "; without --delete nothing is removed"),
            _ => write!(f, "; the server's administrator gives rights"),
        }
    }
}

impl Lacking {
    /// The fact alone.
    fn fact(&self) -> String {
        let Self { server, account, right, need } = self;
        let account = match account {
            Some(account) => format!("account {account}"),
            None => String::from("this account"),
        };
        format!("{account} at {server} lacks the right `{right}`, which {need} needs")
    }

    /// The fact, as a dry run tells it.
    pub(crate) fn foreseen(&self) -> String {
        format!("{}: the run itself would be refused", self.fact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unauthorized(place: TokenPlace) -> Unauthorized {
        let (server, message) =
            (String::from("box:8080"), String::from("no account has this token"));
        let account = Some(String::from("alice"));
        let (was_taken, has_large) = (false, false);
        Unauthorized { server, account, place, is_sent: true, was_taken, has_large, message }
    }

    #[test]
    fn every_login_that_is_not_taken_is_told_with_the_step_that_helps() {
        let nobody = Unauthorized { account: None, ..unauthorized(TokenPlace::None) };
        assert_eq!(nobody.to_string(), "box:8080 asks for an account: haul login box:8080");
        assert_eq!(
            unauthorized(TokenPlace::Stored).to_string(),
            "box:8080 does not take the token of alice: no account has this token; with a new token: haul login \
             alice@box:8080"
        );
        assert_eq!(
            Unauthorized { account: None, ..unauthorized(TokenPlace::Variable) }.to_string(),
            "box:8080 does not take the token in HAUL_TOKEN: no account has this token"
        );
        let small = Unauthorized { was_taken: true, ..unauthorized(TokenPlace::Variable) };
        assert!(small.to_string().ends_with("token; run the same command again"), "{small}");
        let later =
            Unauthorized { was_taken: true, has_large: true, ..unauthorized(TokenPlace::Stored) };
        let told = later.to_string();
        assert!(told.starts_with("box:8080 no longer takes the token of alice: "), "{told}");
        let ends = "; run the same command again, large files go on where they stopped; if the token is refused then, \
                    with a new token: haul login alice@box:8080";
        assert!(told.ends_with(ends), "{told}");
        let unsent = Unauthorized { is_sent: false, ..unauthorized(TokenPlace::Stored) };
        assert!(unsent.to_string().ends_with("leave --insecure out"), "{unsent}");
    }
}
