//! Two clients of one identity that send the same large file at once and cut each other off: each `open` takes the
//! file away from the other, and comes within microseconds of the other's `commit`. The server must not hang, and
//! each committed file must be there, whole.

mod pair;
mod plan;
mod side;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use blake3::hazmat::HasherExt;
use haul_tests::alive::{self, GENEROUS};
use haul_tests::hauld::Hauld;
use haul_tests::random::Random;

use crate::Setting;
use pair::Runs;
use plan::{PART, Pair, Try, What};
use side::Side;

/// The name that all tries are about.
const NAME: &str = "rivals/file";

/// The server's grace time.
const GRACE: Duration = Duration::from_millis(500);

/// So many tries by hand come between two pairs of real clients.
const TRIES_A_PAIR: u64 = 50;

/// Counts of the rivals.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    tries: u64,
    opens: u64,
    parts: u64,
    commits: u64,
    reconnects: u64,
    /// Pairs of real clients; how many of those clients stored the file, and left it to the other one.
    pairs: u64,
    stored: u64,
    left: u64,
    refusals: BTreeMap<String, u64>,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tries += other.tries;
        self.opens += other.opens;
        self.parts += other.parts;
        self.commits += other.commits;
        self.reconnects += other.reconnects;
        self.pairs += other.pairs;
        self.stored += other.stored;
        self.left += other.left;
        for (code, count) in other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tries, opens, parts, commits, reconnects, pairs, stored, left, .. } = self;
        write!(
            f,
            "rivals by hand: {tries} tries, {opens} opens, {parts} parts, {commits} commits, {reconnects} \
             reconnects; refused:"
        )?;
        for (code, count) in &self.refusals {
            write!(f, " {code} {count}")?;
        }
        if self.refusals.is_empty() {
            f.write_str(" none")?;
        }
        write!(
            f,
            "; haul put: {pairs} pairs, {stored} runs stored the file, {left} left it to the other"
        )
    }
}

/// A file that both rivals have.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) cvs: Vec<String>,
    pub(super) digest: String,
    pub(super) fingerprint: String,
}

impl Content {
    /// Bytes that no other try has.
    pub(super) fn new(number: u64, len: usize) -> Self {
        let mut bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let cvs = (0_u64..).zip(bytes.chunks(PART)).map(|(index, part)| {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(index * PART as u64).update(part);
            blake3::Hash::from_bytes(hasher.finalize_non_root()).to_string()
        });
        let (cvs, digest) = (cvs.collect(), blake3::hash(&bytes).to_string());
        Self { bytes, cvs, digest, fingerprint: format!("try {number}") }
    }
}

/// A bout of so many tries, on a server of its own.
pub(super) fn bout(
    setting: &Setting<'_>,
    mut random: Random,
    tries: u64,
) -> anyhow::Result<Counts> {
    if tries == 0 {
        return Ok(Counts::default());
    }
    let (root, grace) = (setting.directory.join("root"), format!("{}ms", GRACE.as_millis()));
    let args = ["--durability", setting.durability, "--grace", &grace];
    let command = Command::new(&setting.binaries.hauld);
    let mut server = Hauld::start_at(&root, &setting.logs.join("rivals.log"), command, &args)?;
    let mut counts = Counts::default();
    match all(setting, &server, &mut random, tries, &mut counts) {
        Ok(()) => {
            settle(&mut server)?;
            Ok(counts)
        }
        Err(error) => {
            let found = alive::diagnose(&mut server, GRACE);
            Err(anyhow::anyhow!("{error:#}\n  the server: {found}\n  until then: {counts}"))
        }
    }
}

fn all(
    setting: &Setting<'_>,
    server: &Hauld,
    random: &mut Random,
    tries: u64,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let runs = Runs { setting, server };
    let connect = |client, slot| Side::connect(server.address(), server.root(), client, slot);
    let (mut first, mut second) = (connect("first", 0)?, connect("second", 1)?);
    let mut content = Content::new(0, PART + 1);
    for number in 0..tries {
        let plan = Try::new(random, number == 0);
        if let Some(len) = plan.fresh {
            content = Content::new(number, len);
        }
        let result = race(&plan, number, &content, (&mut first, &mut second));
        for side in [&mut first, &mut second] {
            *counts += std::mem::take(&mut side.counts);
        }
        counts.tries += 1;
        result.with_context(|| format!("try {} of rivals by hand ({plan:?})", number + 1))?;
        alive::ping(server)
            .with_context(|| format!("after try {} of rivals by hand ({plan:?})", number + 1))?;
        if number % TRIES_A_PAIR == 0 {
            let plan = Pair::new(random, number == 0);
            let result = runs.race(&plan, number, counts);
            result.with_context(|| format!("two runs of haul put ({plan:?})"))?;
            alive::ping(server)
                .with_context(|| format!("after two runs of haul put ({plan:?})"))?;
        }
    }
    Ok(())
}

/// The stage of the first rival.
#[derive(Debug, Default)]
struct Stage(AtomicU8);

impl Stage {
    const HELD: u8 = 1;
    const OVER: u8 = 2;

    fn set(&self, stage: u8) {
        self.0.fetch_max(stage, Ordering::Release);
    }

    /// Waits until the first rival has all parts at the server, or is over.
    fn wait(&self) {
        while self.0.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
    }
}

/// One try. Afterwards the file is committed, by one of the two rivals.
fn race(
    plan: &Try,
    number: u64,
    content: &Content,
    (first, second): (&mut Side, &mut Side),
) -> anyhow::Result<()> {
    // A run has no two connections with the same slot, so the other rival is another run or another slot.
    let wanted = if plan.same_client { "first" } else { "second" };
    if second.client() != wanted {
        second.rename(wanted)?;
    }
    // The second rival's upload may be of another file.
    second.forget();
    let stage = Stage::default();
    std::thread::scope(|scope| {
        let rival = scope.spawn(|| {
            stage.wait();
            cut_in(plan, content, second)
        });
        let led = lead(plan, content, first, &stage);
        stage.set(Stage::OVER);
        let cut = rival.join().ok().context("a rival panicked")?;
        led.context("the first rival")?;
        cut.context("the second rival")
    })?;
    // Nobody disturbs any more.
    let until = Instant::now() + GENEROUS;
    loop {
        first.open(content, 1)?;
        if first.parts(content)? && first.commit(content)? {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "no commit of try {number} though nobody disturbs any more"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The first rival: sends all and commits, and begins again when the file is taken from it.
fn lead(plan: &Try, content: &Content, side: &mut Side, stage: &Stage) -> anyhow::Result<()> {
    for _ in 0..=plan.repeats {
        side.open(content, 1)?;
        if side.parts(content)? {
            stage.set(Stage::HELD);
            pause(plan.commit_after);
            if side.commit(content)? {
                break;
            }
        }
    }
    Ok(())
}

/// The second rival.
fn cut_in(plan: &Try, content: &Content, side: &mut Side) -> anyhow::Result<()> {
    for act in &plan.acts {
        pause(act.pause);
        match act.what {
            What::Open(count) => side.open(content, count)?,
            What::Commit => side.commit(content).map(|_| ())?,
            What::Part => side.part(content, 0).map(|_| ())?,
            What::Abort => side.abort()?,
            What::Leave => side.again()?,
        }
    }
    Ok(())
}

/// Microseconds, to which a sleep would add as many.
fn pause(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        std::thread::yield_now();
    }
}

/// No half-written file is left, and the server ends.
fn settle(server: &mut Hauld) -> anyhow::Result<()> {
    let until = Instant::now() + GENEROUS;
    loop {
        let (staged, partials) = (server.staged()?, server.partials()?);
        if staged.is_empty() && partials.is_empty() {
            break;
        }
        ensure!(Instant::now() < until, "left after the rivals: {staged:?}, {partials:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    alive::stop(server, GRACE)?;
    ensure!(!server.log_text().contains("panicked"), "a thread of the server panicked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_code() {
        let some = |code: &str, count| Counts {
            refusals: BTreeMap::from([(code.to_owned(), count)]),
            ..Counts::default()
        };
        let mut counts = some("busy", 2);
        counts += some("taken_over", 1);
        counts += some("busy", 1);
        assert!(counts.to_string().contains("refused: busy 3 taken_over 1;"), "{counts}");
    }

    #[test]
    fn parts_of_a_content_merge_to_its_digest() {
        let content = Content::new(9, 2 * PART + 1);
        assert_eq!(content.cvs.len(), 3);
        assert_eq!(content.digest, blake3::hash(&content.bytes).to_string());
        assert_ne!(content.digest, Content::new(10, 2 * PART + 1).digest);
    }
}
