//! Upload a real tree with the real binaries, and compare every name, byte, mode, mtime and link; have b3sum check the
//! receipt; get the tree back, and compare again. Then the same upload over TLS with an account.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use haul_tests::hauld::Hauld;
use haul_tests::{binaries, tree};
use humansize::{BINARY, format_size};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::e2e_account;

/// The version of `b3sum` that is built where there is none.
const B3SUM: &str = "1.8.7";

/// Options of the chore.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The tree to upload [default: the sources of this workspace's dependencies].
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,

    /// Parallel connections [default: haul's own].
    #[arg(long, value_name = "N")]
    connections: Option<u16>,

    /// Directory for the server's temporary root.
    #[arg(long, value_name = "DIR")]
    tmp: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let sources = match &options.tree {
        Some(tree) => vec![tree.canonicalize().with_context(|| tree.display().to_string())?],
        None => dependencies()?,
    };
    let directory = || match &options.tmp {
        Some(tmp) => TempDir::new_in(tmp),
        None => TempDir::new(),
    };
    let mut server = Hauld::start_in(directory()?, Command::new(&binaries.hauld), &[])?;
    println!("server {} on {}", server.root().display(), server.address());

    let mut haul = Command::new(&binaries.haul);
    let receipt = TempDir::new()?;
    let receipt = receipt.path().join("receipt");
    haul.arg("put").arg("--json").arg("--receipt").arg(&receipt);
    haul.args(&sources).arg(server.address());
    if let Some(connections) = options.connections {
        haul.arg("--connections").arg(connections.to_string());
    }
    let start = Instant::now();
    let output = haul.stderr(std::process::Stdio::inherit()).output()?;
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "haul ended with {}:\n{text}", output.status);
    let summary: serde_json::Value =
        serde_json::from_str(text.lines().last().context("haul printed no summary")?)?;

    let mut total = tree::Compared::default();
    for source in &sources {
        let name = source.file_name().context("a tree has a name")?;
        let compared = tree::compare(source, &server.root().join(name))?;
        total.files += compared.files;
        total.directories += compared.directories;
        total.links += compared.links;
        total.bytes += compared.bytes;
    }
    ensure!(summary["files"] == total.files, "summary counts {} files", summary["files"]);
    ensure!(summary["bytes_total"] == total.bytes, "summary: {} bytes", summary["bytes_total"]);
    let checked = check_receipt(&receipt, server.root())?;
    ensure!(checked == total.files, "the receipt has {checked} files, not {}", total.files);
    let expected = sources.len() + 1;
    let found = std::fs::read_dir(server.root())?.count();
    ensure!(found == expected, "{found} entries in the root, not {expected}");
    ensure!(server.staged()?.is_empty(), "half-written files are left");
    let got = get_back(&binaries.haul, &server, &sources, directory()?)?;
    server.signal(Signal::TERM)?;
    let status = server.wait()?;
    if !status.success() {
        bail!("hauld ended with {status}: {}", server.log_text());
    }
    report(&total, seconds);
    println!("got back in {got:.2} s, the same in everything");
    drop(server);
    e2e_account::run(&binaries, &sources, directory()?)
}

/// Gets everything back into another directory, and compares it with the sources; returns the time that `haul get` took.
fn get_back(
    haul: &Path,
    server: &Hauld,
    sources: &[PathBuf],
    place: TempDir,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let output = Command::new(haul)
        .args(["get", "--json", &format!("haul://{}/", server.address())])
        .arg(place.path().join("back"))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "haul get ended with {}:\n{text}", output.status);
    for source in sources {
        let name = source.file_name().context("a tree has a name")?;
        tree::compare(source, &place.path().join("back").join(name))?;
    }
    let found = std::fs::read_dir(place.path().join("back"))?.count();
    ensure!(found == sources.len(), "{found} entries came back, not {}", sources.len());
    Ok(seconds)
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn report(total: &tree::Compared, seconds: f64) {
    println!(
        "{} files, {} directories, {} links, {}: the same in every name, byte, mode, mtime and link, and for \
         b3sum --check",
        total.files,
        total.directories,
        total.links,
        format_size(total.bytes, BINARY),
    );
    println!(
        "{seconds:.2} s: {:.0} files/s, {:.1} MiB/s",
        total.files as f64 / seconds,
        total.bytes as f64 / seconds / (1024.0 * 1024.0),
    );
}

/// Has a tool that isn't haul read every file and compare it with the receipt; returns how many it read.
fn check_receipt(receipt: &Path, root: &Path) -> anyhow::Result<u64> {
    let output = Command::new(b3sum()?)
        .arg("--check")
        .arg(receipt)
        .current_dir(root)
        .output()
        .context("could not run b3sum")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "b3sum --check: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said.lines().filter(|line| line.ends_with(": OK")).count() as u64)
}

/// The `b3sum` of this machine, or one that is built from crates.io.
fn b3sum() -> anyhow::Result<PathBuf> {
    let here = Command::new("b3sum").arg("--version").output();
    if here.is_ok_and(|output| output.status.success()) {
        return Ok(PathBuf::from("b3sum"));
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let built = tools.join("bin/b3sum");
    if !built.is_file() {
        println!("building b3sum, which checks the receipt");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["install", "--quiet", "--locked", "--version", B3SUM, "b3sum", "--root"])
            .arg(&tools)
            .status()?;
        ensure!(status.success(), "b3sum could not be built; install it: cargo install b3sum");
    }
    Ok(built)
}

/// The unpacked sources of every dependency: real trees that are on every machine that builds haul.
fn dependencies() -> anyhow::Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut sources: Vec<PathBuf> = packages
        .iter()
        .filter(|package| package["source"].is_string())
        .filter_map(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .map(Path::to_owned)
        .collect();
    sources.sort();
    ensure!(!sources.is_empty(), "this workspace has no dependencies with sources");
    Ok(sources)
}
