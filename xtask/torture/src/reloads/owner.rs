//! The owner of a server: changes of its settings, accounts and certificates, each of which must have its effect, and no other.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use haul_tests::alive;
use haul_tests::hauld::Hauld;
use haul_tests::register::Register;
use haul_tests::relay::{Event, Relay};
use haul_tests::tls::{TlsPeer, hello_of, usual};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;

use super::plan::{Act, Fault, Settings};
use super::report::{Counts, What};
use super::{GRACE, NAMES, config, replace, settings_file, start, wait_until};
use crate::Setting;
use crate::tus::{Way, ask};

/// How long a token that was rotated is taken, which is longer than a bout.
const KEEP: [&str; 2] = ["--keep-old", "1h"];

/// The owner, and all that is the owner's.
pub(super) struct Owner<'a> {
    setting: &'a Setting<'a>,
    pub(super) server: Hauld,
    pub(super) relay: Relay,
    pub(super) register: Register,
    /// That of an account of the owner's own.
    token: String,
    settings: Settings,
    hook: [String; 2],
    /// Names and tokens of accounts that do nothing.
    guests: Vec<(String, String)>,
    guests_ever: u64,
    /// The certificate that new connections see, if the owner has made it.
    certificate: Option<Vec<u8>>,
    certificates_ever: i32,
    /// The number of starts so far.
    pub(super) starts: u64,
    /// New tokens of the accounts, which their clients get after the pass.
    pub(super) tokens: [Option<String>; 2],
}

impl<'a> Owner<'a> {
    pub(super) fn new(
        setting: &'a Setting<'a>,
        server: Hauld,
        relay: Relay,
        register: Register,
        token: String,
        settings: Settings,
        hook: [String; 2],
    ) -> Self {
        let (guests, tokens) = (Vec::new(), [None, None]);
        Self {
            setting,
            server,
            relay,
            register,
            token,
            settings,
            hook,
            guests,
            guests_ever: 0,
            certificate: None,
            certificates_ever: 0,
            starts: 1,
            tokens,
        }
    }

    /// Does one thing.
    pub(super) fn act(&mut self, act: &Act, counts: &mut Counts) -> anyhow::Result<()> {
        let what = match act {
            Act::Reload(settings) => self.reload(settings)?,
            Act::WrongReload(settings, fault) => self.reload_wrong(settings, *fault)?,
            Act::AddGuest => self.add_guest()?,
            Act::RemoveGuest => self.remove_guest()?,
            Act::Rotate(who) => self.rotate(*who)?,
            Act::Limits(who) => self.limit(*who)?,
            Act::WrongAccounts => self.spoil_accounts()?,
            Act::Certificate => self.renew()?,
            Act::Stop => {
                alive::stop(&mut self.server, GRACE)?;
                self.start()?;
                What::Stops
            }
            Act::Kill { down } => {
                self.kill(*down)?;
                What::Kills
            }
            Act::Cut { all: true, .. } => {
                self.relay.now(Event::Cut);
                What::Cuts
            }
            Act::Cut { all: false, pick } => {
                self.relay.now_to_one(Event::Cut, *pick);
                What::Cuts
            }
        };
        counts.one(what);
        Ok(())
    }

    /// Starts the server again, which has ended. All is as before.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.server = start(self.setting, &self.hook)?;
        self.starts += 1;
        self.relay.lead_to(self.server.address());
        self.settings_count()?;
        ensure!(self.shows_certificate()?, "a new start shows another certificate");
        Ok(())
    }

    fn kill(&mut self, down: Duration) -> anyhow::Result<()> {
        self.server.signal(Signal::KILL)?;
        self.server.wait()?;
        std::thread::sleep(down);
        self.start()
    }

    /// Waits until the server's log has a text behind these bytes.
    fn logs(&self, before: usize, text: &str) -> anyhow::Result<()> {
        wait_until(text, || Ok(self.server.log_text()[before..].contains(text)))
    }

    /// The settings count that the owner wants.
    fn settings_count(&self) -> anyhow::Result<()> {
        let way = Way { address: self.server.address(), token: Some(&self.token) };
        let reply = ask(way, "OPTIONS /.haul/tus/")?;
        let (found, wanted) = (reply.field("Tus-Max-Size"), self.settings.max_file);
        ensure!(found == wanted.to_string(), "max-file is {found}, not {wanted}");
        Ok(())
    }

    fn reload(&mut self, settings: &Settings) -> anyhow::Result<What> {
        let before = self.server.log_text().len();
        replace(&settings_file(self.setting), Some(&settings.text()))?;
        self.server.signal(Signal::HUP)?;
        self.logs(before, "the settings were read again")?;
        self.settings = settings.clone();
        self.settings_count()?;
        Ok(What::Reloads)
    }

    fn reload_wrong(&self, settings: &Settings, fault: Fault) -> anyhow::Result<What> {
        let (before, path) = (self.server.log_text().len(), settings_file(self.setting));
        replace(&path, settings.wrong(fault).as_deref())?;
        self.server.signal(Signal::HUP)?;
        self.logs(before, "the settings stay as they were")?;
        self.settings_count()?;
        // For the next start.
        replace(&path, Some(&self.settings.text()))?;
        Ok(What::WrongReloads)
    }

    /// Whether the server takes a token.
    fn takes(&self, token: &str) -> anyhow::Result<bool> {
        let way = Way { address: self.server.address(), token: Some(token) };
        match ask(way, "GET /?json") {
            Ok(reply) => match reply.status {
                200 => Ok(true),
                401 => Ok(false),
                status => anyhow::bail!("a login gets {status}: {}", reply.text()),
            },
            // Too many have failed.
            Err(error) if error.is::<std::io::Error>() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn add_guest(&mut self) -> anyhow::Result<What> {
        self.guests_ever += 1;
        let name = format!("guest{}", self.guests_ever);
        let token = self.register.add(&name, &["--rights", "reader"])?.token;
        ensure!(self.takes(&token)?, "the token of a new account is refused");
        self.guests.push((name, token));
        Ok(What::Accounts)
    }

    fn remove_guest(&mut self) -> anyhow::Result<What> {
        if let Some((name, token)) = self.guests.pop() {
            self.register.change(&["user", "remove", &name])?;
            wait_until("the token of an account that is gone is refused", || {
                Ok(!self.takes(&token)?)
            })?;
        }
        Ok(What::Accounts)
    }

    fn rotate(&mut self, who: usize) -> anyhow::Result<What> {
        let token = self.register.rotate(NAMES[who], &KEEP)?.token;
        ensure!(self.takes(&token)?, "the new token of an account is refused");
        self.tokens[who] = Some(token);
        Ok(What::Accounts)
    }

    fn limit(&self, who: usize) -> anyhow::Result<What> {
        let value = if self.starts.is_multiple_of(2) { "none" } else { "1000000" };
        self.register.change(&["user", "change", NAMES[who], "--quota-files", value])?;
        Ok(What::Accounts)
    }

    fn spoil_accounts(&self) -> anyhow::Result<What> {
        let path = config(self.setting).join("users.toml");
        let right = fs::read_to_string(&path)?;
        let before = self.server.log_text().len();
        replace(&path, Some(&format!("{right}\n[[account")))?;
        self.logs(before, "the accounts stay as they were")?;
        ensure!(self.takes(&self.token)?, "an account is gone with a file that is wrong");
        let before = self.server.log_text().len();
        replace(&path, Some(&right))?;
        self.logs(before, "other accounts hold from now on")?;
        Ok(What::WrongAccounts)
    }

    /// Whether new connections see the owner's certificate.
    fn shows_certificate(&self) -> anyhow::Result<bool> {
        let Some(wanted) = &self.certificate else { return Ok(true) };
        Ok(self.shown()? == *wanted)
    }

    /// The certificate that a new connection sees.
    fn shown(&self) -> anyhow::Result<Vec<u8>> {
        let peer = TlsPeer::connect_with(self.server.address(), usual())?;
        let shown = peer.stream.conn.peer_certificates().and_then(<[_]>::first);
        Ok(shown.context("no certificate")?.to_vec())
    }

    fn renew(&mut self) -> anyhow::Result<What> {
        let directory = config(self.setting);
        let key = KeyPair::from_pem(&fs::read_to_string(directory.join("key.pem"))?)?;
        let names = ["localhost", "hauld"].map(String::from);
        let mut params = CertificateParams::new(names)?;
        self.certificates_ever += 1;
        params.not_after = date_time_ymd(2100 + self.certificates_ever, 1, 1);
        let made = params.self_signed(&key)?;
        replace(&directory.join("cert.pem"), Some(&made.pem()))?;
        self.certificate = Some(made.der().to_vec());
        wait_until("new connections see the new certificate", || self.shows_certificate())?;
        Ok(What::Certificates)
    }

    /// Waits until clients are told of the next key.
    pub(super) fn announces_a_key(&self) -> anyhow::Result<()> {
        wait_until("the next key is announced", || {
            let mut peer = TlsPeer::connect_with(self.server.address(), usual())?;
            let mut hello = hello_of("owner");
            hello["token"] = self.token.as_str().into();
            Ok(peer.ask(&hello, b"")["next_pin"].is_string())
        })
    }

    /// Waits until new connections see a certificate that the server has made for another key.
    pub(super) fn has_key_of_its_own(&mut self) -> anyhow::Result<()> {
        let made = fs::read_to_string(config(self.setting).join("cert.pem"))?;
        let count = made.matches("BEGIN CERTIFICATE").count();
        ensure!(count == 1, "the server has made {count} certificates for a key");
        self.certificate = None;
        wait_until("the new key is there", || {
            Ok(self.server.log_text().contains(&self.register.pin()?))
        })
    }
}

/// Lets haul list the server, so that it hears of keys.
pub(super) fn ls(setting: &Setting<'_>, address: &str, files: &Path) -> anyhow::Result<()> {
    let mut haul = Command::new(&setting.binaries.haul);
    let output = haul.env("HAUL_CONFIG_DIR", files).args(["ls", address]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "haul ls ended with {}: {told}", output.status);
    Ok(())
}
