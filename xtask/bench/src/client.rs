//! The command of each peer's client.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::peer::{ACCOUNT, Peer, Place};
use super::ssh;
use super::workload::Direction;

impl Peer {
    /// The command that sends `source` to the server behind `port`, or reads it back from there.
    pub(crate) fn client(
        self,
        source: &Path,
        port: u16,
        at: &Place<'_>,
    ) -> anyhow::Result<Command> {
        let name = source.file_name().context("a source has a name")?;
        let mut command = match self {
            Self::Haul | Self::Tls => Command::new(&at.binaries.haul),
            Self::Floor => Command::new(at.floor),
            Self::Rsync | Self::RsyncSsh => Command::new("rsync"),
            Self::Tar => Command::new("sh"),
            Self::Cp => Command::new("cp"),
            Self::Lftp => Command::new("lftp"),
            Self::Curl => Command::new("curl"),
            Self::Socat => Command::new("socat"),
            Self::Scp => Command::new("scp"),
            Self::Classic => Command::new("python3"),
        };
        match self {
            Self::Haul if at.over_ssh => ssh::haul(&mut command, source, port, at),
            Self::RsyncSsh => ssh::rsync(&mut command, source, port, at),
            Self::Scp => ssh::scp(&mut command, source, port, at),
            Self::Haul | Self::Tls => {
                // Not the files of whoever runs the chore.
                let files = at.directory.join("haul");
                if self == Self::Tls {
                    let link = at.register().link(ACCOUNT, &format!("127.0.0.1:{port}"))?;
                    let token = fs::read_to_string(at.directory.join("token"))?;
                    at.register().log_in(&link, &token, &files)?;
                }
                command.env("HAUL_CONFIG_DIR", files);
                let server = format!("127.0.0.1:{port}");
                match at.direction {
                    Direction::Send => {
                        command.arg(if at.is_there { "sync" } else { "put" });
                        command.arg("--quiet").arg(source).arg(server);
                    }
                    Direction::Read => {
                        let durability = if at.durable { "group" } else { "none" };
                        command.args(["get", "--quiet", "--durability", durability]);
                        command.arg(format!("{server}/{}", Path::new(name).display()));
                        command.arg(at.target());
                    }
                }
            }
            Self::Floor => {
                let port = port.to_string();
                match at.direction {
                    Direction::Send => command.args(["put", &port]).arg(source),
                    Direction::Read => command.args(["get", &port]).arg(name).arg(at.target()),
                };
            }
            Self::Rsync => {
                command.args(["-a", "--whole-file"]);
                command.args(at.durable.then_some("--fsync"));
                let module = format!("rsync://127.0.0.1:{port}/t/");
                match at.direction {
                    Direction::Send => command.arg(source).arg(module),
                    Direction::Read => {
                        let source = format!("{module}{}", Path::new(name).display());
                        command.arg(source).arg(at.target())
                    }
                };
            }
            Self::Tar => {
                let script = "tar c -C \"$1\" \"$2\" | nc -N 127.0.0.1 \"$3\"";
                command.args(["-c", script, "sh"]);
                command.arg(source.parent().context("a source has a parent")?).arg(name);
                command.arg(port.to_string());
            }
            Self::Cp => {
                command.args(["-r", "--preserve=mode,timestamps"]).arg(source).arg(at.target());
            }
            Self::Lftp => {
                let (from, to) = (source.display(), Path::new(name).display());
                command.args([
                    "-c",
                    &format!(
                        "set net:max-retries 1; open -u anonymous, ftp://127.0.0.1:{port}; \
                     mirror -R -P 8 {from} {to}"
                    ),
                ]);
            }
            Self::Curl => {
                command.args(["-sS", "-T"]).arg(source).arg(format!("ftp://127.0.0.1:{port}/"));
            }
            Self::Socat => {
                command.args(["-u", "-b", "262144"]);
                command.arg(format!("OPEN:{}", source.display()));
                command.arg(format!("TCP:127.0.0.1:{port}"));
            }
            Self::Classic => {
                command.arg(at.directory.join("classic.py")).args(["send", &port.to_string()]);
                command.arg(source);
            }
        }
        Ok(command)
    }
}
