//! `haul get --files-from`: the entries that a list names come, and no others.

use std::sync::Arc;
use std::sync::Mutex;

use haul_tests::fake::{Fake, hello_answer};
use haul_tests::prelude::*;

/// A server with a tree in `s`.
fn setting() -> Setting {
    let setting = Setting::start();
    for name in ["a/one", "a/two", "a/deep/er/three", "b/four", "five", "a-b", "named/in", "x y"] {
        setting.write_there(name, name);
    }
    symlink("five", setting.target().join("link")).unwrap();
    symlink("a", setting.target().join("through")).unwrap();
    let fifo = setting.target().join("fifo");
    setting.script(&format!("mkfifo {}", fifo.display())).assert().success();
    for name in ["named", "a", "."] {
        set_mode(setting.target().join(name), 0o750);
    }
    for name in ["named", "a", "."] {
        set_mtime(setting.target().join(name), moment());
    }
    setting
}

fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

fn is_then(path: &Path) -> bool {
    path.metadata().unwrap().modified().unwrap() == moment()
}

/// Gets what a list names from `s` into `d`, which may fail in part; returns the summary, the failures and their number.
#[track_caller]
fn get(setting: &Setting, words: &[&str], from: &str, list: &str) -> (Value, Vec<String>) {
    let mut command = setting.haul(&["get", "--json", "--files-from", "-"]);
    command.args(words).args([&*setting.at(from), "d"]).write_stdin(list.as_bytes().to_vec());
    let output = command.output();
    let told = String::from_utf8(output.stdout).unwrap();
    let events = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = events.filter(|event| event["event"] == "failed");
    let mut failed: Vec<_> = failed
        .map(|event| {
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("source"), text("error"))
        })
        .collect();
    failed.sort();
    let code = if failed.is_empty() { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{told}");
    (last(told.as_bytes()), failed)
}

#[test]
fn only_the_named_entries_come_with_the_directories_above_them() {
    let setting = setting();
    let list = "\u{feff}a/one\r\n\n./a//deep/er/three\na/one\nlink\nnamed\nx y\n";
    for words in [&["-n"][..], &[]] {
        let (counts, failed) = get(&setting, words, "s", list);
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!((&counts["files"], &counts["links"]), (&json!(3), &json!(1)), "{counts}");
        assert_eq!(counts["directories"], 1, "{counts}");
    }
    let place = setting.place.path().join("d/s");
    assert_eq!(tree::names(&place), ["a/deep/er/three", "a/one", "link", "x y"]);
    assert_eq!(fs::read_dir(place.join("named")).unwrap().count(), 0);
    // A directory in the list gets mode and mtime, and none that is only above a name.
    assert_eq!((mode(place.join("named")), is_then(&place.join("named"))), (0o750, true));
    assert!(!is_then(&place.join("a")) && !is_then(&place));
    assert_eq!(fs::read_to_string(place.join("a/one")).unwrap(), "a/one");
}

#[test]
fn contents_of_the_source_come_below_the_directory_and_a_dot_names_the_source() {
    let setting = setting();
    let place = setting.place.path().join("d");
    get(&setting, &[], "s/", "b/four\n");
    assert_eq!(tree::names(&place), ["b/four"]);
    assert!(!is_then(&place));
    fs::remove_dir_all(&place).unwrap();
    let (counts, _) = get(&setting, &[], "s/", ".\nb/four\nb\n");
    assert_eq!((mode(&place), is_then(&place)), (0o750, true));
    assert_eq!(counts["directories"], 2);
    // Of the root as well, and with NUL bytes.
    let (counts, _) = get(&setting, &["-0"], "", "s/a/two\0s/five\0");
    assert_eq!(counts["files"], 2);
    assert_eq!(tree::names(&place), ["b/four", "s/a/two", "s/five"]);
    // Nothing is named.
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(get(&setting, &[], "s/", "\n\n").0["files"], 0);
    assert!(!place.exists());
}

#[test]
fn names_that_are_missing_or_can_not_be_used_are_told_and_the_others_come() {
    let setting = setting();
    let long = "l".repeat(300);
    let list = format!(
        "none\na/none\nno/where/at/all\n../etc\n/etc/passwd\na/../five\nfive/below\nlink/below\n\
         through/one\n{long}\nfifo\nfive\n"
    );
    for words in [&["-n"][..], &[]] {
        let (counts, failed) = get(&setting, words, "s/", &list);
        let expected = [
            "../etc: it is not below SRC",
            "/etc/passwd: it is not below SRC",
            "a/../five: it is not below SRC",
            "a/none: no such entry at the server",
            "five/below: an entry above it is no directory at the server",
            "link/below: an entry above it is no directory at the server",
        ];
        assert_eq!(failed[..4], expected[..4]);
        assert_eq!(failed[4], "d/fifo: a device, socket or FIFO, which haul does not get");
        assert_eq!(failed[5..7], expected[4..]);
        assert!(failed[7].starts_with(&long), "{failed:?}");
        assert_eq!(failed[8], "no/where/at/all: no such entry at the server");
        assert_eq!(failed[9], "none: no such entry at the server");
        assert_eq!(failed[10], "through/one: an entry above it is no directory at the server");
        assert_eq!((failed.len(), &counts["failed"]), (11, &json!(11)));
        assert_eq!(counts["files"], 1);
    }
    assert_eq!(tree::names(&setting.place.path().join("d")), ["five"]);
    assert!(!setting.place.path().join("d/a").exists());
    let (_, failed) = get(&setting, &[], "s/five", "x\n");
    assert_eq!(failed.len(), 1);
    assert!(failed[0].contains("s/five: no directory at the server"), "{failed:?}");
}

#[test]
fn rules_leave_out_what_is_named_and_sync_brings_what_differs_of_the_list_alone() {
    let setting = setting();
    let words = ["--exclude", "a/", "--exclude", "*ve"];
    let (counts, failed) = get(&setting, &words, "s/", "a/one\nfive\nb/four\n");
    assert!(failed.is_empty() && counts["files"] == 1, "{counts} {failed:?}");
    assert_eq!(tree::names(&setting.place.path().join("d")), ["b/four"]);
    fs::write(setting.place.path().join("d/mine"), "mine").unwrap();
    let from = format!("haul://{}", setting.at("s/"));
    let mut sync = setting.haul(&["sync", "--json", "--files-from", "-", &from, "d"]);
    let output = sync.write_stdin("b/four\nfive\n").assert().success();
    let counts = last(&output.get_output().stdout);
    assert_eq!((&counts["files"], &counts["unchanged"]), (&json!(1), &json!(1)), "{counts}");
    assert_eq!(tree::names(&setting.place.path().join("d")), ["b/four", "five", "mine"]);
    let words = ["sync", "--delete", "--files-from", "-", &from, "d"];
    setting.haul(&words).assert().code(2).stderr(contains("files-from"));
}

#[test]
fn list_that_makes_no_sense_is_told() {
    let setting = setting();
    let (from, other) = (setting.at("s/"), setting.at("s/a/"));
    fs::write(setting.place.path().join("list"), "five\n").unwrap();
    for (words, told) in [
        (&["--files-from", "none", &from, "d"][..], "--files-from none: "),
        (&["--files-from", "list", &from, &other, "d"], "--files-from takes one SRC"),
        (&["--files-from", "list", "--as", "x", &from, "d"], "--as"),
        (&["--files-from", "-", "--exclude-from", "-", &from, "d"], "only one of"),
        (&["-0", &from, "d"], "--files-from"),
        (&["--files-from", "list", &setting.at("s/five"), "-"], "--files-from is for a DIR"),
    ] {
        let words = [&["get"], words].concat();
        setting.haul(&words).assert().code(2).stderr(contains(told));
    }
    assert!(!setting.place.path().join("d").exists());
    // NUL bytes in lines.
    let (_, failed) = get(&setting, &[], "s/", "five\0b\n");
    assert!(failed[0].contains("add -0"), "{failed:?}");
}

/// A server with directories of many files: `big` with a million, and `d0`, `d1` and so on with a hundred each.
struct Many {
    address: String,
    /// The directories that were listed, a page each.
    pages: Arc<Mutex<Vec<String>>>,
}

/// Entries of a page.
const PAGE: usize = 1000;

impl Many {
    fn start() -> Self {
        let fake = Fake::start().unwrap();
        let address = fake.address().unwrap();
        let pages: Arc<Mutex<Vec<String>>> = Arc::default();
        let listed = Arc::clone(&pages);
        thread::spawn(move || {
            while let Ok(mut peer) = fake.accept() {
                let listed = Arc::clone(&listed);
                thread::spawn(move || {
                    let mut hello = hello_answer();
                    hello["features"] = json!(["get"]);
                    let mut greeted = peer.receive().and_then(|_| peer.send(&hello, b""));
                    while greeted.is_ok() {
                        greeted = peer.receive().and_then(|(request, _)| {
                            let (body, more) = page(&request, &listed);
                            let mut answer = json!({"answer": request["id"], "more": more});
                            answer["length"] = body.len().into();
                            peer.send(&answer, body.as_bytes())
                        });
                    }
                });
            }
        });
        Self { address, pages }
    }

    /// A dry run for names; returns its summary.
    #[track_caller]
    fn get(&self, list: String) -> Value {
        let place = TempDir::new().unwrap();
        let mut command = haul();
        command.current_dir(place.path());
        command.args(["get", "-n", "--json", "--files-from", "-", &self.address, "d"]);
        let output = command.write_stdin(list.into_bytes()).assert().success();
        last(&output.get_output().stdout)
    }
}

/// Bytes from base64.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == letter).unwrap();
        (bits, count) = ((bits << 6) | u32::try_from(digit).unwrap(), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}

/// The answer to a list.
fn page(request: &Value, listed: &Mutex<Vec<String>>) -> (String, bool) {
    let directory = request["filename"].as_str().unwrap_or_default();
    listed.lock().unwrap().push(directory.to_owned());
    let count = match directory {
        "" => 1000,
        "big" => 1_000_000,
        _ => 100,
    };
    let name = |index: usize| match directory {
        "" if index == 0 => String::from("big"),
        "" => format!("d{index:03}"),
        _ => format!("{directory}/f{index:06}"),
    };
    // The name after which entries are wanted may be no text.
    let after = match (request["after"].as_str(), request["after_b64"].as_str()) {
        (Some(after), _) => after.as_bytes().to_vec(),
        (_, Some(after)) => decoded(after),
        _ => Vec::new(),
    };
    let (mut first, mut end) = (0, count);
    while first < end {
        let middle = usize::midpoint(first, end);
        match name(middle).as_bytes() <= &after[..] {
            true => first = middle + 1,
            false => end = middle,
        }
    }
    let last = count.min(first + PAGE);
    let kind = if directory.is_empty() { "directory" } else { "file" };
    let line = |index| {
        let mut entry = json!({"kind": kind, "filename": name(index), "mode": 0o755});
        if kind == "file" {
            entry["filesize"] = json!(3);
        }
        format!("{entry}\n")
    };
    ((first..last).map(line).collect(), last < count)
}

#[test]
fn each_directory_is_listed_once_however_many_names_are_in_it() {
    let many = Many::start();
    let names = (1..1000)
        .flat_map(|directory| (0..100).map(move |file| format!("d{directory:03}/f{file:06}\n")));
    let mut names: Vec<_> = names.collect();
    // In no order.
    names.sort_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
    let counts = many.get(names.concat());
    assert_eq!(counts["files"], 99_900, "{counts}");
    assert_eq!(many.pages.lock().unwrap().len(), 1000);
}

#[test]
fn directory_of_a_million_entries_is_not_listed_whole_for_a_few_names() {
    let many = Many::start();
    let counts = many.get(String::from("big/f777777\n"));
    assert_eq!((&counts["files"], &counts["failed"]), (&json!(1), &json!(0)), "{counts}");
    // One page of the root, and one of the directory.
    assert_eq!(many.pages.lock().unwrap().len(), 2);
    many.pages.lock().unwrap().clear();
    // Names on the same page cost one, and names far away one each.
    let counts = many.get(String::from("big/f000000\nbig/f000900\nbig/f500000\nbig/f999999\n"));
    assert_eq!(counts["files"], 4, "{counts}");
    assert_eq!(many.pages.lock().unwrap().len(), 4);
}
