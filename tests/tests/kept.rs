//! Nothing is lost, left out or taken for done because of what is odd in a source, in its rules or at the server.

use haul_tests::prelude::*;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that the client has sent when a test acts.
const SOME: u64 = 300_000;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn haul(words: &[&str], source: &Path, to: &str) -> Command {
    let mut command = haul_command();
    command.args(words).arg("--connections=1").arg(source).arg(to);
    command
}

/// Runs haul with the source, and does something when [`SOME`] bytes have passed to the server.
fn meanwhile(setting: &Setting, words: &[&str], act: impl FnOnce()) -> Output {
    setting.rests();
    let relay = Relay::start(setting.server.address(), &[(SOME, Event::Stall)]).unwrap();
    let site = if words[0] == "publish" { "/s" } else { "" };
    let mut command = haul(words, &setting.source(), &format!("{}{site}", relay.address()));
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("so many bytes have passed", || relay.passed() >= SOME);
    act();
    relay.now(Event::Resume);
    ended(running)
}

/// The rules of the source itself are forgotten in so large a tree, and read again.
#[test]
fn rules_that_can_be_read_no_more_in_the_middle_of_a_walk_are_a_failure() {
    for words in [&["put"][..], &["sync"], &["sync", "--delete"], &["publish"]] {
        let setting = Setting::start();
        for directory in 0..3000 {
            for file in 0..3 {
                setting.write(&format!("{directory}/{file}"), "x");
            }
        }
        setting.write_there("old", "x");
        let rules = setting.source().join(".haulignore");
        let output = meanwhile(&setting, words, || fs::create_dir(&rules).unwrap());
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
        assert!(told.contains(".haulignore"), "{words:?}: {told}");
        assert!(setting.there("old"), "{words:?}: {told}");
    }
}

/// The name is a file or symlink here, and what a rule leaves out at the server.
#[test]
fn directory_that_a_rule_leaves_out_stays_whatever_has_its_name_here() {
    for (rule, is_file, code) in [
        ("cache", true, 0),
        ("cache", false, 0),
        // Only a directory is left out by this, so the file is sent, and has a directory in its way.
        ("cache/", true, 1),
        ("cache/", false, 1),
    ] {
        let setting = Setting::start();
        fs::create_dir(setting.source().join("d")).unwrap();
        if is_file {
            setting.write("d/cache", "here");
        } else {
            symlink("elsewhere", setting.source().join("d/cache")).unwrap();
        }
        setting.write("d/f", "x");
        setting.write_there("d/cache/deep/only", "x");
        let words = ["--delete", "--exclude", rule];
        setting.command("sync", &words).assert().code(code);
        assert!(setting.there("d/cache/deep/only"), "{rule} {is_file}");
        assert!(setting.there("d/f"), "{rule} {is_file}");
    }
}

/// An entry that is there stays, whatever it is.
#[test]
fn ignoring_what_exists_removes_no_directory_for_a_file() {
    let setting = Setting::start();
    setting.write("x", "here");
    setting.write_there("x/deep/only", "x");
    setting.write_there("old", "x");
    setting.command("sync", &["--delete", "--ignore-existing"]).assert().success();
    assert!(setting.there("x/deep/only") && !setting.there("old"));
}

/// A program empties the file first and writes it then.
#[test]
fn rules_that_are_empty_for_a_moment_are_waited_for() {
    for words in [["put"], ["sync"], ["publish"]] {
        let setting = Setting::start();
        setting.write("secret", "x");
        setting.write("f", "x");
        setting.write(".haulignore", "secret\n");
        let site = if words[0] == "publish" { "/s" } else { "" };
        let to = format!("{}{site}", setting.server.address());
        let mut file = fs::File::create(setting.source().join(".haulignore")).unwrap();
        let mut command = haul(&words, &setting.source(), &to);
        let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
        let rules = setting.source().join(".haulignore");
        let opens = format!("/proc/{}/fd", running.id());
        eventually("haul reads the rules", || {
            let open = fs::read_dir(&opens).into_iter().flatten().flatten();
            let found = open.filter_map(|entry| fs::read_link(entry.path()).ok());
            found.into_iter().any(|path| path == rules) || running.try_wait().unwrap().is_some()
        });
        file.write_all(b"secret\n").unwrap();
        drop(file);
        let output = ended(running);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert!(setting.there("f") && !setting.there("secret"), "{words:?}: {}", told(&output));
    }
}

#[test]
fn file_that_a_killed_run_has_put_aside_is_told_and_nothing_is_removed() {
    for words in [&["sync", "--delete"][..], &["sync", "--delete", "--exclude=.*"], &["put"]] {
        let setting = Setting::start();
        setting.write("d/.haul-removes-0123456789abcdef-f", "x");
        setting.write("d/g", "x");
        setting.write_there("d/f", "x");
        let to = setting.server.address();
        let output = output_of(&mut haul(words, &setting.source(), to));
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", told(&output));
        assert!(told(&output).contains("was killed"), "{words:?}: {}", told(&output));
        assert!(setting.there("d/f") && setting.there("d/g"), "{words:?}");
        assert!(!setting.there("d/.haul-removes-0123456789abcdef-f"), "{words:?}");
    }
}

#[test]
fn directory_that_is_named_like_a_file_put_aside_is_sent() {
    for words in [&["put"][..], &["put", "--remove-source"], &["sync", "--delete"], &["publish"]] {
        let setting = Setting::start_with(&["--durability", "group"]);
        setting.write(".haul-removes-x/in/p", "x");
        setting.write("f", "x");
        let site = if words[0] == "publish" { "/s" } else { "" };
        let to = format!("{}{site}", setting.server.address());
        let output = haul(words, &setting.source(), &to).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", told(&output));
        assert!(setting.there(".haul-removes-x/in/p") && setting.there("f"), "{words:?}");
    }
}

#[test]
fn file_that_was_put_aside_and_is_in_a_list_is_told() {
    let setting = Setting::start();
    setting.write(".haul-removes-x", "x");
    setting.write(".haul-removes-y/f", "x");
    let mut command = setting.command("put", &["--files-from", "-"]);
    let command = command.write_stdin(".haul-removes-x\n.haul-removes-y/f\n");
    let output = command.assert().code(1).get_output().clone();
    assert!(told(&output).contains("was killed"), "{}", told(&output));
    assert!(!setting.there(".haul-removes-x") && setting.there(".haul-removes-y/f"));
}

#[test]
fn source_that_is_emptied_while_haul_runs_empties_nothing() {
    let setting = Setting::start();
    for directory in 0..30 {
        for file in 0..700 {
            setting.write(&format!("{directory}/{file}"), "x");
        }
    }
    setting.write_there("kept", "x");
    let output = meanwhile(&setting, &["sync", "--delete"], || {
        for entry in fs::read_dir(setting.source()).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    });
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(setting.there("kept"), "{}", told(&output));
}

#[test]
fn named_file_with_a_directory_in_its_way_is_a_failure_also_if_what_is_too_much_goes() {
    for is_file in [true, false] {
        let setting = Setting::start();
        let x = setting.place.path().join("x");
        if is_file {
            fs::write(&x, "x").unwrap()
        } else {
            symlink("to", &x).unwrap()
        }
        fs::create_dir_all(setting.server.root().join("x/y")).unwrap();
        for words in [&["sync", "--delete"][..], &["sync", "--delete", "--force-delete"], &["put"]]
        {
            let output = output_of(&mut haul(words, &x, setting.server.address()));
            assert_eq!(output.status.code(), Some(1), "{words:?}: {}", told(&output));
            assert!(setting.server.root().join("x/y").exists());
        }
    }
}

#[test]
fn directory_that_gets_an_entry_just_before_it_is_removed_is_a_failure() {
    let setting = Setting::start();
    setting.write("f", "x");
    let long = "x".repeat(200);
    for file in 0..2000 {
        setting.write_there(&format!("d/{file}{long}"), "");
    }
    let output = meanwhile(&setting, &["sync", "--delete"], || setting.write_there("d/new", "x"));
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("s/d"), "{}", told(&output));
    assert!(setting.there("d/new"));
}

#[test]
fn rules_that_are_written_while_they_are_read_send_no_secret() {
    let setting = Setting::start();
    setting.write("secret", "x");
    setting.write("f", "x");
    // Both leave the secret out, at other places of the file.
    let one = format!("{}secret\n{}", "aaaaaa\n".repeat(4000), "bbbbbb\n".repeat(8000));
    let other = format!("{}secret\n{}", "aaaaaa\n".repeat(9000), "bbbbbb\n".repeat(3000));
    assert_eq!(one.len(), other.len());
    let rules = setting.source().join(".haulignore");
    fs::write(&rules, &one).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (seen, path) = (Arc::clone(&over), rules.clone());
    let writing = thread::spawn(move || {
        let file = fs::File::options().write(true).open(path).unwrap();
        for text in [&other, &one].into_iter().cycle() {
            file.write_all_at(text.as_bytes(), 0).unwrap();
            if seen.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    for words in [["put"], ["sync"], ["publish"]].iter() {
        let site = if words[0] == "publish" { "/s" } else { "" };
        let to = format!("{}{site}", setting.server.address());
        // Success, or a file that never holds still.
        let output = output_of(&mut haul(words, &setting.source(), &to));
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", told(&output));
        assert!(!setting.there("secret"), "{words:?}: {}", told(&output));
    }
    over.store(true, Ordering::Relaxed);
    writing.join().unwrap();
}

#[test]
fn rules_that_are_changed_in_place_after_the_walk_hold_for_what_is_published() {
    let setting = Setting::start();
    for directory in 0..30 {
        for file in 0..700 {
            setting.write(&format!("{directory}/{file}"), "x");
        }
    }
    let first = fs::read_dir(setting.source()).unwrap().next().unwrap().unwrap().path();
    for name in ["f.one", "f.other"] {
        fs::write(first.join(name), "x").unwrap();
    }
    fs::write(first.join(".haulignore"), "*.one\n").unwrap();
    let output = meanwhile(&setting, &["publish"], || {
        let rules = fs::File::options().write(true).open(first.join(".haulignore")).unwrap();
        rules.write_all_at(b"*.oth*\n", 0).unwrap();
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let there = setting.target().join(first.file_name().unwrap());
    assert!(there.join("f.one").exists() && !there.join("f.other").exists(), "{}", told(&output));
}

/// In a tree of so many directories, they are looked for once more at the end.
#[test]
fn directory_that_is_left_out_need_not_be_readable() {
    let user = User::new().unwrap();
    let server = server_with(&["--durability", "none"]);
    let source = user.path().join("s");
    for directory in 0..4200 {
        fs::create_dir_all(source.join(directory.to_string())).unwrap();
    }
    fs::write(source.join("f"), "x").unwrap();
    let closed = source.join("lost+found");
    fs::create_dir(&closed).unwrap();
    user.own_all(source.clone()).unwrap();
    set_mode(&closed, 0o000);
    for (verb, to) in [("publish", "/site"), ("sync", "/t"), ("sync", "/t")] {
        let mut command = user.command("haul");
        command.args([verb, "--exclude", "/lost+found"]);
        if verb == "sync" {
            command.arg("--delete");
        }
        let to = format!("{}{to}", server.address());
        let output = output_of(command.arg(format!("{}/", source.display())).arg(to));
        assert_eq!(output.status.code(), Some(0), "{verb}: {}", told(&output));
    }
    set_mode(&closed, 0o700);
}

/// The rules where the symlink leads to are not of this source.
#[test]
fn symlink_to_a_directory_with_rules_takes_the_place_of_a_directory() {
    let setting = Setting::start();
    setting.write("a/deep/f", "x");
    setting.sync(&[]);
    fs::remove_dir_all(setting.source().join("a")).unwrap();
    let elsewhere = setting.place.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("deep")).unwrap();
    fs::write(elsewhere.join(".haulignore"), "f\n").unwrap();
    fs::write(elsewhere.join("deep/.haulignore"), "f\n").unwrap();
    symlink(&elsewhere, setting.source().join("a")).unwrap();
    setting.sync(&["--delete"]);
    assert!(setting.target().join("a").is_symlink());
}

#[test]
fn only_one_of_two_sources_with_the_same_name_is_sent_and_neither_is_removed_here() {
    for words in [&["put"][..], &["put", "--remove-source"]] {
        let setting = Setting::start_with(&["--durability", "group"]);
        let place = setting.place.path();
        for source in ["a", "b"] {
            fs::create_dir(place.join(source)).unwrap();
            fs::write(place.join(source).join("x"), source).unwrap();
            fs::write(place.join(source).join(source), source).unwrap();
        }
        let to = setting.at("d");
        let output = setting.haul(words).args(["a/", "b/", &to]).output();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("b/x: another source has d/x as well"), "{told}");
        assert_eq!(fs::read(place.join("a/x")).unwrap(), b"a");
        assert_eq!(fs::read(place.join("b/x")).unwrap(), b"b");
        let root = setting.server.root();
        for (name, bytes) in [("x", "a"), ("a", "a"), ("b", "b")] {
            assert_eq!(fs::read(root.join("d").join(name)).unwrap(), bytes.as_bytes(), "{told}");
        }
        assert_eq!(place.join("b/b").exists(), words.len() == 1);
    }
}

#[test]
fn names_of_a_list_do_not_lead_out_of_the_source_through_symlinks() {
    for links in ["copy", "skip", "follow"] {
        let setting = Setting::start_with(&["--durability", "group"]);
        let outside = setting.place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "x").unwrap();
        symlink(&outside, setting.source().join("symlink")).unwrap();
        let words = if links == "follow" { &[][..] } else { &["--remove-source"] };
        let mut command = setting.command("put", &["--files-from", "-", "--links", links]);
        let output = command.args(words).write_stdin("symlink/file\n").output();
        let is_sent = links == "follow";
        assert_eq!(output.status.code(), Some(i32::from(!is_sent)), "{}", told(&output));
        assert_eq!(setting.there("symlink/file"), is_sent, "{}", told(&output));
        assert!(outside.join("file").exists());
    }
}

#[test]
fn name_of_a_list_that_is_gone_when_its_turn_comes_is_a_failure() {
    let setting = Setting::start();
    let names: Vec<String> = (0..20_000).map(|file| format!("{file}")).collect();
    names.iter().for_each(|name| setting.write(name, "x"));
    let list = setting.place.path().join("list");
    fs::write(&list, names.join("\n")).unwrap();
    let words = ["put", "--files-from", list.to_str().unwrap()];
    let output = meanwhile(&setting, &words, || {
        fs::remove_file(setting.source().join("19999")).unwrap();
    });
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("19999"), "{}", told(&output));
}

#[test]
fn receipt_in_a_descriptor_keeps_what_others_write_to_its_file() {
    for (to, opens) in [
        ("/dev/stdout", ">>log"),
        ("/dev/stdout", ">log"),
        ("/dev/fd/7", "7>>log"),
        ("/dev/fd/7", "7>log"),
        ("/dev/stderr", "2>>log"),
    ] {
        let setting = Setting::start();
        setting.write("f", "x");
        let number = opens.trim_end_matches(['>', 'l', 'o', 'g']);
        let number = if number.is_empty() { "1" } else { number };
        let script = format!(
            "{{ echo before >&{number}; \"$H\" put --quiet --receipt {to} s \"$A\" && echo after >&{number}; }} {opens}"
        );
        setting.script(&script).assert().success();
        let log = fs::read_to_string(setting.place.path().join("log")).unwrap();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 3, "{to} {opens}: {log}");
        assert!(
            lines[0] == "before" && lines[1].ends_with("  s/f") && lines[2] == "after",
            "{log}"
        );
    }
    let setting = Setting::start();
    let script = "\"$H\" put --quiet --receipt /dev/fd/7 s \"$A\" 7</dev/null";
    setting.script(script).assert().code(2).stderr(contains("not open for writing"));
}

#[test]
fn receipt_in_the_file_that_standard_output_is_needs_quiet() {
    let setting = Setting::start();
    setting.write("f", "x");
    let out = setting.place.path().join("out");
    let run = |words: &[&str]| {
        let mut command =
            haul(&["put", "--receipt", "/dev/stdout"], &setting.source(), setting.server.address());
        command.args(words).stdout(fs::File::create(&out).unwrap()).stderr(Stdio::piped());
        output_of(&mut command)
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("it is standard output"), "{}", told(&output));
    assert_eq!(run(&["--quiet"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1);
    let mut piped = haul(
        &["put", "--json", "--receipt", "/dev/stdout"],
        &setting.source(),
        setting.server.address(),
    );
    let output = output_of(&mut piped);
    assert_eq!(last(&output.stdout)["failed"], 0, "{}", told(&output));
    tree::compare_bytes(&setting.source(), &setting.target()).unwrap();
}
