//! The words of `haul` as a person sees them on 80 columns: each message names the entry, the cause, and what to do.

use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

/// The lines that stay on a terminal of 80 columns.
#[track_caller]
fn lines(setting: &Setting, line: &str) -> Vec<String> {
    let output = output_of(&mut terminal(setting, 80, line)).stdout;
    fit(&output, 80);
    left_in_the_end(&output)
}

/// The source has no entry of that name, so the server's name is told.
#[test]
fn entry_that_stays_because_of_max_delete_is_named_as_the_server_does() {
    let setting = Setting::start();
    setting.write("a", "x");
    setting.haul(&["sync", "s", &setting.at("box")]).assert().success();
    fs::write(setting.server.root().join("box/s/old"), "x").unwrap();
    let told = "haul: --max-delete: the server keeps box/s/old, and all else that the source lacks";
    for dry in ["-n", ""] {
        let line = format!("$H sync {dry} --delete --max-delete 0 s $A/box");
        let lines = lines(&setting, &line).join(" ").replace("  ", "");
        assert!(lines.starts_with(told), "{lines}");
    }
}

#[test]
fn large_file_that_the_server_has_already_is_unchanged() {
    let setting = Setting::start();
    let holes = File::create(setting.source().join("holes")).unwrap();
    holes.set_len(20 << 20).unwrap();
    let summary = || lines(&setting, "$H put s/holes $A").pop().unwrap();
    assert!(summary().starts_with("1 file, 20 MiB in "), "the first time");
    assert_eq!(summary(), "0 files, 0 B in T s, 1 unchanged; durability none");
    // The parts of a file that has another mtime are not taken for the file itself.
    holes.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(summary().starts_with("1 file, 20 MiB"));
}
