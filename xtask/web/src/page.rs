//! Small files that are dropped on the page in a real Chromium, beside the same files with a request for each.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use haul_tests::binaries::Binaries;
use serde::Deserialize;
use tempfile::TempDir;

use crate::report::middle;
use crate::server::{Kind, Server};

/// Files of a round, and the bytes of each.
const FILES: usize = 4000;
const BYTES: usize = 4096;

/// Seconds of one round.
#[derive(Debug, Deserialize)]
struct Round {
    dropped: f64,
    each: f64,
}

/// Measures it, and gives the text for the results. `.ci/run` installs Chromium and its driver.
///
/// # Errors
/// If one of them is missing, or files did not arrive.
pub(crate) fn measure(binaries: &Binaries, rounds: usize, tmp: &Path) -> anyhow::Result<String> {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let (place, work) = (TempDir::new_in(tmp)?, TempDir::new_in(tmp)?);
    let server = Server::start(Kind::Flushing, binaries, place.path())?;
    let port = server.address().rsplit(':').next().context("an address has a port")?;
    let output = Command::new("node")
        .arg(workspace.join("xtask/web/page.mjs"))
        .arg(port)
        .arg(work.path())
        .args([FILES, BYTES, rounds].map(|number| number.to_string()))
        .env("BROWSER_MODULES", workspace.join("target/browser").canonicalize()?)
        .stderr(Stdio::inherit())
        .output()
        .context("node can't be started")?;
    ensure!(output.status.success(), "node ended with {}", output.status);
    for round in 0..=rounds {
        for name in ["dropped", "each"] {
            let came = server.root().join(format!("{name}-{round}")).read_dir()?.count();
            ensure!(came == FILES, "{came} files of {FILES} came");
        }
    }
    let text = String::from_utf8(output.stdout)?;
    let parsed: Result<Vec<Round>, _> = text.lines().map(serde_json::from_str).collect();
    let rounds = parsed.context("figures that are none")?;
    let of = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
    let ratio = of(|round| round.dropped / round.each);
    Ok(format!(
        "\n### {FILES} files of {BYTES} bytes from Chromium\n\n| | seconds |\n|---|---|\n\
         | dropped on the page | {:.2} |\n| a request for each, six at once | {:.2} |\n\
         | by each other, round by round | {ratio:.2} |\n",
        of(|round| round.dropped),
        of(|round| round.each)
    ))
}
