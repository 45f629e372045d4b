//! A server on one machine and clients on another one, in a network of their own in which multicast works.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::output_of;
use crate::hauld::Hauld;
use crate::network::{Machine, Network};
use crate::register::Register;
use crate::{binaries, eventually, place};

/// The two machines, and a directory for the files of both.
#[derive(Debug)]
pub struct Lan {
    /// The machines.
    pub network: Network,
    directory: TempDir,
}

impl Lan {
    /// Puts it together. `None`: there are no namespaces to be had, which standard error tells.
    ///
    /// # Panics
    /// If there is no room for files.
    #[must_use]
    pub fn new() -> Option<Self> {
        let network = Network::new().unwrap_or_else(|error| panic!("{error:#}"));
        let directory = place::in_memory().unwrap_or_else(|error| panic!("{error:#}"));
        network.is_real().then_some(Self { network, directory })
    }

    /// A path for files of either machine.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The register of the server's accounts.
    #[must_use]
    pub fn register(&self) -> Register {
        Register::new(binaries::get(), &self.path("config"), &self.path("root"))
    }

    /// Starts `hauld` on the server's machine; the words name at least one address.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self, words: &[&str]) -> anyhow::Result<Hauld> {
        let hauld = self.network.command(Machine::Server, &binaries::get().hauld);
        Hauld::start_at(&self.path("root"), &self.path("log"), hauld, words)
    }

    /// `haul` on the client's machine, with its files in the directory `files`.
    #[must_use]
    pub fn haul(&self, words: &[&str]) -> Command {
        let mut haul = self.network.command(Machine::Client, &binaries::get().haul);
        haul.env("HAUL_CONFIG_DIR", self.path("files")).current_dir(self.directory.path());
        haul.args(words).stdin(Stdio::null());
        haul
    }

    /// Runs `haul` there, and returns its exit code and all its words.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = output_of(&mut self.haul(words));
        let told = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (status.code(), told.concat())
    }

    /// The servers that `haul discover --json` finds there.
    #[must_use]
    pub fn found(&self) -> Vec<Value> {
        let output = output_of(&mut self.haul(&["discover", "--json"]));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["event"] == "found").collect()
    }

    /// Waits until there is a server of this name, and returns what is said of it.
    ///
    /// # Errors
    /// If it has gone again.
    pub fn find(&self, instance: &str) -> anyhow::Result<Value> {
        let mut event = None;
        eventually("the server is found", || {
            event = self.found().into_iter().find(|event| event["instance"] == instance);
            event.is_some()
        });
        event.context("it is gone")
    }

    /// The process that answers multicast DNS for a server.
    ///
    /// # Errors
    /// If there is none.
    pub fn responder(&self, server: &Hauld) -> anyhow::Result<i32> {
        let pid = server.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children.split_whitespace().next().context("no other process")?.parse()?)
    }
}
