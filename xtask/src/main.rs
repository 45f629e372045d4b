//! Chores of the workspace, one file each: `cargo xtask e2e`, `crowd`, `bench`, `durable`, `torture`, `ci`.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod bench;
mod ci;
mod crowd;
mod durable;
mod e2e;
mod torture;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the haul workspace")]
enum Chore {
    /// Upload a real tree to a real server and compare everything.
    E2e(e2e::Options),
    /// Upload while thousands of idle and slow connections are open, and show what they cost.
    Crowd(crowd::Options),
    /// Measure haul beside an rsync daemon and `cp -r`, in one run.
    Bench(bench::Options),
    /// Measure what durability costs on a real disk, beside `rsync --fsync`, in one run.
    Durable(durable::Options),
    /// Send a tree again and again while everything goes wrong, and see that nothing is lost.
    Torture(torture::Options),
    /// All checks: formatting, lints, documentation, package, tests, e2e.
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::E2e(options) => e2e::run(&options),
        Chore::Crowd(options) => crowd::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Durable(options) => durable::run(&options),
        Chore::Torture(options) => torture::run(&options),
        Chore::Ci => ci::run(),
    }
}
