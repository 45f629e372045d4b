//! One large file comes back, and at half the client is killed, and another time the server: what has come does not come
//! again. Counted are the bytes that the server has sent and the client has got, on their way.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use haul_tests::hauld::Hauld;
use haul_tests::relay::{Event, Relay};
use haul_tests::tree;
use humansize::{BINARY, format_size};
use rustix::process::Signal;

use super::start;
use crate::Setting;
use crate::client::{Acks, Client, Told};

const MIB: u64 = 1 << 20;

/// Bytes of a part, as the client chooses for files of this size.
const PART: u64 = MIB;

const CONNECTIONS: u64 = 4;

/// Bytes that an answer has besides its body, at the most.
const HEADER: u64 = 512;

/// Time that either run may take.
const CALM: Duration = Duration::from_secs(600);

/// The side that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Lets a file of so many MiB come twice, each time with an interruption.
pub(crate) fn halves(setting: &Setting<'_>, mib: u64) -> anyhow::Result<()> {
    let mut server = start(setting)?;
    let source = server.root().join("large");
    make(&source, mib)?;
    for side in [Side::Client, Side::Server] {
        interrupted(setting, &mut server, (&source, mib * MIB), side)
            .with_context(|| format!("{mib} MiB, and the {side} is killed at half"))?;
    }
    server.signal(Signal::TERM)?;
    ensure!(server.wait()?.success(), "the server has failed");
    Ok(())
}

fn interrupted(
    setting: &Setting<'_>,
    server: &mut Hauld,
    (source, size): (&Path, u64),
    side: Side,
) -> anyhow::Result<()> {
    let relay = Relay::start(server.address(), &[])?;
    let back = setting.directory.join("half");
    let get = || {
        let connections = CONNECTIONS.to_string();
        let from = format!("{}/large", relay.address());
        let to = back.to_string_lossy();
        let words = ["get", "--durability", "none", "--connections", &connections, &from, &to];
        let words = words.map(str::to_owned);
        let own = setting.directory.join("haul");
        let (haul, acks) = (&setting.binaries.haul, Arc::new(Acks::default()));
        Client::start(haul, (setting.directory, &own), &words, setting.logs, &acks)
    };
    let mut run = get()?;
    until("half of it has come", || {
        ensure!(run.ended()?.is_none(), "the run has ended before");
        Ok(relay.brought() >= size / 2)
    })?;
    // All that has been sent so far comes to the client: only parts that are not whole are under way then.
    relay.now(Event::Stall);
    until("the client has read all of that", || has_nothing_to_read(relay.address()))?;
    until("the client rests", || rests(run.pid()))?;
    let half = relay.brought();
    let told = match side {
        Side::Client => {
            run.signal(Signal::KILL);
            until("it is dead", || Ok(run.ended()?.is_some()))?;
            relay.now(Event::Cut);
            finish(get()?)?
        }
        Side::Server => {
            server.signal(Signal::KILL)?;
            server.wait()?;
            *server = start(setting)?;
            relay.lead_to(server.address());
            relay.now(Event::Cut);
            finish(run)?
        }
    };
    // Of each connection the part that was not whole.
    let twice = CONNECTIONS * PART;
    let most = size + twice + size.div_ceil(PART) * HEADER;
    let sent = relay.brought();
    ensure!(
        sent <= most,
        "the server has sent {sent} bytes, {half} of them before: {most} are the most"
    );
    let counted = told.bytes_received + told.bytes_resumed;
    let is_right = (size..=size + twice).contains(&counted);
    ensure!(is_right, "the client has counted {counted} bytes: {told:?}");
    tree::compare(source, &back.join("large"))?;
    ensure!(fs::read_dir(&back)?.count() == 1, "more than the file is there");
    fs::remove_dir_all(&back)?;
    let shown = |bytes| format_size(bytes, BINARY);
    println!(
        "{} came back, and the {side} was killed at {}: {} sent more than once or around them, {} resumed",
        shown(size),
        shown(half),
        shown(sent.saturating_sub(size)),
        shown(told.bytes_resumed),
    );
    Ok(())
}

fn finish(mut run: Client) -> anyhow::Result<Told> {
    let mut status = None;
    until("the run ends", || {
        status = run.ended()?;
        Ok(status.is_some())
    })?;
    let told = run.told()?;
    ensure!(status.is_some_and(|status| status.success()), "it failed: {told:?}");
    Ok(told)
}

/// Waits.
fn until(what: &str, mut is: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let until = Instant::now() + CALM;
    while !is().with_context(|| what.to_owned())? {
        ensure!(Instant::now() < until, "{what}: not within {CALM:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Whether all bytes that were passed on to an address's clients have been read by them, from /proc/net/tcp.
fn has_nothing_to_read(address: &str) -> anyhow::Result<bool> {
    let port: u16 = address.rsplit(':').next().context("a port")?.parse()?;
    let (port, table) = (format!(":{port:04X}"), fs::read_to_string("/proc/net/tcp")?);
    let waits = table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, remote, _, queues, ..] = fields[..] else { return false };
        let Some((to_send, to_read)) = queues.split_once(':') else { return false };
        let is_empty = |queue: &str| queue.bytes().all(|digit| digit == b'0');
        local.ends_with(&port) && !is_empty(to_send)
            || remote.ends_with(&port) && !is_empty(to_read)
    });
    Ok(!waits)
}

/// Whether a process uses no processor for a while.
fn rests(pid: u32) -> anyhow::Result<bool> {
    let used = || -> anyhow::Result<Vec<String>> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(") ").context("a name")?.1.split(' ').skip(11).take(2);
        Ok(fields.map(str::to_owned).collect())
    };
    let before = used()?;
    std::thread::sleep(Duration::from_millis(60));
    Ok(used()? == before)
}

/// A file of which no two MiB are the same.
fn make(path: &Path, mib: u64) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let mut block: Vec<u8> = (0..=250).cycle().take(usize::try_from(MIB)?).collect();
    for index in 0..mib {
        block[..8].copy_from_slice(&index.to_le_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}
