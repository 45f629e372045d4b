//! The register of a server's accounts, used as people do: `hauld user add` makes them, `hauld fingerprint` shows the pin of
//! the server's key, and `haul login` takes the token from a pipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

use crate::binaries::Binaries;

/// The register of a server, whether the server runs or not.
#[derive(Debug, Clone)]
pub struct Register {
    binaries: Binaries,
    config: PathBuf,
    root: PathBuf,
}

/// What `hauld user add` and `hauld user rotate` show.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The token.
    pub token: String,
    /// Everything else, for people.
    pub words: String,
}

impl Register {
    /// The one in a server's configuration directory, of accounts with roots below the server's root.
    #[must_use]
    pub fn new(binaries: &Binaries, config: &Path, root: &Path) -> Self {
        Self { binaries: binaries.clone(), config: config.to_owned(), root: root.to_owned() }
    }

    /// Makes an account: `hauld user add NAME`, with these words behind it.
    ///
    /// # Errors
    /// If there is no account then.
    pub fn add(&self, name: &str, words: &[&str]) -> anyhow::Result<Shown> {
        let mut command = self.hauld(&["user", "add", name]);
        shown(command.arg("--server-root").arg(&self.root).args(words))
    }

    /// Gives an account another token: `hauld user rotate NAME`, with these words behind it.
    ///
    /// # Errors
    /// If the account has no other token then.
    pub fn rotate(&self, name: &str, words: &[&str]) -> anyhow::Result<Shown> {
        shown(self.hauld(&["user", "rotate", name]).args(words))
    }

    /// Lets `hauld` with these words change the accounts or the key, such as `user remove NAME`.
    ///
    /// # Errors
    /// If hauld does not end with success.
    pub fn change(&self, words: &[&str]) -> anyhow::Result<()> {
        done(&mut self.hauld(words)).map(drop)
    }

    /// The pin of the server's key, which is made if there is none.
    ///
    /// # Errors
    /// If `hauld fingerprint` does not show one.
    pub fn pin(&self) -> anyhow::Result<String> {
        let output = done(&mut self.hauld(&["fingerprint"]))?;
        let text = String::from_utf8(output.stdout)?;
        let pin = text.lines().next().filter(|line| line.starts_with("haul1-"));
        Ok(pin.with_context(|| format!("hauld fingerprint: {text}"))?.to_owned())
    }

    /// The link of an account at an address, as `hauld user add --address` shows it.
    ///
    /// # Errors
    /// As [`pin`](Self::pin).
    pub fn link(&self, name: &str, address: &str) -> anyhow::Result<String> {
        Ok(format!("haul://{name}@{address}#{}", self.pin()?))
    }

    /// Lets haul log in with its files in this directory: it stores the token and trusts the key of the link.
    ///
    /// # Errors
    /// If the server does not take the token.
    pub fn log_in(&self, link: &str, token: &str, files: &Path) -> anyhow::Result<()> {
        log_in(Command::new(&self.binaries.haul).env("HAUL_CONFIG_DIR", files), link, token)
    }

    fn hauld(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binaries.hauld);
        command.args(words).arg("--config-dir").arg(&self.config);
        command
    }
}

/// `haul login LINK`, with the token by a pipe; `haul` is the command without words.
///
/// # Errors
/// If haul does not end with success.
pub fn log_in(haul: &mut Command, link: &str, token: &str) -> anyhow::Result<()> {
    haul.args(["login", link]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut login = haul.spawn().context("could not start haul login")?;
    let mut pipe = login.stdin.take().context("no standard input")?;
    writeln!(pipe, "{token}")?;
    drop(pipe);
    let output = login.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "haul login ended with {}: {told}", output.status);
    Ok(())
}

fn shown(command: &mut Command) -> anyhow::Result<Shown> {
    let output = done(command)?;
    let token = String::from_utf8(output.stdout)?;
    let (token, words) = (token.trim_end().to_owned(), String::from_utf8(output.stderr)?);
    // Not in a message: it is a secret.
    let alone = token.starts_with("haul_") && !token.contains(char::is_whitespace);
    ensure!(alone, "hauld shows no token alone on its standard output");
    Ok(Shown { token, words })
}

fn done(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.stdin(Stdio::null()).output().context("could not run hauld")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {told}", output.status);
    Ok(output)
}
