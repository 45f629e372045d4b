//! Time and memory as work grows: more and more files, sent and read back, and more and more clients at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Args;
use haul_tests::binaries::{self, Binaries};
use haul_tests::eventually;
use tempfile::TempDir;

use crate::timed::{Figures, Timed};
use crate::workload::{count, small};

/// KiB that the largest number of files may take more than the smallest one, on either side.
const GROWTH_KIB: i64 = 16 << 10;

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Numbers of small files, each sent by one client and then read back by another.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1000,10000,100000,1000000"
    )]
    files: Vec<usize>,

    /// Numbers of clients at once, which send as many files together as each of the others.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,10,100,1000")]
    clients: Vec<usize>,

    /// Files that all clients send together.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    shared: usize,

    /// Directory for sources and targets.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,
}

/// Sends more and more files and reads them back, then sends with more and more clients, and prints a table each.
///
/// # Errors
/// If a client or the server fails, or files are missing, or memory grows with the number of files.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    println!("| files | seconds | files/s | CPU s, client + server | peak MiB, client + server |");
    println!("|---|---|---|---|---|");
    let (mut back, mut sent, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for &files in &options.files {
        let place = TempDir::new_in(&options.dir)?;
        let source = place.path().join("source");
        small(&source, files)?;
        let (clients, server) = send(&binaries, place.path(), std::slice::from_ref(&source))?;
        println!("| {files} | {}", row(files, &clients, &server));
        sent.extend(clients.iter().map(|client| (files, client.peak_kib, server.peak_kib)));
        // There may be no room for the files three times.
        fs::remove_dir_all(source)?;
        let (client, server) = read_back(&binaries, place.path())?;
        back.push(format!("| {files} | {}", row(files, &[client], &server)));
        read.push((files, client.peak_kib, server.peak_kib));
    }
    println!();
    println!(
        "| files read back | seconds | files/s | CPU s, client + server | peak MiB, client + server |"
    );
    println!("|---|---|---|---|---|");
    back.iter().for_each(|row| println!("{row}"));
    is_flat("sent", &sent)?;
    is_flat("read back", &read)?;
    println!();
    println!(
        "| clients | seconds | files/s | CPU s, clients + server | peak MiB, largest client + server |"
    );
    println!("|---|---|---|---|---|");
    for &number in &options.clients {
        let place = TempDir::new_in(&options.dir)?;
        let sources: Vec<PathBuf> =
            (0..number).map(|index| place.path().join(format!("source{index}"))).collect();
        for source in &sources {
            small(source, options.shared / number)?;
        }
        let (clients, server) = send(&binaries, place.path(), &sources)?;
        println!("| {number} | {}", row(options.shared / number * number, &clients, &server));
    }
    Ok(())
}

/// Fails if memory grows with the number of files. `peaks`: of each number of files, that of the client and that of the server.
///
/// With more files everything that has a bound comes nearer to it, so a larger number has some MiB more than a small one; a
/// hundred bytes for each of a million files would be a hundred MiB.
fn is_flat(what: &str, peaks: &[(usize, i64, i64)]) -> anyhow::Result<()> {
    let few = peaks.iter().min_by_key(|(files, ..)| *files);
    for ((files, client, server), (fewest, small_client, small_server)) in
        peaks.iter().zip(std::iter::repeat(few).flatten())
    {
        for (side, peak, small) in
            [("client", client, small_client), ("server", server, small_server)]
        {
            anyhow::ensure!(
                peak - small <= GROWTH_KIB,
                "files {what}: the {side} took {peak} KiB for {files} of them, and {small} KiB for {fewest}: memory grows"
            );
        }
    }
    Ok(())
}

/// Starts a server, and a client for each source at once.
pub(crate) fn send(
    binaries: &Binaries,
    place: &Path,
    sources: &[PathBuf],
) -> anyhow::Result<(Vec<Figures>, Figures)> {
    let (server, socket) = serve(binaries, place, "server")?;
    let clients: Vec<Timed> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let mut haul = Command::new(&binaries.haul);
            haul.args(["put", "--quiet"]).arg(source).arg(&socket);
            Timed::start(&haul, &place.join(format!("client{index}")))
        })
        .collect::<anyhow::Result<_>>()?;
    let clients = clients.into_iter().map(Timed::wait).collect::<anyhow::Result<Vec<_>>>()?;
    let server = server.stop()?;
    for source in sources {
        let arrived = place.join("root").join(source.file_name().context("a source has a name")?);
        anyhow::ensure!(count(source)? == count(&arrived)?, "{} differs", arrived.display());
    }
    Ok((clients, server))
}

/// Starts a server for the root that the server before has left, and a client that reads everything back.
fn read_back(binaries: &Binaries, place: &Path) -> anyhow::Result<(Figures, Figures)> {
    let (server, socket) = serve(binaries, place, "reading-server")?;
    let mut haul = Command::new(&binaries.haul);
    haul.args(["get", "--quiet", "--durability", "none"]).arg(format!("{socket}:/source"));
    let back = place.join("back");
    let client = Timed::start(haul.arg(&back), &place.join("reader"))?.wait()?;
    let server = server.stop()?;
    let (sent, came) = (place.join("root/source"), back.join("source"));
    anyhow::ensure!(count(&sent)? == count(&came)?, "{} differs", came.display());
    Ok((client, server))
}

/// Starts a server, with its figures in a directory of this name; returns its address too.
fn serve(binaries: &Binaries, place: &Path, name: &str) -> anyhow::Result<(Timed, String)> {
    let socket = place.join(format!("{name}.socket"));
    let address = format!("unix:{}", socket.display());
    let mut hauld = Command::new(&binaries.hauld);
    hauld.args(["--durability", "none", "--listen", &address, "--root"]).arg(place.join("root"));
    let server = Timed::start(&hauld, &place.join(name))?;
    eventually("the server listens", || socket.exists());
    Ok((server, address))
}

/// The time from the start of the first client to the end of the last one.
pub(crate) fn seconds(clients: &[Figures]) -> f64 {
    let started = clients.iter().map(|client| client.started).min().unwrap_or_default();
    let ended = clients.iter().map(|client| client.ended).max().unwrap_or_default();
    ended.saturating_sub(started).as_secs_f64()
}

/// The figures of one line of a table.
fn row(files: usize, clients: &[Figures], server: &Figures) -> String {
    let seconds = seconds(clients);
    let cpu: f64 = clients.iter().map(|client| client.user + client.system).sum();
    let peak = clients.iter().map(|client| client.peak_kib).max().unwrap_or_default();
    format!(
        "{seconds:.2} | {:.0} | {cpu:.2} + {:.2} | {:.1} + {:.1} |",
        files as f64 / seconds,
        server.user + server.system,
        peak as f64 / 1024.0,
        server.peak_kib as f64 / 1024.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_with_the_files_is_a_failure_on_either_side() {
        let flat = [(1000, 10_000, 9_000), (1_000_000, 10_000 + GROWTH_KIB, 12_000)];
        is_flat("sent", &flat).unwrap();
        is_flat("sent", &flat[..1]).unwrap();
        is_flat("sent", &[]).unwrap();
        for grown in [(100, 10_001 + GROWTH_KIB, 9_000), (100, 10_000, 9_001 + GROWTH_KIB)] {
            is_flat("sent", &[grown, (10, 10_000, 9_000)]).unwrap_err();
        }
    }
}
