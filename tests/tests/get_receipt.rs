//! `haul get --receipt`: the digests of files that have come, for `b3sum --check` in the directory that they came into.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

const MIB: usize = 1 << 20;

/// The lines of a receipt, each a name and a digest.
fn lines(text: &str) -> Vec<(String, String)> {
    let mut lines: Vec<_> =
        text.lines().map(|line| (line[66..].to_owned(), line[..64].to_owned())).collect();
    lines.sort();
    lines
}

/// The names below `d` of files that have come, with their digests.
fn expected(place: &Path, names: &[&str]) -> Vec<(String, String)> {
    let digest = |name: &&str| {
        let bytes = fs::read(place.join(name)).unwrap();
        ((*name).to_owned(), blake3::hash(&bytes).to_hex().to_string())
    };
    let mut all: Vec<_> = names.iter().map(digest).collect();
    all.sort();
    all
}

fn setting() -> Setting {
    let setting = Setting::start();
    for name in ["small", "in/one", "in/two"] {
        setting.write_there(name, name);
    }
    for (name, size) in [("part", 200_000), ("large", 5 * MIB + 3), ("empty", 0)] {
        fs::write(setting.target().join(name), counted(size)).unwrap();
    }
    symlink("small", setting.target().join("link")).unwrap();
    setting
}

#[test]
fn receipt_has_a_line_for_each_file_under_its_name_below_the_directory() {
    let setting = setting();
    for (from, prefix, place) in [("s", "s/", "d"), ("s/", "", "e")] {
        let words = ["get", "--receipt", "r", &setting.at(from), place];
        setting.haul(&words).assert().success();
        let names = ["small", "in/one", "in/two", "part", "large", "empty"];
        let names = names.map(|name| format!("{prefix}{name}"));
        let place = setting.place.path().join(place);
        let text = fs::read_to_string(setting.place.path().join("r")).unwrap();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(lines(&text), expected(&place, &names));
    }
    // Under the name that a file has here, and only of files that have come.
    let words = ["get", "--receipt", "r", "--as", "other", &setting.at("s/large"), "d"];
    setting.haul(&words).assert().success();
    let text = fs::read_to_string(setting.place.path().join("r")).unwrap();
    assert_eq!(lines(&text), expected(&setting.place.path().join("d"), &["other"]));
    let sync = ["sync", "--receipt", "r", &format!("haul://{}/", setting.at("s")), "e"];
    setting.write_there("small", "changed");
    setting.haul(&sync).assert().success();
    let text = fs::read_to_string(setting.place.path().join("r")).unwrap();
    assert_eq!(lines(&text), expected(&setting.place.path().join("e"), &["small"]));
}

#[test]
fn file_of_two_sources_has_the_line_of_the_first_one() {
    let setting = Setting::start();
    for name in ["a/x/f", "x/f"] {
        setting.write_there(name, name);
    }
    let words = ["get", "--receipt", "r", "--connections=1"];
    let sources = [setting.at("s/a/"), setting.at("s/x")];
    setting.haul(&words).args(sources).arg("d").assert().code(1);
    let (text, here) = (fs::read_to_string(setting.place.path().join("r")).unwrap(), "d/x/f");
    assert_eq!(lines(&text), expected(&setting.place.path().join("d"), &["x/f"]));
    assert_eq!(fs::read(setting.place.path().join(here)).unwrap(), b"a/x/f");
}

#[test]
fn file_that_has_failed_is_not_in_the_receipt_and_one_without_a_name_for_it_is_told() {
    use std::os::unix::ffi::OsStrExt;

    let setting = setting();
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff");
    fs::write(setting.target().join(odd), "odd").unwrap();
    let place = setting.place.path().join("d");
    fs::create_dir_all(place.join("small")).unwrap();
    fs::create_dir_all(place.join("large")).unwrap();
    let words = ["get", "--receipt", "r", &setting.at("s/"), "d"];
    let told = setting.haul(&words).assert().code(1).stdout(contains("3 failed"));
    told.stderr(contains("arrived, but is not in the receipt"));
    assert_eq!(fs::read(place.join(odd)).unwrap(), b"odd");
    let text = fs::read_to_string(setting.place.path().join("r")).unwrap();
    assert_eq!(lines(&text), expected(&place, &["in/one", "in/two", "part", "empty"]));
}

#[test]
fn receipt_of_an_interrupted_run_has_only_files_that_have_their_names() {
    let setting = Setting::start();
    fs::create_dir_all(setting.target()).unwrap();
    for number in 0..2_000 {
        setting.write_there(&format!("{number}"), &format!("{number}").repeat(5_000));
    }
    fs::write(setting.place.path().join("r"), "before").unwrap();
    let mut command = haul_command();
    command.current_dir(setting.place.path());
    let command = command.args(["get", "--limit-rate", "2MiB", "--receipt", "r"]);
    let command = command.args([&*setting.at("s/"), "d"]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let place = setting.place.path().join("d");
    let named = || tree::names(&place).iter().any(|name| !name.starts_with('.'));
    eventually("some files are there", || place.exists() && named());
    assert_eq!(fs::read_to_string(setting.place.path().join("r")).unwrap(), "before");
    signal(&client, Signal::INT);
    assert_eq!(ended(client).status.code(), Some(130));
    let text = fs::read_to_string(setting.place.path().join("r")).unwrap();
    let names = tree::names(&place);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(!names.is_empty() && lines(&text) == expected(&place, &names));
}

#[test]
fn receipt_that_can_not_be_written_is_told() {
    let setting = setting();
    let from = setting.at("s/");
    let words = ["get", "--receipt", "none/r", &from, "d"];
    setting.haul(&words).assert().code(2).stderr(contains("none/r"));
    assert!(!setting.place.path().join("d").exists());
    // It is full as soon as a line is written.
    let words = ["get", "-q", "--receipt", "/dev/full", &from, "d"];
    let told = setting.haul(&words).assert().code(1);
    told.stderr(contains("the receipt is not complete: could not write /dev/full"));
    assert!(setting.place.path().join("d/large").exists());
    // An earlier one stays if no server was reached.
    fs::write(setting.place.path().join("r"), "before").unwrap();
    let words = ["get", "--receipt", "r", "127.0.0.1:1/x", "d"];
    setting.haul(&words).assert().code(3);
    assert_eq!(fs::read_to_string(setting.place.path().join("r")).unwrap(), "before");
}

#[test]
fn receipt_can_be_no_other_file_of_the_run() {
    let setting = setting();
    let from = setting.at("s/");
    fs::create_dir(setting.place.path().join("d")).unwrap();
    for name in ["rules", "list", "d/r"] {
        fs::write(setting.place.path().join(name), "small\n").unwrap();
    }
    let back = format!("haul://{from}");
    for (words, told) in [
        (
            &["get", "--exclude-from", "rules", "--receipt", "rules", &from, "d"][..],
            "a file of rules",
        ),
        (
            &["get", "--files-from", "list", "--receipt", "./list", &from, "d"],
            "the list of --files-from",
        ),
        (&["sync", "--delete", "--receipt", "d/r", &back, "d"], "where --delete would remove it"),
        (&["sync", "--delete", "--receipt", "d/new", &back, "d"], "where --delete would remove it"),
        (&["get", "--receipt", "r", "-n", &from, "d"], "--receipt"),
        (&["get", "--receipt", "r", &setting.at("s/small"), "-"], "--receipt is for a DIR"),
        (&["get", "--receipt", "-", &from, "d"], "/dev/stdout"),
    ] {
        setting.haul(words).assert().code(2).stderr(contains(told));
    }
    assert_eq!(tree::names(&setting.place.path().join("d")), ["r"]);
    for name in ["rules", "list", "d/r"] {
        assert_eq!(fs::read_to_string(setting.place.path().join(name)).unwrap(), "small\n");
    }
}

/// Without --delete it may be in the directory; an entry of the server's with its name is not harmed.
#[test]
fn receipt_in_the_directory_never_takes_the_place_of_a_file_that_has_come() {
    let setting = setting();
    fs::create_dir(setting.place.path().join("d")).unwrap();
    let words = ["get", "--receipt", "d/mine", &setting.at("s/"), "d"];
    setting.haul(&words).assert().success();
    assert!(setting.place.path().join("d/mine").exists());
    let words = ["get", "--receipt", "d/small", &setting.at("s/"), "d"];
    setting.haul(&words).assert().code(1).stderr(contains("the receipt is not complete"));
    assert_eq!(fs::read_to_string(setting.place.path().join("d/small")).unwrap(), "small");
}

#[test]
fn lines_to_standard_output_come_after_what_was_there() {
    let setting = setting();
    let from = setting.at("s/");
    let words = ["get", "--quiet", "--receipt", "/dev/stdout", &from, "d"];
    let output = setting.haul(&words).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert_eq!(lines(&text).len(), 6, "{text}");
}
