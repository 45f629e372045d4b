//! Files whose size is not what they say: those of `/proc` and `/sys`, which the kernel makes up as they are read.

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
