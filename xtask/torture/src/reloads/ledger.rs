//! The files that clients have put and that servers have acknowledged, against those of which the hook was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use haul_tests::DEADLINE;
use haul_tests::hook::{Hook, WHOLE};
use serde_json::Value;

use super::report::{Counts, What};

/// A file: its name in the server's root, and its digest.
type File = (String, String);

/// The books of a bout, and the program that is told.
#[derive(Debug)]
pub(super) struct Ledger {
    hook: Hook,
    /// The sizes of all files that anybody has ever put.
    put: BTreeMap<File, u64>,
    /// The directories above them.
    directories: BTreeSet<String>,
    /// How often each was acknowledged.
    acknowledged: BTreeMap<File, u64>,
}

/// The changes that the program was told.
#[derive(Debug, Default)]
struct Told {
    events: u64,
    /// Each change once, by its id.
    changes: BTreeMap<String, Value>,
    /// How many changes there were of each file.
    files: BTreeMap<File, u64>,
    /// The digest in the last event of each name; none if that was its removal.
    last: BTreeMap<String, Option<String>>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let (put, directories, acknowledged) = Default::default();
        Self { hook: Hook::new(WHOLE), put, directories, acknowledged }
    }

    /// The words of the server for the program.
    pub(super) fn words(&self) -> [String; 2] {
        self.hook.words("--on-commit")
    }

    /// From now on some runs of the program fail: before they have taken their lines, or after that.
    pub(super) fn is_moody(&self) {
        let fails = |of: u32| format!("[ $(( $$ % {of} )) != 0 ]");
        self.hook.becomes(&format!("{} || exit 1; {WHOLE} && {}", fails(5), fails(7)));
    }

    /// A client is about to put this file.
    pub(super) fn is_put(&mut self, name: &str, size: u64, digest: &str) {
        self.put.insert((name.to_owned(), digest.to_owned()), size);
        let above = Path::new(name).ancestors().skip(1);
        self.directories.extend(above.map(|path| path.to_string_lossy().into_owned()));
    }

    /// A client was told that this file is stored.
    pub(super) fn is_acknowledged(&mut self, name: &str, digest: &str) {
        *self.acknowledged.entry((name.to_owned(), digest.to_owned())).or_default() += 1;
    }

    /// Waits until the program, which works well from now on, has been told of everything.
    pub(super) fn settle(&self, root: &Path, counts: &mut Counts) -> anyhow::Result<()> {
        self.hook.becomes(WHOLE);
        let until = Instant::now() + DEADLINE;
        loop {
            let told = self.read()?;
            let missing = self.missing(&told).or_else(|| stale(&told, root));
            let Some(missing) = missing else { return self.count(&told, counts) };
            ensure!(Instant::now() < until, "{DEADLINE:?} after the last change: {missing}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A file that was acknowledged more often than it was told.
    fn missing(&self, told: &Told) -> Option<String> {
        let wanting = |(file, acknowledged): (&File, &u64)| {
            let times = told.files.get(file).copied().unwrap_or(0);
            let (name, digest) = file;
            (times < *acknowledged).then(|| {
                format!(
                    "{name} ({digest}) was acknowledged {acknowledged} times and told {times} times"
                )
            })
        };
        self.acknowledged.iter().find_map(wanting)
    }

    /// Reads all that was told. Each event must be of something that a client has asked for.
    fn read(&self) -> anyhow::Result<Told> {
        let mut told = Told::default();
        for event in self.hook.taken() {
            told.events += 1;
            let text = |key: &str| event[key].as_str().with_context(|| format!("{key} of {event}"));
            if let Some(before) = told.changes.insert(text("id")?.to_owned(), event.clone()) {
                ensure!(before == event, "one id, two events: {before} and {event}");
                continue;
            }
            let name = text("name")?.to_owned();
            ensure!(event["uncertain"] != true, "uncertain on a good disk: {event}");
            match text("event")? {
                "file" => {
                    let file = (name.clone(), text("digest")?.to_owned());
                    let size = self.put.get(&file);
                    ensure!(
                        event["size"].as_u64() == size.copied(),
                        "nobody has put this: {event}"
                    );
                    told.last.insert(name, Some(file.1.clone()));
                    *told.files.entry(file).or_default() += 1;
                }
                "directory" => {
                    ensure!(self.directories.contains(&name), "nobody has made this: {event}");
                }
                "remove" => {
                    let known = self.put.keys().any(|(of, _)| *of == name);
                    let is_known = known || self.directories.contains(&name);
                    ensure!(is_known, "nobody has removed this: {event}");
                    told.last.insert(name, None);
                }
                _ => bail!("nobody has asked for this: {event}"),
            }
        }
        Ok(told)
    }

    fn count(&self, told: &Told, counts: &mut Counts) -> anyhow::Result<()> {
        let all = |of: &BTreeMap<File, u64>| of.values().sum::<u64>();
        let mut found = Counts::default();
        found.add(What::Acknowledged, all(&self.acknowledged));
        found.add(What::Told, told.changes.len() as u64);
        found.add(What::ToldAgain, told.events - told.changes.len() as u64);
        let spare = all(&told.files).checked_sub(all(&self.acknowledged));
        found.add(What::NeverAcknowledged, spare.context("fewer told than acknowledged")?);
        found.add(What::Names, told.last.len() as u64);
        *counts += found;
        Ok(())
    }
}

/// A name whose last event is not that of the file that is there.
fn stale(told: &Told, root: &Path) -> Option<String> {
    let differs = |(name, digest): (&String, &Option<String>)| {
        let there = fs::read(root.join(name)).ok();
        let there = there.map(|bytes| blake3::hash(&bytes).to_string());
        (there != *digest).then(|| format!("{name} is {there:?}, and {digest:?} was told last"))
    };
    told.last.iter().find_map(differs)
}
