//! One file over the line with one program, and whether it has arrived.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::place::Place;

/// A program, and how it sends a file.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) way: Way,
    /// Its file is so many times smaller than the largest, since over a lossy line it is so slow.
    pub(crate) divisor: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// `haul put` with these options.
    Haul(Vec<&'static str>),
    /// To an rsync daemon.
    Rsync,
    /// `curl -T` to an FTP-like server is not there everywhere, so curl fetches from `python3 -m http.server`: the
    /// sender is the other side, and the line is the same.
    Curl,
}

/// The addresses and directories of both ends.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) haul: PathBuf,
    /// `HOST:PORT` of hauld.
    pub(crate) hauld: String,
    pub(crate) rsyncd: String,
    /// `HOST:PORT` of the web server, which serves the directory of the sources.
    pub(crate) web: String,
    /// The root of hauld and of the rsync daemon.
    pub(crate) root: PathBuf,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) time: Duration,
    /// Connections that haul had.
    pub(crate) connections: Option<usize>,
    /// The congestion control of its connections.
    pub(crate) algorithm: Option<String>,
}

/// Sends `source` from `near`, and compares what has arrived with it.
pub(crate) fn run(peer: &Peer, near: &Place, ends: &Ends, source: &Path) -> anyhow::Result<Run> {
    let target = ends.root.join("arrived");
    let _ = std::fs::remove_file(&target);
    let mut command = command(&peer.way, ends, source, &target)?;
    let (output, time) = near.run(move || {
        let begin = Instant::now();
        let output = command.stdin(Stdio::null()).output().context("could not start")?;
        Ok((output, begin.elapsed()))
    })?;
    ensure!(output.status.success(), "{}: {}", output.status, text(&output));
    if std::fs::read(source)? != std::fs::read(&target)? {
        bail!("the file at the other end is another one");
    }
    let said = text(&output);
    let lines: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("haul: connection ")).collect();
    let is_haul = matches!(peer.way, Way::Haul(_));
    let algorithm = |line: &&str| Some(line.split([':', ',']).nth(1)?.trim().to_owned());
    Ok(Run {
        time,
        connections: is_haul.then_some(lines.len()),
        algorithm: lines.first().and_then(algorithm),
    })
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn command(way: &Way, ends: &Ends, source: &Path, target: &Path) -> anyhow::Result<Command> {
    Ok(match way {
        Way::Haul(options) => {
            let mut command = Command::new(&ends.haul);
            command
                .args(["put", "-v", "--insecure", "--as", "arrived"])
                .arg(source)
                .arg(&ends.hauld);
            command.args(options);
            command
        }
        Way::Rsync => {
            let mut command = Command::new("rsync");
            // Without its comparison with what is there, which is nothing.
            command.args(["--whole-file", "--inplace"]).arg(source);
            command.arg(format!("rsync://{}/root/arrived", ends.rsyncd));
            command
        }
        Way::Curl => {
            let name = source.file_name().and_then(|name| name.to_str()).context("no name")?;
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--fail", "-o"]).arg(target);
            command.arg(format!("http://{}/{name}", ends.web));
            command
        }
    })
}
