//! Programs in a mount namespace of their own.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::binaries;

/// A file system of `tests/peers/folding.py` over the directory `$PLACE/back` at `$PLACE/folds`, which takes `File` and `file`
/// for one name: for [`hauld_after`] and [`haul_after`]. What an earlier one has told counts for nothing, and it keeps no pipe
/// of the program's open.
pub const FOLDS: &str = "mkdir -p $PLACE/back $PLACE/folds; rm -f $PLACE/told; touch $PLACE/told; \
    python3 $PEERS/folding.py $PLACE/back $PLACE/folds >>$PLACE/told 2>&1 & \
    while ! grep -q mounted $PLACE/told; do kill -0 $!; sleep 0.01; done";

/// `hauld` that first runs `setup` in a shell, which may mount and sees the directory as `$PLACE`. All mounts go with the
/// server.
#[must_use]
pub fn hauld_after(setup: &str, place: &Path) -> Command {
    after(setup, place, &binaries::get().hauld)
}

/// `hauld` with these words, which ends, after such a `setup`.
#[must_use]
pub fn hauld_ends_after(setup: &str, place: &Path, words: &[&str]) -> std::process::Output {
    crate::client::output_of(hauld_after(setup, place).args(words))
}

/// The same for `haul`.
#[must_use]
pub fn haul_after(setup: &str, place: &Path) -> Command {
    after(setup, place, &binaries::get().haul)
}

/// Whether this machine has FUSE. A test that returns if not has tested nothing, which the output of the tests says.
#[must_use]
pub fn has_fuse() -> bool {
    let is_there = Path::new("/dev/fuse").exists();
    if !is_there {
        let test = thread::current();
        let told = format!("no /dev/fuse: not tested: {}\n", test.name().unwrap_or_default());
        // `eprintln!` is captured.
        let _ = io::stderr().write_all(told.as_bytes());
    }
    is_there
}

fn after(setup: &str, place: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("set -e; {setup}; exec \"$PROGRAM\" \"$@\"");
    command.args(["-rm", "sh", "-c", &script, "sh"]);
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    command.env("PLACE", place).env("PROGRAM", program).env("PEERS", peers);
    command
}
