//! All checks, in the order in which they fail fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

/// Checks, as cargo is called for them.
const CHECKS: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    (
        "the protocol crate alone, without std",
        &[
            "clippy",
            "-p",
            "haul-protocol",
            "--no-default-features",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("documentation", &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]),
    ("the client on other systems", &["xtask", "platforms"]),
    // Otherwise the first tests that need them wait for the compiler.
    (
        "the binaries under test",
        &["build", "--locked", "-p", "haul-server", "-p", "haul-client", "--bins"],
    ),
    ("tests", &["test", "--workspace", "--locked", "--no-fail-fast"]),
    (
        "the example of the protocol crate",
        &["run", "--quiet", "--locked", "-p", "haul-protocol", "--example", "third_party"],
    ),
    ("the protocol package", &["package", "-p", "haul-protocol", "--locked", "--allow-dirty"]),
    ("end to end", &["xtask", "e2e"]),
];

pub(crate) fn run() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (what, arguments) in CHECKS {
        let start = Instant::now();
        println!("== {what}: cargo {}", arguments.join(" "));
        let status = Command::new(&cargo)
            .args(*arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()?;
        ensure!(status.success(), "{what}: {status}");
        println!("== {what}: passed in {:.0} s", start.elapsed().as_secs_f64());
    }
    println!("all checks passed");
    Ok(())
}
