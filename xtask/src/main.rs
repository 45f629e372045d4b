//! Chores of the workspace, one file each: `cargo xtask e2e`, `crowd`, `bench`, `scale`, `torture`, `soak`, `dist`,
//! `ci`.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod alive;
mod bench;
mod ci;
mod crowd;
mod dist;
mod e2e;
mod open_files;
mod random;
mod scale;
mod soak;
mod torture;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the haul workspace")]
enum Chore {
    /// Upload a real tree to a real server and compare everything.
    E2e(e2e::Options),
    /// Upload while thousands of idle and slow connections are open, and show what they cost.
    Crowd(crowd::Options),
    /// Measure haul beside what a user would pick instead, in one run.
    Bench(bench::Options),
    /// Show time and memory as files and clients become more.
    Scale(scale::Options),
    /// Run one command and write what it took; for `bench`.
    #[command(hide = true)]
    Timed(bench::timed::Options),
    /// Send a tree again and again while everything goes wrong, and see that nothing is lost.
    Torture(torture::Options),
    /// Hold thousands of connections, each with the most that a peer can make the server keep, and show its memory.
    Soak(soak::Options),
    /// Put binaries, man pages and completions together in an archive.
    Dist(dist::Options),
    /// All checks: formatting, lints, documentation, package, tests, e2e.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::E2e(options) => e2e::run(&options),
        Chore::Crowd(options) => crowd::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Scale(options) => scale::run(&options),
        Chore::Timed(options) => bench::timed::run(&options),
        Chore::Torture(options) => torture::run(&options),
        Chore::Soak(options) => soak::run(&options),
        Chore::Dist(options) => dist::run(&options),
        Chore::Ci => ci::run(),
    }
}

/// The middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
