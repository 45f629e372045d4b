//! One of the servers, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use haul_tests::binaries::Binaries;
use haul_tests::hauld::Hauld;

use crate::nginx::Nginx;
use crate::processor;

/// A server, and its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It flushes before it answers, as it does unless it is told otherwise.
    Flushing,
    /// It flushes nothing, and so promises what nginx does.
    Hauld,
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Flushing, Self::Hauld, Self::Nginx];

    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flushing => "hauld, durability `group`",
            Self::Hauld => "hauld, durability `none`",
            Self::Nginx => "nginx",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) enum Server {
    Hauld(Hauld),
    Nginx(Nginx),
}

impl Server {
    /// Starts one whose root is below this directory.
    pub(crate) fn start(kind: Kind, binaries: &Binaries, at: &Path) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Flushing | Kind::Hauld => {
                let command = Command::new(&binaries.hauld);
                let durability = if kind == Kind::Hauld { "none" } else { "group" };
                let args = ["--durability", durability];
                Self::Hauld(Hauld::start_at(&at.join("root"), &at.join("log"), command, &args)?)
            }
            Kind::Nginx => Self::Nginx(Nginx::start(at)?),
        })
    }

    /// Address and port.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Hauld(hauld) => hauld.address(),
            Self::Nginx(nginx) => nginx.address(),
        }
    }

    /// The directory in which files arrive.
    pub(crate) fn root(&self) -> PathBuf {
        match self {
            Self::Hauld(hauld) => hauld.root().to_owned(),
            Self::Nginx(nginx) => nginx.root().to_owned(),
        }
    }

    /// Seconds of a processor that it has taken so far.
    pub(crate) fn processor(&self) -> anyhow::Result<f64> {
        match self {
            Self::Hauld(hauld) => processor::seconds(hauld.pid()),
            Self::Nginx(nginx) => nginx.workers()?.into_iter().map(processor::seconds).sum(),
        }
    }
}
