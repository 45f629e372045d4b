//! `haul sync --delete` whose source goes when the removals have begun: nothing more is removed, and that is told.

use haul_tests::prelude::*;

/// Entries that the source lacks. At the rate below their removal takes some seconds.
const MORE: usize = 1800;

/// A source with a directory, and the same at the server with many entries more in one directory.
fn setting(lacking: &str) -> Setting {
    let setting = Setting::start_with(&["--durability", "none"]);
    setting.write("d/kept", "x");
    setting.write("kept", "x");
    setting.sync(&[]);
    for index in 0..MORE {
        setting.write_there(&format!("{lacking}/{index}"), "x");
    }
    setting.rests();
    setting
}

fn left(setting: &Setting, lacking: &str) -> usize {
    fs::read_dir(setting.target().join(lacking)).map_or(0, Iterator::count)
}

/// Begins to remove, and does something to the source then.
fn meanwhile(lacking: &str, words: &[&str], act: impl FnOnce(&Setting)) -> (Setting, String) {
    let setting = setting(lacking);
    let mut command = haul_command();
    command.args(["sync", "--delete", "--connections=1", "--limit-rate=15KB"]).args(words);
    command.args([setting.source().to_str().unwrap(), setting.server.address()]);
    let haul = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let all = left(&setting, lacking);
    eventually("an entry is removed", || left(&setting, lacking) < all);
    act(&setting);
    let output = ended(haul);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let left = left(&setting, lacking);
    assert!(left > MORE / 2, "{left} left: {told}");
    (setting, told)
}

#[test]
fn source_that_is_moved_away_when_the_removal_has_begun_loses_nothing_more() {
    for (lacking, words) in [("d", &[][..]), ("gone/deep", &["--force-delete", "--delete-all"])] {
        let (_setting, told) = meanwhile(lacking, words, |setting| {
            fs::rename(setting.source(), setting.place.path().join("away")).unwrap();
            fs::create_dir(setting.source()).unwrap();
        });
        assert!(told.contains("gone or another since this began"), "{told}");
    }
}

#[test]
fn directory_that_is_moved_away_when_its_removals_have_begun_loses_nothing_more() {
    for lacking in ["d", "d/gone/deep"] {
        let (_setting, told) = meanwhile(lacking, &["--force-delete"], |setting| {
            fs::rename(setting.source().join("d"), setting.place.path().join("away")).unwrap();
        });
        assert!(told.contains("/d: gone or another since this began"), "{told}");
    }
}

/// The last answer is lost with its connection, and the entry is gone: no removal is left.
#[test]
fn source_that_is_gone_when_all_is_removed_is_a_failure() {
    let setting = Setting::start();
    setting.write("kept", "x");
    setting.sync(&[]);
    setting.write_there("gone", "x");
    let (source, away) = (setting.source(), setting.place.path().join("away"));
    let meanwhile = move || fs::rename(source, away).unwrap();
    let lost = Lost::start(setting.server.address(), "remove", meanwhile).unwrap();
    haul()
        .args(["sync", "--delete", "--connections", "1"])
        .args([setting.source().to_str().unwrap(), lost.address()])
        .assert()
        .code(1)
        .stderr(contains("gone or another since this began"));
    lost.end();
}
