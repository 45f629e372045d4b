//! `haul get` that is interrupted, by either end, by other runs, or by changes at the server.

use haul_tests::bytes::{counted, repeated};
use haul_tests::prelude::*;
use haul_tests::traced::Traced;

const MIB: usize = 1 << 20;

/// Size of the file: many parts.
const SIZE: usize = 48 * MIB;

/// A server that has the file `large`, in memory.
fn start() -> Setting {
    let setting = Setting::start();
    fs::write(setting.server.root().join("large"), counted(SIZE)).unwrap();
    setting
}

/// A `haul get` that runs, and takes some seconds for a part of the file.
fn slow(setting: &Setting, address: &str) -> Child {
    slow_of(setting, address, "6MiB")
}

fn slow_of(setting: &Setting, address: &str, rate: &str) -> Child {
    let mut command = haul_command();
    command.current_dir(setting.place.path()).args(["get", "--json", "--limit-rate", rate]);
    command.arg(format!("{address}/large")).arg("d");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The files in `d` that are not finished.
fn unfinished(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let is_unfinished =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".haul-arrives-");
    entries.map(|entry| entry.path()).filter(is_unfinished).collect()
}

/// Waits until some parts are there.
fn has_begun(place: &Path) {
    eventually("some parts are there", || {
        let blocks = |path: &PathBuf| path.metadata().map_or(0, |found| found.blocks());
        unfinished(place).iter().any(|path| blocks(path) * 512 > 4 * MIB as u64)
    });
}

/// A run that was killed once it had some parts, and its target.
fn killed() -> (Setting, PathBuf) {
    let setting = start();
    let mut client = slow(&setting, setting.server.address());
    let place = setting.place.path().join("d");
    has_begun(&place);
    client.kill().unwrap();
    drop(ended(client));
    (setting, place)
}

/// The next run goes on, and leaves nothing but the file.
#[track_caller]
fn goes_on(setting: &Setting) {
    let place = setting.place.path().join("d");
    assert!(!place.join("large").exists());
    let output = setting.haul(&["get", "--json", &setting.at("large"), "d"]).assert().success();
    let summary = last(&output.get_output().stdout);
    assert!(summary["bytes_resumed"].as_u64() >= Some(MIB as u64), "{summary}");
    assert!(summary["bytes_received"].as_u64() < Some(SIZE as u64), "{summary}");
    tree::compare(&setting.server.root().join("large"), &place.join("large")).unwrap();
    assert_eq!(tree::names(&place), ["large"]);
}

#[test]
fn run_after_one_that_was_killed_goes_on_with_its_parts() {
    let setting = start();
    let mut client = slow(&setting, setting.server.address());
    has_begun(&setting.place.path().join("d"));
    client.kill().unwrap();
    drop(ended(client));
    assert_eq!(unfinished(&setting.place.path().join("d")).len(), 1);
    goes_on(&setting);
}

#[test]
fn run_that_is_interrupted_says_so_and_the_next_one_goes_on() {
    let setting = start();
    let client = slow(&setting, setting.server.address());
    has_begun(&setting.place.path().join("d"));
    signal(&client, Signal::INT);
    let output = ended(client);
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(told.contains("interrupted; what was counted is here"), "{told}");
    let summary = last(&output.stdout);
    assert_eq!(summary["interrupted"], true);
    // The next run goes on with just these bytes.
    let held = summary["bytes_held"].as_u64().unwrap();
    assert!(held >= MIB as u64 && held < SIZE as u64, "{summary}");
    assert!(told.contains("large files go on where they stopped"), "{told}");
    let place = setting.place.path().join("d");
    let words = ["get", "--json", &setting.at("large"), "d"];
    let output = setting.haul(&words).assert().success();
    let summary = last(&output.get_output().stdout);
    assert_eq!(summary["bytes_resumed"], held, "{summary}");
    assert_eq!(summary["bytes_held"], 0, "{summary}");
    tree::compare(&setting.server.root().join("large"), &place.join("large")).unwrap();
}

#[test]
fn interrupted_run_that_has_no_part_of_a_large_file_says_nothing_of_large_files() {
    let setting = Setting::start();
    for number in 0..2_000 {
        setting.write_there(&format!("{number}"), &"x".repeat(30_000));
    }
    let mut command = haul_command();
    command.current_dir(setting.place.path());
    command.args(["get", "--json", "--limit-rate", "1MiB", &setting.at("s/"), "d"]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("some files are there", || tree_len(&setting.place.path().join("d")) > 0);
    signal(&client, Signal::INT);
    let output = ended(client);
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(told.contains("run the same command again for the rest\""), "{told}");
    assert_eq!(last(&output.stdout)["bytes_held"], 0);
}

/// The number of entries in a directory.
fn tree_len(place: &Path) -> usize {
    fs::read_dir(place).map_or(0, Iterator::count)
}

#[test]
fn small_files_that_a_killed_run_has_not_named_are_gone_after_the_next_run() {
    let setting = Setting::start();
    setting.write_there("in/file", "x");
    let place = setting.place.path().join("d/s/in");
    fs::create_dir_all(&place).unwrap();
    let names = [&place, place.parent().unwrap(), &place.join("../..")].map(|directory| {
        let name = directory.join(format!(".haul-arrives-w{}", "0".repeat(32)));
        fs::write(&name, "left").unwrap();
        name
    });
    setting.haul(&["get", &setting.at("s"), "d"]).assert().success();
    for name in names {
        assert!(!name.exists(), "{}", name.display());
    }
}

/// A directory at the server with `large`, the parts of which a killed run has left here.
fn killed_in_a_directory() -> Setting {
    let setting = Setting::start();
    setting.write_there("in/other", "x");
    fs::write(setting.target().join("in/large"), counted(SIZE)).unwrap();
    let mut command = haul_command();
    command.current_dir(setting.place.path()).args(["get", "--limit-rate", "6MiB"]);
    command.args([&setting.at("s/in/"), "d"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let place = setting.place.path().join("d");
    has_begun(&place);
    client.kill().unwrap();
    drop(ended(client));
    assert_eq!(unfinished(&place).len(), 1);
    setting
}

#[test]
fn parts_of_a_file_that_has_come_otherwise_are_gone_after_the_next_run() {
    let setting = killed_in_a_directory();
    let place = setting.place.path().join("d");
    tree::copy(&setting.target().join("in/large"), &place.join("large"));
    let from = format!("haul://{}/", setting.at("s/in"));
    setting.haul(&["sync", &from, "d"]).assert().success();
    assert_eq!(unfinished(&place), Vec::<PathBuf>::new());
    tree::compare(&setting.target().join("in"), &place).unwrap();
}

#[test]
fn parts_of_a_file_that_is_small_by_now_are_gone_after_the_next_run() {
    for source in ["s/in/", "s"] {
        let setting = killed_in_a_directory();
        let place = setting.place.path().join("d");
        let left = unfinished(&place).remove(0);
        let inside = place.join("s/in");
        fs::create_dir_all(&inside).unwrap();
        tree::copy(&left, &inside.join(left.file_name().unwrap()));
        setting.write_there("in/large", "small");
        setting.haul(&["get", &setting.at(source), "d"]).assert().success();
        let got = if source == "s" { inside } else { place };
        assert_eq!(unfinished(&got), Vec::<PathBuf>::new(), "{source}");
        assert_eq!(fs::read(got.join("large")).unwrap(), b"small");
    }
}

#[test]
fn parts_of_a_file_that_is_not_in_the_source_stay() {
    let setting = killed_in_a_directory();
    let place = setting.place.path().join("d");
    setting.write_there("b/file", "b");
    for sources in
        [&[setting.at("s/in/other")][..], &[setting.at("s/b/"), setting.at("s/in/other")]]
    {
        let words = [&["get".to_owned()][..], sources, &["d".to_owned()]].concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        setting.haul(&words).assert().success();
        assert_eq!(unfinished(&place).len(), 1, "{words:?}");
    }
    let output = setting.haul(&["get", "--json", &setting.at("s/in/"), "d"]).assert().success();
    assert!(last(&output.get_output().stdout)["bytes_resumed"].as_u64() >= Some(MIB as u64));
}

/// Trap `connection_loss_ends_run`.
#[test]
fn run_goes_on_with_a_server_that_was_killed_and_started_again() {
    let mut setting = start();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    let client = slow(&setting, relay.address());
    has_begun(&setting.place.path().join("d"));
    let (root, log) = (setting.server.root().to_owned(), setting.server.log.clone());
    setting.server.signal(Signal::KILL).unwrap();
    setting.server.wait().unwrap();
    relay.now(Event::Cut);
    let next = Hauld::start_at(&root, &log, hauld_command(), &["--durability", "none"]).unwrap();
    setting.server.becomes(next);
    relay.lead_to(setting.server.address());
    let output = ended(client);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = last(&output.stdout);
    // Only parts that were under way come twice.
    assert!(summary["bytes_received"].as_u64() < Some((SIZE + 20 * MIB) as u64), "{summary}");
    let place = setting.place.path().join("d");
    tree::compare(&root.join("large"), &place.join("large")).unwrap();
    assert_eq!(tree::names(&place), ["large"]);
}

#[test]
fn two_runs_that_get_one_file_at_once_are_both_right() {
    let setting = start();
    let address = setting.server.address();
    let first = slow(&setting, address);
    let place = setting.place.path().join("d");
    has_begun(&place);
    let second = slow_of(&setting, address, "20MiB");
    eventually("both are under way", || unfinished(&place).len() == 2);
    for client in [second, first] {
        let output = ended(client);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        tree::compare(&setting.server.root().join("large"), &place.join("large")).unwrap();
    }
    assert_eq!(tree::names(&place), ["large"]);
}

/// Trap `resume_onto_changed_source`. The parts of two states of a file are never in one file here.
#[test]
fn file_that_changes_between_two_parts_is_begun_anew() {
    for in_place in [false, true] {
        let setting = start();
        let client = slow(&setting, setting.server.address());
        let place = setting.place.path().join("d");
        has_begun(&place);
        let path = setting.server.root().join("large");
        let new = repeated(b"another file", SIZE);
        if in_place {
            fs::write(&path, &new).unwrap();
        } else {
            fs::write(path.with_file_name("new"), &new).unwrap();
            fs::rename(path.with_file_name("new"), &path).unwrap();
        }
        let output = ended(client);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{in_place}: {told}");
        assert!(fs::read(place.join("large")).unwrap() == new, "{in_place}");
        assert_eq!(tree::names(&place), ["large"]);
    }
}

/// Trap `resume_onto_changed_source`.
#[test]
fn parts_of_an_older_state_are_no_use_to_the_next_run() {
    let (setting, place) = killed();
    let new = repeated(b"another file", SIZE);
    fs::write(setting.server.root().join("large"), &new).unwrap();
    let output = setting.haul(&["get", "--json", &setting.at("large"), "d"]).assert().success();
    assert_eq!(last(&output.get_output().stdout)["bytes_resumed"], 0);
    assert!(fs::read(place.join("large")).unwrap() == new);
    assert_eq!(tree::names(&place), ["large"]);
}

/// Trap `symlink_swapped_in`.
/// Somebody who may write to the target puts a symlink in the place of a directory that the run is in.
#[test]
fn directory_that_becomes_a_symlink_meanwhile_is_not_gone_through() {
    let setting = Setting::start();
    fs::create_dir_all(setting.target().join("in/deep")).unwrap();
    for name in ["in/large", "in/deep/large"] {
        fs::write(setting.target().join(name), counted(SIZE / 2)).unwrap();
    }
    let mut command = haul_command();
    command.current_dir(setting.place.path()).args(["get", "--limit-rate", "6MiB"]);
    command.args([&setting.at("s"), "d"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let client = command.spawn().unwrap();
    let place = setting.place.path().join("d/s");
    eventually("the run is in the directory", || {
        !unfinished(&place.join("in")).is_empty() || !unfinished(&place.join("in/deep")).is_empty()
    });
    let outside = setting.place.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::rename(place.join("in"), place.join("moved")).unwrap();
    symlink(&outside, place.join("in")).unwrap();
    let output = ended(client);
    assert!(tree::names(&outside).is_empty(), "{:?}", tree::names(&outside));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{told}");
    for name in tree::names(&place.join("moved")) {
        tree::compare_bytes(&setting.target().join("in/large"), &place.join("moved").join(name))
            .unwrap();
    }
}

#[test]
fn stalled_connection_is_replaced_and_the_file_comes_whole() {
    let setting = start();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    relay.at_brought(10 * MIB as u64, Event::Stall);
    let from = format!("{}/large", relay.address());
    // An idle server that is there answers sooner.
    let words = ["get", "--json", "--connections", "2", "--timeout", "4s", &from, "d"];
    let output = setting.haul(&words).assert().success();
    assert!(relay.accepted() > 2, "{} connections", relay.accepted());
    let place = setting.place.path().join("d");
    tree::compare(&setting.server.root().join("large"), &place.join("large")).unwrap();
    assert_eq!(tree::names(&place), ["large"]);
    // Only parts that were under way come twice.
    let summary = last(&output.get_output().stdout);
    assert!(summary["bytes_received"].as_u64() < Some((SIZE + 40 * MIB) as u64), "{summary}");
}

/// Trap `stall_looks_alive`: when no byte comes, progress says so.
#[test]
fn stall_looks_alive_to_nobody_who_gets_a_file() {
    let setting = start();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    relay.at_brought(2 * MIB as u64, Event::Stall);
    let mut client = haul_command();
    client.current_dir(setting.place.path()).args(["get", &format!("{}/large", relay.address())]);
    let client = client.arg("d").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let lines = BufReader::new(client.stderr.take().unwrap()).lines();
    let mut stalled = false;
    for line in lines.map_while(Result::ok) {
        if line.contains("stalled") {
            stalled = true;
            relay.now(Event::Resume);
        }
    }
    assert!(client.wait().unwrap().success());
    assert!(stalled, "nothing said that nothing moves");
}

/// Bytes that the second run reads of the file whose parts the first one has left.
#[test]
fn resume_rehashes_everything_only_after_a_restart_of_this_machine() {
    let (setting, _) = killed();
    let traced = Traced::new(&["-e", "trace=read,pread64,readv,preadv"]);
    let words = ["get", "--json", &setting.at("large"), "d"];
    let output = output_of(traced.haul().current_dir(setting.place.path()).args(words));
    assert!(last(&output.stdout)["bytes_resumed"].as_u64() >= Some(MIB as u64));
    let of_parts = traced.calls().into_iter().filter(|call| call.contains(".haul-arrives-"));
    let read: u64 = of_parts.filter_map(|call| Traced::result(&call)).sum();
    assert!(read < 100_000, "{read} bytes");
}
