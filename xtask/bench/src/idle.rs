//! Connections that send nothing: in clear, classic, of HTTP, or over TLS; and the server's memory for each.

use std::io::Write;
use std::sync::Arc;

use anyhow::ensure;
use haul_tests::hauld::Hauld;
use haul_tests::http::HttpPeer;
use haul_tests::peer::{Peer, classic, frame, put};
use haul_tests::tls::{Config, TlsPeer, hello_of};
use serde_json::json;

use crate::crowd::to_f64;

/// One connection.
#[derive(Debug)]
pub(crate) enum Idle {
    Clear(Peer),
    Classic(Peer),
    Http(HttpPeer),
    Tls(Box<TlsPeer>),
}

/// The server's memory for each of many connections, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// When they have said hello.
    pub(crate) idle: f64,
    /// When each has put a file as well.
    pub(crate) after_traffic: f64,
}

impl Idle {
    /// One that has said hello.
    pub(crate) fn clear(address: &str, number: usize) -> anyhow::Result<Self> {
        Ok(Self::Clear(Peer::hello_as(address, &format!("idle-{number}"), 0)?.0))
    }

    /// A classic one, which is one from its first frame on.
    pub(crate) fn classic(address: &str, number: usize) -> anyhow::Result<Self> {
        let mut peer = Peer::connect(address)?;
        peer.stream.write_all(&classic(&format!("first-{number}"), b"x"))?;
        Ok(Self::Classic(peer))
    }

    /// One that has fetched a list, and is kept.
    pub(crate) fn http(address: &str) -> anyhow::Result<Self> {
        let mut peer = HttpPeer::connect(address);
        let reply = peer.get("GET /?json");
        ensure!(reply.status == 200, "the list was answered with {}", reply.head);
        Ok(Self::Http(peer))
    }

    /// One over TLS that has said hello.
    pub(crate) fn tls(address: &str, number: usize, config: &Arc<Config>) -> anyhow::Result<Self> {
        let mut peer = TlsPeer::connect_with(address, Arc::clone(config))?;
        let answer = peer.ask(&hello_of(&format!("idle-{number}")), b"");
        ensure!(answer["hello"] == 1, "hello was answered with {answer}");
        Ok(Self::Tls(Box::new(peer)))
    }

    /// Puts an empty file.
    pub(crate) fn puts(&mut self, name: &str) -> anyhow::Result<()> {
        let answer = match self {
            Self::Clear(peer) => peer.ask(&put(1, name, b""), b"")?,
            Self::Tls(peer) => peer.ask(&put(1, name, b""), b""),
            Self::Http(peer) => {
                peer.ask(&format!("PUT /{name}"), "Content-Length: 0\r\n", b"");
                let reply = peer.receive();
                ensure!(reply.status == 201, "{name}: {}", reply.head);
                return Ok(());
            }
            Self::Classic(peer) => {
                let put = json!({"cmd": "put", "filename": name, "filesize": 0});
                return Ok(peer.stream.write_all(&frame(&put, b""))?);
            }
        };
        ensure!(answer["ack"] == 1, "{name}: {answer}");
        Ok(())
    }
}

/// Connects so many to a server that has nothing else to do.
pub(crate) fn memory(
    server: &Hauld,
    count: usize,
    connect: impl Fn(&str, usize) -> anyhow::Result<Idle>,
) -> anyhow::Result<Memory> {
    // The first ones fill buffers of the workers.
    let mut first = (0..50).map(|number| connect(server.address(), number));
    let mut first = first.by_ref().collect::<anyhow::Result<Vec<_>>>()?;
    first.iter_mut().try_for_each(|peer| peer.puts("first"))?;
    let before = server.status("VmRSS")?;
    let each = || -> anyhow::Result<f64> {
        let grown = server.status("VmRSS")?.saturating_sub(before);
        Ok(to_f64(grown) / to_f64(count as u64))
    };
    let peers = (0..count).map(|number| connect(server.address(), 50 + number));
    let mut peers = peers.collect::<anyhow::Result<Vec<_>>>()?;
    let idle = each()?;
    peers.iter_mut().try_for_each(|peer| peer.puts("again"))?;
    Ok(Memory { idle, after_traffic: each()? })
}

/// Prints both, and their ratios.
#[expect(clippy::print_stdout, reason = "chores report to whoever runs them")]
pub(crate) fn told(count: usize, clear: Memory, tls: Memory) {
    for (what, clear, tls) in [
        ("idle", clear.idle, tls.idle),
        ("idle after a file each", clear.after_traffic, tls.after_traffic),
    ] {
        println!(
            "{count} connections, {what}: {clear:.2} KiB each in clear, {tls:.2} KiB over TLS, ratio {:.2}",
            tls / clear
        );
    }
}
