//! One run of haul, and its output while it runs.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Names that clients reported as committed, in one round.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<Acknowledged>);

#[derive(Debug, Default)]
struct Acknowledged {
    names: HashSet<String>,
    /// The names as they came; a name comes again when a later run sends it again.
    order: Vec<String>,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Acknowledged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, name: &str) {
        let mut acks = self.lock();
        acks.names.insert(name.to_owned());
        acks.order.push(name.to_owned());
    }

    /// Whether any run has said that this is committed.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().names.contains(name)
    }

    /// All names so far, as often as they came.
    pub(crate) fn each(&self) -> Vec<String> {
        self.lock().order.clone()
    }

    /// All names so far, the last ones first, each once.
    pub(crate) fn newest_first(&self) -> Vec<String> {
        let acks = self.lock();
        let mut seen = HashSet::new();
        acks.order.iter().rev().filter(|name| seen.insert(name.as_str())).cloned().collect()
    }
}

/// The rest of a run's output.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Files that failed, and why.
    pub(crate) failed: Vec<String>,
    /// The last word about them; for a run that was killed, perhaps from seconds before.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_resumed: u64,
    /// The last line of a run that was not killed.
    pub(crate) summary: Option<Value>,
    /// Output that makes no sense, such as a name that was committed twice.
    pub(crate) garbled: Option<String>,
}

/// A client that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    reader: Option<JoinHandle<Told>>,
}

impl Client {
    /// Starts haul in the directory of the source, with its files in `own`. Its output is appended to `client.log` and
    /// `client.out` among the logs.
    pub(crate) fn start(
        haul: &Path,
        (directory, own): (&Path, &Path),
        args: &[String],
        logs: &Path,
        acks: &Arc<Acks>,
    ) -> anyhow::Result<Self> {
        let append = |name| File::options().create(true).append(true).open(logs.join(name));
        let (log, copy) = (append("client.log")?, append("client.out")?);
        let mut child = Command::new(haul)
            .current_dir(directory)
            .env("HAUL_CONFIG_DIR", own)
            .args(args)
            .args(["--json", "-v"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("could not start haul")?;
        let out = child.stdout.take().context("no standard output")?;
        let acks = Arc::clone(acks);
        let reader = std::thread::spawn(move || read(out, copy, &acks));
        Ok(Self { child, reader: Some(reader) })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. The client may have ended meanwhile.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// The client's exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The client's output, when it has ended.
    pub(crate) fn told(mut self) -> anyhow::Result<Told> {
        let reader = self.reader.take().context("read already")?;
        reader.join().ok().context("the reader panicked")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The client may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end. The last line of a run that was killed may be cut off.
fn read(out: ChildStdout, copy: File, acks: &Acks) -> Told {
    let (mut told, mut copy) = (Told::default(), BufWriter::new(copy));
    let mut names = HashSet::new();
    let mut lines = BufReader::new(out).lines().map_while(Result::ok).peekable();
    while let Some(line) = lines.next() {
        // For people only.
        let _ = writeln!(copy, "{line}");
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            if lines.peek().is_some() {
                told.garbled = Some(line);
            }
            continue;
        };
        match event["event"].as_str() {
            Some("committed") => {
                let name = event["name"].as_str().unwrap_or_default();
                acks.add(name);
                if !names.insert(name.to_owned()) {
                    told.garbled = Some(line);
                }
            }
            Some("failed") => told.failed.push(line),
            // The server begins no version of the directory.
            Some("error") if line.contains("not published: refused") => told.failed.push(line),
            Some(kind @ ("progress" | "summary")) => {
                told.bytes_sent = event["bytes_sent"].as_u64().unwrap_or(0);
                told.bytes_received = event["bytes_received"].as_u64().unwrap_or(0);
                told.bytes_resumed = event["bytes_resumed"].as_u64().unwrap_or(0);
                told.summary = (kind == "summary").then_some(event);
            }
            _ => {}
        }
    }
    told
}
