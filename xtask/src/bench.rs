//! haul beside an rsync daemon and `cp -r`: all in one run, medians and ratios, because machines
//! differ and are shared.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use haul_tests::hauld::Hauld;
use haul_tests::{binaries, eventually};
use tempfile::TempDir;

use crate::crowd::median;

/// Options of the chore.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each command; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Number of small files.
    #[arg(long, default_value_t = 100_000)]
    files: usize,

    /// Size of the one large file in MiB.
    #[arg(long, default_value_t = 4096)]
    large: usize,

    /// A further tree to upload.
    #[arg(long, value_name = "DIR")]
    tree: Vec<PathBuf>,

    /// Parallel connections [default: haul's own].
    #[arg(long, value_name = "N")]
    connections: Option<u16>,

    /// Where sources and targets are made; a tmpfs keeps the disk out.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    tmp: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let directory = TempDir::new_in(&options.tmp)?;
    let target = directory.path().join("target");
    fs::create_dir(&target)?;
    let server = {
        let root = TempDir::new_in(&options.tmp)?;
        Hauld::start_in(root, Command::new(&binaries.hauld), &[])?
    };
    let rsyncd = Rsyncd::start(directory.path(), &target)?;

    let mut trees = Vec::new();
    if options.files > 0 {
        trees.push(("small files", small(directory.path(), options.files)?));
    }
    if options.large > 0 {
        trees.push(("one large file", large(directory.path(), options.large)?));
    }
    trees.extend(options.tree.iter().map(|tree| ("tree", tree.clone())));

    for (what, source) in trees {
        let clear = |directory: &Path| -> anyhow::Result<()> {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                match path.file_name().is_some_and(|name| name == ".haul") {
                    true => {}
                    false if path.is_dir() => fs::remove_dir_all(path)?,
                    false => fs::remove_file(path)?,
                }
            }
            Ok(())
        };
        let mut haul = Command::new(&binaries.haul);
        haul.args(["put", "--quiet"]).arg(&source).arg(server.address());
        if let Some(connections) = options.connections {
            haul.args(["--connections", &connections.to_string()]);
        }
        let mut rsync = Command::new("rsync");
        rsync.args(["-a", "--whole-file"]).arg(&source).arg(&rsyncd.url);
        let mut cp = Command::new("cp");
        cp.args(["-r", "--preserve=mode,timestamps"]).arg(&source).arg(&target);

        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..options.runs {
            let commands = [
                (&mut haul, server.root()),
                (&mut rsync, target.as_path()),
                (&mut cp, target.as_path()),
            ];
            for ((command, into), times) in commands.into_iter().zip(&mut times) {
                let start = Instant::now();
                let status = command.status()?;
                times.push(start.elapsed().as_secs_f64());
                ensure!(status.success(), "{command:?} ended with {status}");
                clear(into)?;
            }
        }
        println!("{what}: {}", source.display());
        let all = format!("{times:.2?}");
        let [haul, rsync, cp] = times.each_mut().map(|times| median(times));
        println!("  haul {haul:.2} s, rsync daemon {rsync:.2} s, cp -r {cp:.2} s (medians)");
        println!("  haul / rsync {:.2}, haul / cp {:.2}", haul / rsync, haul / cp);
        println!("  all samples, haul, rsync, cp: {all}");
        if source.starts_with(directory.path()) {
            if source.is_dir() { fs::remove_dir_all(&source)? } else { fs::remove_file(&source)? }
        }
    }
    Ok(())
}

/// A daemon on a free port, serving one writable module.
pub(crate) struct Rsyncd {
    child: Child,
    pub(crate) url: String,
}

impl Rsyncd {
    pub(crate) fn start(directory: &Path, target: &Path) -> anyhow::Result<Self> {
        // Free in this moment, which is enough on one machine.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = directory.join("rsyncd.conf");
        fs::write(
            &config,
            format!(
                "use chroot = no\naddress = 127.0.0.1\n[t]\npath = {}\nread only = no\n\
                 uid = {}\ngid = {}\n",
                target.display(),
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            ),
        )?;
        let child = Command::new("rsync")
            .args(["--daemon", "--no-detach", "--port", &port.to_string(), "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .context("rsync must be installed to compare with it")?;
        let rsyncd = Self { child, url: format!("rsync://127.0.0.1:{port}/t/") };
        eventually("the rsync daemon listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Ok(rsyncd)
    }
}

impl Drop for Rsyncd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Files of 1 to 5 KB, 3 KB on average, 200 in a directory.
pub(crate) fn small(directory: &Path, count: usize) -> anyhow::Result<PathBuf> {
    let root = directory.join("small");
    let mut seed = 1_u64;
    for index in 0..count {
        let parent = root.join(format!("d{:04}", index / 200));
        if index % 200 == 0 {
            fs::create_dir_all(&parent)?;
        }
        let len = 1000 + usize::try_from(random(&mut seed) % 4000)?;
        let bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| random(&mut seed).to_le_bytes()).take(len).collect();
        fs::write(parent.join(format!("f{index}")), bytes)?;
    }
    Ok(root)
}

fn large(directory: &Path, mebibytes: usize) -> anyhow::Result<PathBuf> {
    let path = directory.join("large");
    let mut file = fs::File::create(&path)?;
    let mut seed = 2_u64;
    let mut block: Vec<u8> = (0..1 << 17).flat_map(|_| random(&mut seed).to_le_bytes()).collect();
    for index in 0..mebibytes {
        block[..8].copy_from_slice(&(index as u64).to_le_bytes());
        file.write_all(&block)?;
    }
    Ok(path)
}

/// Bytes that don't repeat (xorshift64, Marsaglia 2003).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
