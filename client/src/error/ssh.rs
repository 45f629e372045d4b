//! The ways in which ssh, or the hauld that it starts, can fail.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;

use haul_protocol::{AccessToken, Pin, Shown};
use serde::Deserialize;
use thiserror::Error;

use super::install::InstallError;

/// The most lines of a remote shell's output that are shown.
const MOST_LINES: usize = 10;

/// The most characters of such a line.
const MOST_CHARS: usize = 300;

/// A hauld that ssh has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) version: String,
    pub(crate) root: String,
    /// It has joined a server that serves the root already.
    pub(crate) joined: bool,
    /// The other way that it offers.
    pub(crate) direct: Option<Offer>,
}

/// The way past ssh that a remote hauld offers. The token is overwritten when this is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) address: SocketAddr,
    pub(crate) pin: Pin,
    pub(crate) token: AccessToken,
}

/// The failure that a hauld tells instead of beginning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Denial {
    /// The kind.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// There is no connection over ssh, or no longer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SshError {
    /// The program can't be run here.
    #[error("could not run `{program}` on this machine: {source}; {}", missing(.source))]
    NotRun {
        /// The program.
        program: String,
        /// The reason.
        source: io::Error,
    },
    /// ssh has not logged in, or the machine can't be reached; ssh has said why.
    #[error("{program} could not connect to {host}, for the reason that it has told above{}{noise}", or_here(.here))]
    Refused {
        /// The program.
        program: String,
        /// The user and the host.
        host: String,
        /// The destination as written, if an entry on this machine has the same name.
        here: Option<String>,
        /// The output of the remote shell.
        noise: Noise,
    },
    /// The remote shell does not find hauld.
    #[error(
        "there is no `{hauld}` at {host}{}: copy hauld into a directory of the PATH there, or say with --hauld PATH where \
         it is, or have haul copy it there with --install-hauld{noise}", hint(*.code)
    )]
    NoHauld {
        /// The user and the host.
        host: String,
        /// The name of hauld there.
        hauld: String,
        /// The exit code.
        code: i32,
        /// The output of the remote shell.
        noise: Noise,
    },
    /// The remote shell does not find hauld, and haul could not copy it there.
    #[error("there is no `{hauld}` at {host}: {source}")]
    NotInstalled {
        /// The user and the host.
        host: String,
        /// The name of hauld there.
        hauld: String,
        /// The reason.
        source: InstallError,
    },
    /// A hauld that does not know `--stdio`.
    #[error(
        "`{hauld}` at {host} ended with exit code 2, so it is older than `--stdio`, or no hauld: copy a newer one there, \
         or say with --hauld PATH where it is{noise}"
    )]
    Old {
        /// The user and the host.
        host: String,
        /// The name of hauld there.
        hauld: String,
        /// The output of the remote shell.
        noise: Noise,
    },
    /// The remote command has ended without an answer.
    #[error("`{hauld}` at {host} has not answered{}{noise}", end(.status))]
    NoAnswer {
        /// The user and the host.
        host: String,
        /// The name of hauld there.
        hauld: String,
        /// The end of ssh.
        status: Option<ExitStatus>,
        /// The output of the remote shell.
        noise: Noise,
    },
    /// The bytes that come are no answer of hauld.
    #[error("{host} does not answer as hauld does{noise}")]
    NotHauld {
        /// The user and the host.
        host: String,
        /// The output of the remote shell.
        noise: Noise,
    },
    /// hauld says why it does not begin.
    #[error("{}{}", denied(.host, .root, .denial), foreseen(*.is_foreseen, .denial))]
    Denied {
        /// The user and the host.
        host: String,
        /// The root that was asked for.
        root: String,
        /// The reason.
        denial: Denial,
        /// It was asked for by a dry run.
        is_foreseen: bool,
    },
    /// The connection is lost.
    #[error("the connection to {host} broke{}", end(.status))]
    Lost {
        /// The user and the host.
        host: String,
        /// The end of ssh, if it has ended.
        status: Option<ExitStatus>,
    },
}

impl SshError {
    /// Whether there was a connection.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Whether the directory that becomes the root is missing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Denied { denial, .. } if denial.code == "not_found")
    }

    /// Whether the directory that becomes the root is the reason, and the machine is there.
    pub(crate) fn is_about_the_root(&self) -> bool {
        let codes = ["not_found", "denied", "not_a_directory", "io"];
        matches!(self, Self::Denied { denial, .. } if codes.contains(&&*denial.code))
    }

    /// Whether the machine was not reached, or hauld has said no.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// The output of a remote shell before any answer, which is shown cleaned and short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noise(pub(crate) Vec<u8>);

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        if lines().next().is_none() {
            return Ok(());
        }
        f.write_str("; instead there came: ")?;
        for (index, line) in lines().take(MOST_LINES).enumerate() {
            let short: String = line.chars().take(MOST_CHARS).collect();
            write!(f, "{}{}", if index > 0 { " / " } else { "" }, Shown(short))?;
        }
        let more = lines().count().saturating_sub(MOST_LINES);
        if more > 0 { write!(f, " / and {more} more lines") } else { Ok(()) }
    }
}

/// Advice for who means a path on this machine.
fn or_here(text: &Option<String>) -> String {
    let advice = |text: &String| {
        format!("; if you mean the `{0}` on this machine, write ./{0}", Shown(text))
    };
    text.as_ref().map(advice).unwrap_or_default()
}

fn missing(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "install OpenSSH's client, or name another program with --ssh",
        _ => "--ssh names another program",
    }
}

/// tcsh has no code for a missing program.
fn hint(code: i32) -> String {
    match code {
        127 => String::new(),
        126 => String::from(" that can be run"),
        code => format!(", or it does not start (exit code {code}; the reason may stand above)"),
    }
}

fn end(status: &Option<ExitStatus>) -> String {
    let Some(status) = status else { return String::new() };
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return format!(": ssh was killed by signal {signal}");
        }
    }
    match status.code() {
        Some(255) => String::from(": ssh has lost it"),
        Some(code) => format!(": it has ended with exit code {code}"),
        None => String::new(),
    }
}

/// The rest of a dry run to a directory that is missing.
fn foreseen(is_foreseen: bool, denial: &Denial) -> &'static str {
    match is_foreseen && denial.code == "not_found" {
        true => "; without --dry-run, haul makes it and sends everything",
        false => "",
    }
}

fn denied(host: &str, root: &str, Denial { code, message }: &Denial) -> String {
    let message: String = message.chars().take(MOST_CHARS).collect();
    let code: String = code.chars().take(MOST_CHARS).collect();
    let (root, message) = (Shown(root), Shown(message));
    match code.as_str() {
        "not_found" => format!("there is no directory {root} at {host}"),
        "not_a_directory" => format!("{root} at {host} is no directory"),
        "denied" => format!("hauld at {host} may not use {root}: {message}"),
        "busy" => {
            format!("{root} at {host} is served by another hauld, which can't be joined: {message}")
        }
        "unsupported" => format!("hauld at {host} is older than this haul: {message}"),
        code => format!("hauld at {host} does not begin with {root}: {message} ({})", Shown(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_shown_clean_and_short() {
        let noise = Noise(b"hello\x1b[31m\r\n\n \xff \nsecond\n".to_vec());
        let shown = noise.to_string();
        assert!(shown.starts_with("; instead there came: hello"), "{shown}");
        assert!(shown.ends_with(" / second"), "{shown}");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        let many = Noise(b"line\n".repeat(5000)).to_string();
        assert!(many.ends_with("and 4990 more lines") && many.len() < 200, "{many}");
        assert!(Noise(vec![b'x'; 60_000]).to_string().len() < 400);
        assert_eq!(Noise(b" \r\n\n".to_vec()).to_string(), "");
    }
}
