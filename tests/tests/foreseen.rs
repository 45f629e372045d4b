//! A dry run promises nothing that the run itself would not do, as far as the client can know, and fails only where that does.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use haul_tests::client::output_of;
use haul_tests::setting::Setting;
use haul_tests::user::User;

/// A command as a dry run and then as it is, and what both told on standard output and error. Both have the same exit code.
fn both(setting: &Setting, words: &[&str], code: i32) -> [String; 2] {
    [&["-n"][..], &[]].map(|dry| {
        let at = if words[0] == "publish" { "s" } else { "" };
        let mut command = setting.haul(words);
        let output = command.args(dry).args(["s", &setting.at(at)]).output();
        let told = [output.stdout, output.stderr].map(|told| String::from_utf8(told).unwrap());
        let told = told.concat();
        assert_eq!(output.status.code(), Some(code), "{words:?} {dry:?}: {told}");
        told
    })
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The server's symlink is listed in the place of a directory that is not there yet.
#[test]
fn directory_that_would_take_the_place_of_a_symlink_is_no_failure_of_a_dry_run() {
    for target in ["nowhere", ".", "/etc", "extra"] {
        for words in [&["sync", "--delete"][..], &["publish"]] {
            let setting = Setting::start();
            setting.write("a/f", "x");
            setting.write("a/deep/deeper/f", "x");
            setting.write_there("extra", "x");
            symlink(target, setting.target().join("a")).unwrap();
            let verified = setting.command("verify", &[]).assert().code(1).get_output().clone();
            let told = String::from_utf8(verified.stderr).unwrap();
            assert!(!told.contains("refused"), "{told}");
            let [dry, _] = both(&setting, words, 0);
            assert!(dry.contains("would make s/a: replaces"), "{dry}");
            assert!(dry.contains("would remove s/extra"), "{dry}");
            setting.same();
        }
    }
}

#[test]
fn dry_run_fails_where_a_directory_stays_in_the_way_of_a_file() {
    // The directory itself is left out by a rule; something in it is; or no more may be removed.
    for word in ["--exclude=b/", "--exclude=*.keep", "--max-delete=0"] {
        let setting = Setting::start();
        setting.write("b", "x");
        setting.write_there("b/in/p.keep", "p");
        let [dry, _] = both(&setting, &["sync", "--delete", word], 1);
        assert!(!dry.contains("would send s/b") && dry.contains("s/b: "), "{word}: {dry}");
        assert!(setting.there("b/in/p.keep"));
    }
}

#[test]
fn dry_run_tells_a_file_after_the_directory_in_its_way_once() {
    for words in [&["sync", "--delete"][..], &["publish"]] {
        let setting = Setting::start();
        setting.write("b", "x");
        setting.write("mode", "x");
        setting.sync(&[]);
        fs::set_permissions(setting.source().join("mode"), Permissions::from_mode(0o600)).unwrap();
        setting.write("other/f", "x");
        fs::remove_file(setting.target().join("b")).unwrap();
        setting.write_there("b/in/p", "p");
        let [dry, _] = both(&setting, words, 0);
        let [removed, sent] = ["would remove s/b:", "would send s/b: replaces a directory"]
            .map(|line| dry.find(line).unwrap_or_else(|| panic!("{line}: {dry}")));
        assert!(removed < sent, "{dry}");
        let [sent, made] = ["would send s/other/f:", "would make s/other:"];
        for line in ["would send s/b:", sent, made, "would adjust s/mode:"] {
            assert_eq!(dry.matches(line).count(), 1, "{line}: {dry}");
        }
        setting.same();
    }
}

#[test]
fn dry_run_sends_nothing_into_a_directory_that_is_not_made() {
    for words in [&["put"][..], &["put", "--ignore-existing"], &["sync", "--ignore-existing"]] {
        for target in [None, Some("nowhere")] {
            let setting = Setting::start();
            for name in ["c/1", "c/deep/2", "d/3"] {
                setting.write(name, "x");
            }
            fs::create_dir(setting.target()).unwrap();
            match target {
                None => write(&setting.target().join("c"), "x"),
                Some(target) => symlink(target, setting.target().join("c")).unwrap(),
            }
            let [dry, run] = both(&setting, words, 1);
            assert!(!dry.contains("would send s/c") && !dry.contains("would make s/c"), "{dry}");
            for name in ["c/1", "c/deep/2"] {
                assert!(dry.contains(&format!("s/{name}: ")), "{words:?} {name}: {dry}");
                assert!(run.contains(&format!("s/{name}: ")), "{words:?} {name}: {run}");
            }
            assert!(dry.contains("would send s/d/3") && setting.there("d/3"), "{dry}");
        }
    }
}

#[test]
fn dry_run_to_below_a_file_or_symlink_of_the_server_fails() {
    // A publish of such a directory is refused before anything is sent.
    for (verb, to, code) in
        [("put", "x/in", 1), ("sync", "x/in", 1), ("sync", "x/in/deep", 1), ("publish", "x/in", 1)]
    {
        for is_symlink in [false, true] {
            let setting = Setting::start();
            setting.write("f", "x");
            let there = setting.server.root().join("x");
            if is_symlink {
                symlink("elsewhere", there).unwrap();
                fs::create_dir(setting.server.root().join("elsewhere")).unwrap();
            } else {
                write(&there, "x");
            }
            for (dry, code) in [(&["-n"][..], 1), (&[], code)] {
                let mut command = setting.haul(&[verb]);
                let output = command.args(dry).args(["s/", &setting.at(to)]).output();
                let told = String::from_utf8_lossy(&output.stdout).into_owned();
                assert_eq!(output.status.code(), Some(code), "{verb} {to} {dry:?} {told}");
                assert!(!told.contains("would send"), "{told}");
            }
            setting.haul(&[verb]).args(["-n", "s/", &setting.at("y/deep")]).assert().success();
        }
    }
}

/// The source has a directory of that name, so what is there never goes.
#[test]
fn nothing_is_removed_if_a_directory_could_not_be_made_because_what_exists_is_ignored() {
    for target in [None, Some("nowhere")] {
        let setting = Setting::start();
        setting.write("c/1", "x");
        setting.write_there("old", "x");
        match target {
            None => write(&setting.target().join("c"), "x"),
            Some(target) => symlink(target, setting.target().join("c")).unwrap(),
        }
        let [dry, _] = both(&setting, &["sync", "--delete", "--ignore-existing"], 1);
        assert!(!dry.contains("would remove"), "{dry}");
        assert!(setting.there("old"), "{target:?}");
    }
}

#[test]
fn dry_run_fails_for_a_file_that_is_larger_than_the_server_takes() {
    let setting = Setting::start_with(&["--durability", "none", "--max-file", "1MiB"]);
    setting.write("large", &"x".repeat(2 << 20));
    let [dry, run] = both(&setting, &["put"], 1);
    assert!(dry.contains("over the server's limit") && run.contains("over the server's limit"));
}

/// A directory that is named does not go, though `--delete` is given.
#[test]
fn dry_run_fails_where_a_named_symlink_would_take_the_place_of_a_directory() {
    let setting = Setting::start();
    setting.write("project/a", "x");
    setting.haul(&["sync", "s/project", setting.server.address()]).assert().success();
    fs::rename(setting.source().join("project"), setting.source().join("moved")).unwrap();
    symlink("moved", setting.source().join("project")).unwrap();
    let told = [&["-n"][..], &[]].map(|dry| {
        let mut command = setting.haul(&["sync", "--delete"]);
        let output = command.args(dry).args(["s/project", setting.server.address()]).output();
        assert_eq!(output.status.code(), Some(1), "{dry:?}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains("would"));
        String::from_utf8(output.stderr).unwrap()
    });
    assert_eq!(told[0], told[1]);
    assert!(setting.server.root().join("project/a").exists());
}

#[test]
fn dry_run_fails_for_a_file_that_can_not_be_read() {
    let user = User::new().unwrap();
    let setting = Setting::start();
    setting.write("closed", "x");
    setting.write("open", "x");
    fs::set_permissions(setting.place.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(setting.source().join("closed"), Permissions::from_mode(0o000)).unwrap();
    for dry in [&["-n"][..], &[]] {
        let mut command = user.command("haul");
        command.args(["put"]).args(dry).arg(setting.source()).arg(setting.server.address());
        let output = output_of(&mut command);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("closed: could not open") && told.contains("1 file"), "{told}");
    }
}

#[test]
fn dry_run_tells_the_bytes_of_a_file_that_says_it_is_empty() {
    let setting = Setting::start();
    let bytes = fs::read("/proc/version").unwrap().len();
    for command in ["put", "sync"] {
        let words = [command, "-n", "--json", "/proc/version", setting.server.address()];
        let output = setting.haul(&words).output();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains(&format!("\"size\":{bytes}")), "{told}");
    }
}

/// Sends several sources to `d` of a new server, as a dry run and then as it is. Both must end with the exit code; returns
/// what both told.
fn of_several(setting: &Setting, sources: &[&str], code: i32) -> [String; 2] {
    [&["-n"][..], &[]].map(|dry| {
        let to = setting.at("d");
        let output = setting.haul(&["put"]).args(dry).args(sources).arg(to).output();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{sources:?} {dry:?}: {told}");
        told
    })
}

#[test]
fn first_of_two_sources_with_a_file_and_a_directory_of_one_name_wins_in_every_run() {
    for (sources, is_link) in [
        (["a/", "b/"], false),
        (["b/", "a/"], false),
        (["b/", "a/"], true),
        (["b/", "a/x"], false),
        (["a/x", "b/"], true),
        (["a/", "b/x"], false),
    ] {
        let setting = Setting::start();
        let place = setting.place.path();
        // In `a` a directory, in `b` a file or symlink; and names that only one of them has.
        for name in ["a/x/1", "a/x/deep/2", "a/only", "b/other/y"] {
            write(&place.join(name), name);
        }
        match is_link {
            true => symlink("nowhere", place.join("b/x")).unwrap(),
            false => write(&place.join("b/x"), "b/x"),
        }
        let told = of_several(&setting, &sources, 1);
        let second = if sources[1].starts_with('a') { "a/x" } else { "b/x" };
        for told in &told {
            let failed = format!("haul: {second}: another source has d/x as well");
            assert!(told.contains(&failed) && told.contains("1 failed"), "{sources:?}: {told}");
            assert_eq!(told.matches("haul: ").count(), 1, "{sources:?}: {told}");
        }
        let is_below_told = told[0].contains("d/x/1") && told[0].contains("d/x/deep/2");
        assert_eq!(is_below_told, second == "b/x", "{sources:?}: {}", told[0]);
        for line in ["would make d: new", "would send d/x: new", "would make d/x: new"] {
            assert!(told[0].matches(line).count() <= 1, "{line}: {}", told[0]);
        }
        let there = setting.server.root().join("d/x");
        assert_eq!(there.join("1").exists() && there.join("deep/2").exists(), second == "b/x");
        assert_eq!(there.is_symlink(), is_link && second == "a/x", "{sources:?}");
    }
}

#[test]
fn directories_that_several_sources_have_are_merged_and_told_once() {
    let setting = Setting::start();
    let place = setting.place.path();
    for name in ["a/in/deep/1", "b/in/deep/2", "c/in/3", "in/deep/4"] {
        write(&place.join(name), name);
    }
    let [dry, _] = of_several(&setting, &["a/", "b/", "c/", "in"], 0);
    for line in ["would make d: new", "would make d/in: new", "would make d/in/deep: new"] {
        assert_eq!(dry.matches(line).count(), 1, "{line}: {dry}");
    }
    for name in ["in/deep/1", "in/deep/2", "in/3", "in/deep/4"] {
        assert!(setting.server.root().join("d").join(name).is_file(), "{name}");
    }
}

/// Beyond the directories that are remembered for their attributes, all are looked for once more.
#[test]
fn refused_directory_is_told_once_also_if_there_are_very_many_directories() {
    let setting = Setting::start();
    let place = setting.place.path();
    write(&place.join("a/x"), "x");
    write(&place.join("b/x/in/1"), "1");
    for directory in 0..4200 {
        fs::create_dir_all(place.join(format!("b/many/{directory}"))).unwrap();
    }
    for told in of_several(&setting, &["a/", "b/"], 1) {
        assert!(told.contains("1 failed") && told.matches("haul: ").count() == 1, "{told}");
    }
    assert!(setting.server.root().join("d/x").is_file());
    assert!(setting.server.root().join("d/many/4199").is_dir());
}
