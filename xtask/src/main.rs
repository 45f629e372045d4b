//! Chores of the workspace: `cargo xtask e2e`, `crowd`, `bench`, `scale`, `start`, `lossy`, `torture`, `soak`, `web`, `platforms`, `dist`, `ci`. Chores of one
//! file are here; the others are crates of their own in the folders beside this one.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod ci;
mod e2e;
mod e2e_account;
mod platforms;

use clap::Parser;
use xtask_bench::{crowd, scale, start, timed};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the haul workspace")]
enum Chore {
    /// Upload a real tree to a real server and compare all entries.
    E2e(e2e::Options),
    /// Upload while thousands of idle and slow connections are open, and show their cost.
    Crowd(crowd::Options),
    /// Measure haul beside the programs that a user would pick instead, in one run.
    Bench(xtask_bench::Options),
    /// Show time and memory as files and clients become more.
    Scale(scale::Options),
    /// Show the cost of starting: system calls, threads, page faults and time of a small put; needs strace.
    Start(start::Options),
    /// Measure haul over a long line that loses packets, beside the same line without losses; as root.
    Lossy(xtask_lossy::Options),
    /// Run one command and write its time and memory; for `bench`.
    #[command(hide = true)]
    Timed(timed::Options),
    /// Send a tree again and again under all kinds of failures, and see that no file is lost.
    Torture(xtask_torture::Options),
    /// Hold thousands of connections, each with the most that a peer can make the server keep, and show its memory.
    Soak(xtask_soak::Options),
    /// Measure uploads over HTTP beside nginx.
    Web(xtask_web::Options),
    /// Let the compiler check the client for Windows and macOS.
    Platforms(platforms::Options),
    /// Build haul and hauld for release, and make packages: for Debian, an archive, an image for containers.
    Dist(xtask_dist::Options),
    /// Run all checks: formatting, lints, documentation, package, tests, e2e.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::E2e(options) => e2e::run(&options),
        Chore::Crowd(options) => crowd::run(&options),
        Chore::Bench(options) => xtask_bench::run(&options),
        Chore::Scale(options) => scale::run(&options),
        Chore::Start(options) => start::run(&options),
        Chore::Lossy(options) => xtask_lossy::run(&options),
        Chore::Timed(options) => timed::run(&options),
        Chore::Torture(options) => xtask_torture::run(&options),
        Chore::Soak(options) => xtask_soak::run(&options),
        Chore::Web(options) => xtask_web::run(&options),
        Chore::Platforms(options) => platforms::run(&options),
        Chore::Dist(options) => xtask_dist::run(&options),
        Chore::Ci => ci::run(),
    }
}
