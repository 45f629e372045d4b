//! `sync` with several sources: each without a slash becomes a directory of its own, and --delete looks only there.

use haul_tests::prelude::*;

fn start() -> Setting {
    let setting = Setting::start();
    for (name, text) in [("a/one", "1"), ("a/in/two", "2"), ("b/three", "3"), ("file", "4")] {
        let path = setting.place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    setting
}

#[test]
fn each_source_becomes_an_entry_of_the_destination_and_only_below_those_is_removed() {
    let setting = start();
    let to = setting.at("t");
    let there = setting.server.root().join("t");
    setting.haul(&["sync", "a", "b", "file", &to]).assert().success().stdout(contains("4 files,"));
    for name in ["a", "b", "file"] {
        tree::compare(&setting.place.path().join(name), &there.join(name)).unwrap();
    }
    for name in ["beside/x", "a/gone", "b/in/gone"] {
        fs::create_dir_all(there.join(name).parent().unwrap()).unwrap();
        fs::write(there.join(name), "x").unwrap();
    }
    let told = setting.haul(&["sync", "-n", "--delete", "a", "b", "file", &to]).assert().success();
    told.stdout(
        contains("would remove t/a/gone")
            .and(contains("would remove t/b/in/gone"))
            .and(contains("beside").not()),
    );
    setting.haul(&["sync", "--delete", "a", "b", "file", &to]).assert().success();
    for name in ["a", "b", "file"] {
        tree::compare(&setting.place.path().join(name), &there.join(name)).unwrap();
    }
    assert!(there.join("beside/x").exists(), "no source becomes the destination itself");
    let again = setting.haul(&["sync", "--delete", "a", "b", "file", &to]).assert().success();
    again.stdout(contains("0 files, 0 B").and(contains("4 unchanged")));
}

#[test]
fn contents_of_several_sources_are_together_in_the_destination_with_the_attributes_of_the_first() {
    let setting = start();
    fs::create_dir(setting.place.path().join("b/in")).unwrap();
    fs::write(setting.place.path().join("b/in/four"), "4").unwrap();
    set_mode(setting.place.path().join("a"), 0o750);
    set_mode(setting.place.path().join("a/in"), 0o711);
    set_mode(setting.place.path().join("b/in"), 0o755);
    let (to, there) = (setting.at("t"), setting.server.root().join("t"));
    setting.haul(&["sync", "a/", "b/", &to]).assert().success();
    assert_eq!(tree::names(&there), ["in/four", "in/two", "one", "three"]);
    assert_eq!((mode(&there), mode(there.join("in"))), (0o750, 0o711));
    let again = setting.haul(&["sync", "a/", "b/", &to]).assert().success();
    again.stdout(contains("0 files, 0 B").and(contains("4 unchanged")));
    let dry = setting.haul(&["sync", "-n", "a/", "b/", &to]).assert().success();
    dry.stdout(contains("would").not());
}

#[test]
fn contents_of_one_of_several_sources_with_delete_are_wrong_usage_and_nothing_is_removed() {
    let setting = start();
    let (to, there) = (setting.at("t"), setting.server.root().join("t"));
    setting.haul(&["sync", "a/", "b/", &to]).assert().success();
    let wrong = setting.haul(&["sync", "--delete", "a/", "b/", &to]).assert().code(2);
    wrong.stderr(
        "haul: --delete with several SRC: `a/` becomes DEST itself, where it would remove\n  \
         what the others send; write each SRC without a slash, or leave --delete out\n",
    );
    setting.haul(&["sync", "--delete", "a", "b/", &to]).assert().code(2);
    assert_eq!(tree::names(&there), ["in/two", "one", "three"]);
}

#[test]
fn source_that_is_not_there_or_is_empty_loses_nothing() {
    let setting = start();
    fs::create_dir(setting.place.path().join("empty")).unwrap();
    let (to, there) = (setting.at("t"), setting.server.root().join("t"));
    for name in ["b/kept", "empty/kept", "a/gone"] {
        fs::create_dir_all(there.join(name).parent().unwrap()).unwrap();
        fs::write(there.join(name), "x").unwrap();
    }
    let missing = setting.haul(&["sync", "--delete", "a", "none", "b", &to]).assert().code(1);
    missing.stderr(contains("none"));
    assert!(there.join("a/gone").exists(), "a source could not be read");
    let empty = setting.haul(&["sync", "--delete", "a", "empty", &to]).assert().code(1);
    empty.stderr(contains("there is nothing in it to send"));
    assert!(there.join("empty/kept").exists() && there.join("b/kept").exists());
}

#[test]
fn file_that_a_directory_is_in_the_way_of_comes_once_the_directory_is_removed() {
    let setting = start();
    let (to, there) = (setting.at("t"), setting.server.root().join("t"));
    for name in ["a/one/gone", "b/three/gone"] {
        fs::create_dir_all(there.join(name).parent().unwrap()).unwrap();
        fs::write(there.join(name), "x").unwrap();
    }
    let done = setting.haul(&["sync", "--delete", "a", "b", &to]).assert().success();
    done.stderr("");
    for name in ["a", "b"] {
        tree::compare(&setting.place.path().join(name), &there.join(name)).unwrap();
    }
}

/// The source is walked once more, and no entry counts as one that another source has sent.
#[test]
fn entry_that_comes_into_one_of_several_sources_meanwhile_is_sent() {
    let setting = start();
    let bytes = "x".repeat(usize::try_from(LARGE).unwrap());
    fs::write(setting.place.path().join("a/large"), &bytes).unwrap();
    setting.rests();
    let command = |server: &str| {
        let mut command = haul_command();
        command.current_dir(setting.place.path());
        command.args(["sync", "--delete", "--connections", "1", "a", "b", &format!("{server}/t")]);
        command
    };
    let is_on_its_way = || !setting.server.partials().unwrap_or_default().is_empty();
    let held = Held::start(&setting.server, command, is_on_its_way);
    fs::write(setting.place.path().join("b/late"), "x").unwrap();
    fs::write(setting.place.path().join("a/in/late"), "x").unwrap();
    let output = held.go_on();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("changed"), "walked once more: {told}");
    let there = setting.server.root().join("t");
    for name in ["a", "b"] {
        tree::compare(&setting.place.path().join(name), &there.join(name)).unwrap();
    }
}

#[test]
fn verify_compares_several_sources_unless_one_of_them_is_the_destination_itself() {
    let setting = start();
    let (to, there) = (setting.at("t"), setting.server.root().join("t"));
    setting.haul(&["sync", "a", "b", &to]).assert().success();
    let same = setting.haul(&["verify", "a", "b", &to]).assert().success();
    same.stdout(contains("0 different or missing or extra"));
    fs::write(there.join("b/extra"), "x").unwrap();
    fs::remove_file(there.join("a/one")).unwrap();
    let differs = setting.haul(&["verify", "a", "b", &to]).assert().code(1);
    differs.stdout(contains("extra t/b/extra\n").and(contains("missing t/a/one\n")));
    setting.haul(&["verify", "a/", "b/", &to]).assert().code(2).stderr(
        "haul: verify with several SRC: `a/` is DEST itself, where entries of the others\n  \
         would be told as extra; write each SRC without a slash if it was sent so, or\n  \
         verify one at a time\n",
    );
}
