//! Files whose size is not what they say: those of `/proc` and `/sys`, which the kernel makes up as they are read.

use haul_tests::http::curled;
use haul_tests::over_ssh::OverSsh;
use haul_tests::prelude::*;

/// Says that it is empty; is small.
const SMALL: &str = "/proc/version";
/// Says that it is empty; has some MiB, and goes in parts.
const LARGE: &str = "/proc/kallsyms";
/// Says that it has a page; has a few bytes.
const FEWER: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Counters there, which change while the machine works.
const COUNTERS: [&str; 2] = ["--exclude=stats", "--exclude=khugepaged"];

fn is_as_it_should_be(setting: &Setting, source: &str, name: &str) {
    let there = fs::read(setting.server.root().join(name)).unwrap();
    assert!(!there.is_empty() && fs::read(source).unwrap() == there, "{source}");
    assert_ne!(fs::metadata(source).unwrap().len(), there.len() as u64, "{source} is no case");
}

/// Trap `size_zero_with_bytes`.
#[test]
fn size_zero_with_bytes() {
    let setting = Setting::start();
    for source in [SMALL, LARGE, FEWER] {
        setting.haul(&["put", source, setting.server.address(), "--as", "x"]).assert().success();
        is_as_it_should_be(&setting, source, "x");
        // In a tree the same, beside files that are what they say.
        let name = source.rsplit('/').next().unwrap();
        let (above, _) = source.rsplit_once('/').unwrap();
        let words = ["put", "--files-from", "-", above, &setting.at("tree")];
        setting.haul(&words).write_stdin(name).assert().success();
        let there = format!("tree/{}/{name}", above.rsplit('/').next().unwrap());
        is_as_it_should_be(&setting, source, &there);
    }
    // A symlink there that is named leads to such a file.
    setting.haul(&["put", "/proc/mounts", setting.server.address()]).assert().success();
    assert!(setting.server.root().join("mounts").symlink_metadata().unwrap().is_file());
    setting.write("empty", "");
    setting.write("page", &"x".repeat(4096));
    setting.sync(&[]);
    assert_eq!(setting.sync(&[])["unchanged"], 2);
    setting.same();
}

#[test]
fn comparing_sees_the_bytes_and_not_the_size() {
    let setting = Setting::start();
    for source in [SMALL, LARGE, FEWER] {
        let name = source.rsplit('/').next().unwrap();
        let there = setting.server.root().join(name);
        let address = setting.server.address();
        let mtime = fs::metadata(source).unwrap().modified().unwrap();
        // As older versions have stored it: empty, with the right mtime.
        fs::File::create(&there).unwrap().set_modified(mtime).unwrap();
        setting.haul(&["verify", source, address]).assert().code(1).stdout(contains("differs"));
        let told = setting.haul(&["sync", "-n", source, address]).assert().success();
        told.stdout(contains(format!("would send {name}: size differs")));
        for flags in [&[][..], &["-c"]] {
            fs::File::create(&there).unwrap().set_modified(mtime).unwrap();
            let sync = [&["sync"], flags, &[source, address]].concat();
            setting.haul(&sync).assert().success().stdout(contains("1 file"));
            is_as_it_should_be(&setting, source, name);
            // And only once.
            let again = setting.haul(&sync).arg("--json").assert().success();
            let summary = last(&again.get_output().stdout);
            assert_eq!(
                (&summary["unchanged"], &summary["files"]),
                (&1.into(), &0.into()),
                "{sync:?}"
            );
        }
        setting.haul(&["verify", source, address]).assert().success();
    }
}

#[test]
fn tree_of_such_files_is_synced_and_published_once() {
    let setting = Setting::start();
    let (tree, _) = FEWER.rsplit_once('/').unwrap();
    let source = format!("{tree}/");
    let run = |words: &[&str], to: &str| {
        let to = setting.at(to);
        let words = [words, &COUNTERS, &[&source, &to, "--json"]].concat();
        let done = setting.haul(&words).assert();
        last(&done.success().get_output().stdout)
    };
    for (words, to) in [(&["sync", "--delete"][..], "synced"), (&["publish"], "published")] {
        let files = run(words, to)["files"].clone();
        assert!(files.as_u64() > Some(1), "{files}");
        is_as_it_should_be(&setting, FEWER, &format!("{to}/enabled"));
        assert_eq!(run(words, to)["unchanged"], files, "{words:?}");
        is_as_it_should_be(&setting, FEWER, &format!("{to}/enabled"));
        let to = setting.at(to);
        let verify = [&["verify"], &COUNTERS[..], &[&source, &to]].concat();
        setting.haul(&verify).assert().success();
    }
}

#[test]
fn classic_server_gets_the_bytes_as_well() {
    let setting = Setting::start();
    for source in [SMALL, LARGE, FEWER] {
        let words = ["put", "--classic", source, setting.server.address(), "--as", "x"];
        setting.haul(&words).assert().success();
        haul_tests::eventually("it has arrived", || {
            fs::read(setting.server.root().join("x"))
                .is_ok_and(|there| there == fs::read(source).unwrap())
        });
    }
}

/// Nothing of it stays where temporary files are, and a place without room is told.
#[test]
fn what_has_to_be_kept_is_kept_without_a_name() {
    let setting = Setting::start();
    let temporary = setting.place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let put = ["put", LARGE, setting.server.address(), "--as", "x"];
    setting.haul(&put).env("TMPDIR", &temporary).assert().success();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    is_as_it_should_be(&setting, LARGE, "x");
    let limited = "ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Client::new("bash");
    command.args(["-c", limited]).arg(&binaries::get().haul).args(put).env("TMPDIR", &temporary);
    command.assert().code(1).stderr(contains("TMPDIR").and(contains(LARGE)));
}

/// Trap `size_zero_with_bytes`, where the server reads: the directory of such files is the root.
#[test]
fn size_zero_with_bytes_at_the_server() {
    for (root, name, stated) in [
        ("/proc/sys/kernel", "ostype", 0),
        ("/sys/kernel/mm/transparent_hugepage", "enabled", 4096),
    ] {
        let (root, place) = (Path::new(root), TempDir::new().unwrap());
        let bytes = fs::read(root.join(name)).unwrap();
        assert_eq!(root.join(name).metadata().unwrap().len(), stated, "{name} is no case");
        assert!(!bytes.is_empty() && bytes.len() != 4096);
        let (log, words) = (place.path().join("log"), ["--read-only"]);
        let server = Hauld::start_at(root, &log, hauld_command(), &words).unwrap();
        let there = format!("{}/{name}", server.address());
        let run = |words: &[&str]| haul().current_dir(place.path()).args(words).assert().success();
        run(&["get", &there, "d"]);
        assert_eq!(fs::read(place.path().join("d").join(name)).unwrap(), bytes);
        assert_eq!(run(&["cat", &there]).get_output().stdout, bytes);
        let url = format!("http://{there}");
        assert_eq!(curled(&[&url]), bytes);
        assert_eq!(curled(&["-r", "1-2", &url]), bytes[1..3]);
        // Once more over the file that has come.
        run(&["sync", &format!("haul://{there}"), "d"]);
        assert_eq!(fs::read(place.path().join("d").join(name)).unwrap(), bytes);
    }
}

/// Of such a file the server keeps all bytes while it sends them, so there is a bound.
#[test]
fn file_that_states_no_size_and_is_large_is_refused_and_never_empty() {
    let machine = OverSsh::new();
    let words = [&["get", "box:/proc/kallsyms", "d"][..], &["cat", "box:/proc/kallsyms"]];
    for words in words {
        let told = machine.haul(words).assert().code(1).stdout(contains(" T ").not());
        told.stderr(contains("states 0 bytes and has more than 131072"));
    }
    assert!(!machine.here().join("d/kallsyms").exists());
    machine.haul(&["get", "box:/proc/version", "d"]).assert().success();
    let came = fs::read(machine.here().join("d/version")).unwrap();
    assert_eq!(came, fs::read(SMALL).unwrap());
}
