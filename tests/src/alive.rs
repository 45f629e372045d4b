//! Whether a server still serves: an answer for a connection that does nothing wrong, and an end when it is asked
//! to end.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::hauld::Hauld;
use crate::peer::{Peer, frame, put};
use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde_json::json;

/// Time that a server that is very busy may take to answer a few requests, or to end after its grace time. A
/// server that takes longer hangs.
pub const GENEROUS: Duration = Duration::from_secs(30);

/// A new connection says `hello` and asks `ping`.
///
/// # Errors
/// If the server answers late, otherwise or not at all.
pub fn ping(server: &Hauld) -> anyhow::Result<()> {
    let mut peer = greeted(server)?;
    let answer =
        peer.ask(&json!({"cmd": "ping", "id": 1}), b"").with_context(|| no_answer("ping"))?;
    ensure!(answer["answer"] == 1, "ping was answered with {answer}");
    Ok(())
}

/// As [`ping`], and then puts a small file, whose header comes in two pieces, as over a bad network.
///
/// # Errors
/// If the server answers late, otherwise or not at all, or has not stored the file.
pub fn ping_and_put(server: &Hauld, name: &str) -> anyhow::Result<()> {
    let mut peer = greeted(server)?;
    let answer =
        peer.ask(&json!({"cmd": "ping", "id": 1}), b"").with_context(|| no_answer("ping"))?;
    ensure!(answer["answer"] == 1, "ping was answered with {answer}");
    let bytes = frame(&put(2, name, name.as_bytes()), name.as_bytes());
    let (first, second) = bytes.split_at(40);
    peer.stream.write_all(first)?;
    std::thread::sleep(Duration::from_millis(10));
    peer.stream.write_all(second)?;
    let (answer, _) = peer.receive().with_context(|| no_answer("put"))?;
    ensure!(answer["ack"] == 2, "put was answered with {answer}");
    let stored = std::fs::read(server.root().join(name))?;
    ensure!(stored == name.as_bytes(), "{name} is acknowledged and is not what was sent");
    Ok(())
}

fn greeted(server: &Hauld) -> anyhow::Result<Peer> {
    let mut peer = Peer::connect(server.address()).context("could not connect")?;
    peer.stream.set_read_timeout(Some(GENEROUS))?;
    let hello = peer.say_hello(&peer.unique(), 0, None).with_context(|| no_answer("hello"))?;
    ensure!(hello["hello"] == 1, "hello was answered with {hello}");
    Ok(peer)
}

fn no_answer(request: &str) -> String {
    format!("no answer to {request}, {GENEROUS:?} are the most")
}

/// Asks the server to end, and waits for its end.
///
/// # Errors
/// If the server ends late or with a failure.
pub fn stop(server: &mut Hauld, grace: Duration) -> anyhow::Result<()> {
    server.signal(Signal::TERM)?;
    let until = Instant::now() + grace + GENEROUS;
    loop {
        if let Some(status) = server.ended()? {
            ensure!(status.success(), "the server ended with {status}");
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "the server has not ended {GENEROUS:?} after SIGTERM and its grace of {grace:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Describes a server that was found to be wrong: whether it answers, whether it ends.
pub fn diagnose(server: &mut Hauld, grace: Duration) -> String {
    let threads = waiting(server);
    let ping = match ping(server) {
        Ok(()) => String::from("is answered"),
        Err(error) => format!("fails: {error:#}"),
    };
    let stop = match stop(server, grace) {
        Ok(()) => String::from("SIGTERM ends it"),
        Err(error) => format!("{error:#}"),
    };
    format!("hello and ping of another connection: {ping}; {stop}; its threads: {threads}")
}

/// The kernel's name for the wait of each thread: `futex` for all workers is a deadlock.
fn waiting(server: &Hauld) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut threads: Vec<String> = tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| {
            format!("{} in {}", read(task.path().join("comm")), read(task.path().join("wchan")))
        })
        .collect();
    threads.sort();
    threads.join(", ")
}
