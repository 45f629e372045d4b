//! The uploads, the same to each server.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use haul_tests::http::HttpPeer;

use crate::server::Server;

/// Writes a file of so many bytes that no program can make shorter.
pub(crate) fn fill(path: &Path, len: u64) -> anyhow::Result<()> {
    let mut random = File::open("/dev/urandom")?.take(len);
    let mut file = BufWriter::new(File::create(path)?);
    std::io::copy(&mut random, &mut file)?;
    Ok(file.flush()?)
}

/// Puts the file by `curl -T`, and compares what came.
pub(crate) fn large(server: &Server, file: &Path) -> anyhow::Result<()> {
    let address = format!("http://{}/large", server.address());
    let status = Command::new("curl")
        .args(["-sS", "--fail", "-o", "/dev/null", "-T"])
        .arg(file)
        .arg(address)
        .status()
        .context("curl can't be started")?;
    ensure!(status.success(), "curl ended with {status}");
    let (sent, came) = (fs::metadata(file)?, fs::metadata(server.root().join("large"))?);
    ensure!(sent.len() == came.len(), "{} bytes came of {}", came.len(), sent.len());
    Ok(())
}

/// Puts so many small files, each connection its share: one request after the answer to the one before.
pub(crate) fn small(
    server: &Server,
    count: usize,
    len: usize,
    connections: usize,
) -> anyhow::Result<()> {
    let body = vec![b'h'; len];
    let (address, body) = (server.address(), &body[..]);
    let put = move |first: usize| -> anyhow::Result<()> {
        let mut peer = HttpPeer::connect(address);
        for number in (first..count).step_by(connections) {
            let name = format!("PUT /small-{number}");
            peer.ask(&name, &format!("Content-Length: {len}\r\n"), body);
            let reply = peer.receive();
            ensure!(reply.status == 201, "{name}: {}", reply.head);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..connections).map(|first| scope.spawn(move || put(first))).collect();
        running.into_iter().try_for_each(|one| one.join().ok().context("a client panicked")?)
    })?;
    for number in 0..count {
        let came = fs::metadata(server.root().join(format!("small-{number}")))?;
        ensure!(came.len() == len as u64, "small-{number} has {} bytes", came.len());
    }
    Ok(())
}
