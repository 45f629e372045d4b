//! The peers that haul is measured against, and the work of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum;
use haul_tests::binaries::Binaries;
use haul_tests::register::Register;
use serde::Serialize;

use super::ssh;
use super::workload::{Direction, Workload};

/// A way to get files to another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// `haul put` to `hauld`; `haul sync` if all files are there already; `haul get` from `hauld`.
    Haul,
    /// The same over TLS, as an account.
    Tls,
    /// The least that has to be done: a program that does only that (`xtask/bench/floor`).
    Floor,
    /// `rsync -a` to an rsync daemon, or from one.
    Rsync,
    /// `tar` through `nc`.
    Tar,
    /// `cp -r`, on one machine.
    Cp,
    /// `lftp mirror -R` to vsftpd.
    Lftp,
    /// `curl -T` to vsftpd.
    Curl,
    /// `socat`, one file.
    Socat,
    /// `rsync -a -e ssh` to sshd.
    RsyncSsh,
    /// `scp -r` to sshd.
    Scp,
    /// A few lines of Python: a connection a file.
    Classic,
}

/// The peers of each workload. Peers that send one file at a time don't send trees, and a workload
/// that would take another program too long has only the peers for which it does not.
const MATRIX: [(Workload, &[Peer]); 12] = {
    use Peer::{Classic, Cp, Curl, Floor, Haul, Lftp, Rsync, RsyncSsh, Scp, Socat, Tar, Tls};
    [
        (Workload::Tiny, &[Haul, Floor, Tls, Rsync, Tar, Cp, Lftp, Scp]),
        (Workload::Toolchain, &[Haul, Floor, Rsync, Tar, Cp]),
        (Workload::Share, &[Haul, Floor, Rsync, Tar, Cp]),
        (Workload::Big, &[Haul, Floor, Tls, Rsync, Tar, Cp, Curl, Socat, Scp, Classic]),
        (Workload::Durable, &[Haul, Rsync]),
        (Workload::Far, &[Haul, Rsync, Tar]),
        (Workload::Same, &[Haul, Rsync]),
        (Workload::SameShare, &[Haul, Rsync]),
        (Workload::GetTiny, &[Haul, Floor, Rsync, Cp]),
        (Workload::GetBig, &[Haul, Floor, Rsync, Cp]),
        (Workload::SshTiny, &[Haul, RsyncSsh, Scp]),
        (Workload::SshBig, &[Haul, RsyncSsh, Scp]),
    ]
};

/// The account of [`Peer::Tls`].
pub(super) const ACCOUNT: &str = "bench";

/// The peers that do this work.
pub(crate) fn peers_of(workload: Workload) -> &'static [Peer] {
    MATRIX.iter().find(|(of, _)| *of == workload).map_or(&[], |(_, peers)| peers)
}

/// The place and circumstances of a peer's work.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) binaries: &'a Binaries,
    /// The program of [`Peer::Floor`].
    pub(crate) floor: &'a Path,
    /// A directory of its own, with the target in it.
    pub(crate) directory: &'a Path,
    pub(crate) port: u16,
    pub(crate) direction: Direction,
    /// Whether haul's server is started by ssh.
    pub(crate) over_ssh: bool,
    /// Whether all files are flushed.
    pub(crate) durable: bool,
    /// Whether all files are there already.
    pub(crate) is_there: bool,
    /// Whether the turn does not count.
    pub(crate) is_trial: bool,
}

impl Place<'_> {
    /// The directory in which files arrive.
    pub(crate) fn target(&self) -> PathBuf {
        self.directory.join("target")
    }

    /// The directory that the server serves.
    fn served(&self, source: &Path) -> anyhow::Result<PathBuf> {
        match self.direction {
            Direction::Send => Ok(self.target()),
            Direction::Read => Ok(source.parent().context("a source has a parent")?.to_owned()),
        }
    }

    /// The accounts of the server, in a configuration directory beside the target.
    pub(super) fn register(&self) -> Register {
        Register::new(self.binaries, &self.directory.join("config"), &self.target())
    }

    pub(super) fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Peer {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haul => "haul",
            Self::Tls => "haul, TLS",
            Self::Floor => "floor",
            Self::Rsync => "rsync daemon",
            Self::Tar => "tar over nc",
            Self::Cp => "cp -r, local",
            Self::Lftp => "lftp, vsftpd",
            Self::Curl => "curl, vsftpd",
            Self::Socat => "socat",
            Self::RsyncSsh => "rsync, ssh",
            Self::Scp => "scp",
            Self::Classic => "classic pair",
        }
    }

    /// The programs that it needs and that are not there.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        let needed: &[&str] = match self {
            Self::Haul | Self::Tls | Self::Floor => &[],
            Self::Rsync => &["rsync"],
            Self::Tar => &["tar", "nc"],
            Self::Cp => &["cp"],
            Self::Lftp => &["lftp", "vsftpd"],
            Self::Curl => &["curl", "vsftpd"],
            Self::Socat => &["socat"],
            Self::RsyncSsh => &["rsync", "ssh", "sshd", "ssh-keygen"],
            Self::Scp => &["scp", "sshd", "ssh-keygen"],
            Self::Classic => &["python3"],
        };
        needed.iter().copied().filter(|program| path_of(program).is_none()).collect()
    }

    /// Whether modes and times arrive too, to the nanosecond. Bytes and names do with all.
    pub(crate) fn keeps_attributes(self) -> bool {
        let haul = matches!(self, Self::Haul | Self::Tls | Self::Floor);
        haul || matches!(self, Self::Rsync | Self::RsyncSsh | Self::Cp)
    }

    /// Whether its server ends when the client has, and not before all files are written.
    pub(crate) fn server_ends(self) -> bool {
        matches!(self, Self::Tar | Self::Socat)
    }

    /// The directory in which its files arrive.
    pub(crate) fn arrives(self, at: &Place<'_>) -> PathBuf {
        match self {
            Self::Tls => at.target().join(ACCOUNT),
            _ => at.target(),
        }
    }

    /// The server, if it has one.
    pub(crate) fn server(self, source: &Path, at: &Place<'_>) -> anyhow::Result<Option<Command>> {
        let (port, target) = (at.port.to_string(), at.served(source)?);
        let command = match self {
            Self::Cp => return Ok(None),
            Self::Haul if at.over_ssh => ssh::server(at)?,
            Self::Haul | Self::Tls => {
                let mut hauld = Command::new(&at.binaries.hauld);
                hauld.args(["--listen", &format!("127.0.0.1:{port}"), "--root"]).arg(target);
                hauld.args(["--durability", if at.durable { "group" } else { "none" }]);
                if self == Self::Tls {
                    at.file("token", &at.register().add(ACCOUNT, &[])?.token)?;
                    hauld.args(["--tls", "always"]);
                    // The log has the cipher suite then, and more than a turn that counts may write.
                    hauld.envs(at.is_trial.then_some(("HAUL_LOG", "debug")));
                }
                hauld.arg("--config-dir").arg(at.directory.join("config"));
                hauld
            }
            Self::Floor => {
                let mut floor = Command::new(at.floor);
                floor.args(["serve", &port]).arg(target);
                floor
            }
            Self::Rsync => {
                // Without a chroot the daemon takes the first slash from the targets of links.
                let chroot = if rustix::process::getuid().is_root() { "yes" } else { "no" };
                let config = format!(
                    "use chroot = {chroot}\naddress = 127.0.0.1\n[t]\npath = {}\nread only = no\n\
                     munge symlinks = no\nuid = {}\ngid = {}\n",
                    target.display(),
                    rustix::process::getuid().as_raw(),
                    rustix::process::getgid().as_raw(),
                );
                let mut rsync = Command::new("rsync");
                rsync.args(["--daemon", "--no-detach", "--port", &port, "--config"]);
                rsync.arg(at.file("rsyncd.conf", &config)?);
                rsync
            }
            Self::Tar => {
                let mut sh = Command::new("sh");
                sh.args(["-c", "nc -l 127.0.0.1 \"$1\" | tar x -p -C \"$2\"", "sh", &port]);
                sh.arg(target);
                sh
            }
            Self::Socat => {
                let mut socat = Command::new("socat");
                socat.args(["-u", "-b", "262144"]);
                socat.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1"));
                let name = source.file_name().context("a source has a name")?;
                socat.arg(format!("CREATE:{}", target.join(name).display()));
                socat
            }
            Self::Lftp | Self::Curl => {
                let config = format!(
                    "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
                     anonymous_enable=YES\nno_anon_password=YES\nanon_root={}\nwrite_enable=YES\n\
                     anon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_umask=022\n\
                     anon_other_write_enable=YES\nallow_writeable_chroot=YES\n\
                     run_as_launching_user=YES\nseccomp_sandbox=NO\nxferlog_enable=NO\n",
                    target.display(),
                );
                let mut vsftpd = Command::new("vsftpd");
                vsftpd.arg(at.file("vsftpd.conf", &config)?);
                vsftpd
            }
            Self::RsyncSsh | Self::Scp => ssh::server(at)?,
            Self::Classic => {
                let mut python = Command::new("python3");
                python.arg(at.file("classic.py", include_str!("classic.py"))?);
                python.args(["serve", &port]).arg(target);
                python
            }
        };
        Ok(Some(command))
    }
}

/// The path of a program; servers may be where users don't look.
pub(super) fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(servers)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
