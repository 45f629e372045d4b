//! Reading the token that `haul login` stores: from the terminal, or one line of standard input. It is never an argument, since
//! other users see those.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read};

use haul_protocol::{AccessToken, AccessTokenError};
use zeroize::Zeroizing;

use crate::cli::signals::Signals;
#[cfg(unix)]
use crate::cli::terminal::Terminal;

/// The most bytes of a line.
const LONGEST: usize = 4096;

/// The answer of the user.
pub(super) enum Secret {
    Token(AccessToken),
    /// A signal came before the line.
    Interrupted,
}

/// There is no token.
#[derive(Debug)]
pub(super) enum NoSecret {
    Input(io::Error),
    Empty,
    Malformed(AccessTokenError),
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => write!(f, "could not read the token: {error}"),
            Self::Empty => f.write_str(
                "there is no token: type it, or write it to standard input; `hauld user add` prints it",
            ),
            Self::Malformed(error) => write!(f, "this is no token: {error}"),
        }
    }
}

/// Reads the token that standard input brings, which is read before anything is connected; `None`: standard input is a terminal.
///
/// # Errors
/// If it can't be read, or is none.
pub(super) fn piped() -> Result<Option<AccessToken>, NoSecret> {
    if io::stdin().is_terminal() {
        return Ok(None);
    }
    token(&first_line().map_err(NoSecret::Input)?).map(Some)
}

/// Whether standard input is a file, which can be read once more.
pub(super) fn is_file() -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::{FileType, fstat};
        let is_file = |found: rustix::fs::Stat| FileType::from_raw_mode(found.st_mode).is_file();
        fstat(io::stdin()).is_ok_and(is_file)
    }
    #[cfg(not(unix))]
    false
}

/// Asks for the token of a login on the terminal.
///
/// # Errors
/// If it can't be read, or is none.
pub(super) fn typed(login: &str, signals: &Signals) -> Result<Secret, NoSecret> {
    match ask(login, signals).map_err(NoSecret::Input)? {
        Some(line) => token(&line).map(Secret::Token),
        None => Ok(Secret::Interrupted),
    }
}

/// The token in a line.
fn token(line: &[u8]) -> Result<AccessToken, NoSecret> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    match text.parse() {
        Ok(token) => Ok(token),
        Err(_) if line.trim_ascii().is_empty() => Err(NoSecret::Empty),
        Err(error) => Err(NoSecret::Malformed(error)),
    }
}

/// The first line of standard input.
fn first_line() -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    io::stdin().lock().take(most).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Asks on the terminal; `None` if a signal came.
#[cfg(unix)]
fn ask(login: &str, signals: &Signals) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    signals.begin();
    let _held = signals.hold_deadly()?;
    let prompt = format!("Token for {login}: ");
    let asked = Terminal::open();
    let line = asked.and_then(|mut it| it.read_secret(&prompt, &|| signals.is_set()));
    signals.end();
    // An end of input is an empty answer.
    Ok(line?.or_else(|| (!signals.is_set()).then(Zeroizing::default)))
}

/// The terminal of this platform shows all that is typed.
#[cfg(not(unix))]
fn ask(_: &str, _: &Signals) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    Err(io::Error::other("write it to standard input, as in `haul login LINK <FILE`"))
}
