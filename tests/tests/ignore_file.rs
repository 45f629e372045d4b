//! Rules that can't be read may leave out secrets, so the client sends, removes and publishes nothing that they
//! are about.

use haul_tests::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Ways in which rules can't be read: a directory for each, and a part of the message.
const WAYS: &[(&str, &str)] = &[
    ("closed", "ermission denied"),
    ("directory", "no regular file"),
    ("fifo", "no regular file"),
    ("dangling", "No such file"),
    ("to-directory", "no regular file"),
    ("loop", "ymbolic links"),
    ("large", "over 1048576 bytes"),
    ("utf-16", "NUL bytes"),
];

/// A source that belongs to somebody without privileges: a directory for each way, and one whose rules can be read.
struct Odd {
    user: User,
    server: Hauld,
}

impl Odd {
    fn new() -> Self {
        let user = User::new().unwrap();
        let source = user.path().join("s");
        for directory in WAYS.iter().map(|(way, _)| *way).chain(["good", "linked"]) {
            for name in ["secret", "public", "below/secret"] {
                let path = source.join(directory).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, name).unwrap();
            }
        }
        let rules = |directory: &str| source.join(directory).join(".haulignore");
        fs::write(rules("closed"), "secret\n").unwrap();
        fs::create_dir(rules("directory")).unwrap();
        mknodat(CWD, rules("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        symlink("nowhere", rules("dangling")).unwrap();
        symlink("below", rules("to-directory")).unwrap();
        symlink(".haulignore", rules("loop")).unwrap();
        fs::write(rules("large"), "secret\n".repeat(200_000)).unwrap();
        fs::write(rules("utf-16"), b"\xff\xfes\0e\0c\0r\0e\0t\0\n\0").unwrap();
        fs::write(rules("good"), "secret\n").unwrap();
        fs::write(user.path().join("shared"), "secret\n").unwrap();
        symlink("../../shared", rules("linked")).unwrap();
        user.own_all(source.clone()).unwrap();
        set_mode(rules("closed"), 0o0);
        let server = server();
        Self { user, server }
    }

    /// `haul` with these words, the source and a destination at the server, run by its owner.
    fn haul(&self, words: &[&str], source: &str, to: &str) -> Output {
        let mut command = self.user.command("haul");
        command.args(words).arg(source).arg(format!("{}/{to}", self.server.address()));
        output_of(&mut command)
    }

    /// Removes the odd directories.
    fn mend(&self) {
        for (way, _) in WAYS {
            fs::remove_dir_all(self.user.path().join("s").join(way)).unwrap();
        }
    }
}

#[track_caller]
fn fails(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// The files that may be sent.
const SENT: &[&str] = &["good/.haulignore", "good/public", "linked/.haulignore", "linked/public"];

/// Trap `ignore_file_unreadable`.
#[test]
fn ignore_file_unreadable_sends_nothing_of_its_directory_and_is_a_failure() {
    for verb in ["put", "sync"] {
        let odd = Odd::new();
        let said = fails(&odd.haul(&[verb], "s/", "x"));
        for (way, why) in WAYS {
            let line = said.lines().find(|line| line.contains(&format!("s/{way}:")));
            let line = line.unwrap_or_else(|| panic!("{way}: {said}"));
            assert!(line.contains(".haulignore") && line.contains(why), "{line}");
        }
        assert_eq!(tree::names(&odd.server.root().join("x")), SENT, "{verb}");
        odd.mend();
        assert!(odd.haul(&[verb], "s/", "x").status.success());
    }
}

#[test]
fn ignore_file_of_the_source_itself_unreadable_sends_nothing_at_all() {
    let odd = Odd::new();
    for (way, _) in WAYS {
        for source in [format!("s/{way}"), format!("s/{way}/")] {
            fails(&odd.haul(&["put"], &source, "x"));
            assert_eq!(tree::names(&odd.server.root().join("x")), [""; 0], "{source}");
        }
    }
}

#[test]
fn ignore_file_unreadable_keeps_what_is_at_the_server() {
    let odd = Odd::new();
    let there = odd.server.root().join("x");
    for (way, _) in WAYS {
        fs::create_dir_all(there.join(way)).unwrap();
        fs::write(there.join(way).join("kept"), "x").unwrap();
    }
    fs::create_dir_all(there.join("gone")).unwrap();
    fs::write(there.join("gone/old"), "x").unwrap();
    let mut kept: Vec<String> = SENT.iter().map(|name| (*name).to_owned()).collect();
    kept.extend(WAYS.iter().map(|(way, _)| format!("{way}/kept")));
    kept.push(String::from("gone/old"));
    kept.sort();
    fails(&odd.haul(&["sync", "--delete"], "s/", "x"));
    assert_eq!(tree::names(&there), kept);
    // With --force-delete other directories lose their old files, but not those whose rules are unknown.
    kept.retain(|name| name != "gone/old");
    fails(&odd.haul(&["sync", "--delete", "--force-delete"], "s/", "x"));
    assert_eq!(tree::names(&there), kept);
}

#[test]
fn ignore_file_unreadable_publishes_nothing() {
    let odd = Odd::new();
    let said = fails(&odd.haul(&["publish"], "s", "site"));
    assert!(said.contains("nothing is published"), "{said}");
    assert!(!odd.server.root().join("site").exists());
    odd.mend();
    assert!(odd.haul(&["publish"], "s", "site").status.success());
    assert_eq!(tree::names(&odd.server.root().join("site")), SENT);
}

#[test]
fn name_in_a_list_is_not_sent_if_the_rules_about_it_are_unreadable() {
    let odd = Odd::new();
    let listed: String = WAYS.iter().map(|(way, _)| format!("{way}/below/secret\n")).collect();
    fs::write(odd.user.path().join("list"), format!("good/public\ngood/secret\n{listed}")).unwrap();
    let said = fails(&odd.haul(&["put", "--files-from", "list"], "s/", "x"));
    for (way, why) in WAYS {
        let line = said.lines().find(|line| line.contains(&format!("{way}/below/secret:")));
        assert!(line.is_some_and(|line| line.contains(why)), "{way}: {said}");
    }
    assert_eq!(tree::names(&odd.server.root().join("x")), ["good/public"]);
}

/// A pattern that fits nothing to git fits nothing to haul. The client says so, since a user may rely on it.
#[test]
fn line_that_fits_nothing_is_named() {
    let odd = Odd::new();
    odd.mend();
    fs::write(odd.user.path().join("s/good/.haulignore"), "\n[secret\npublic\n").unwrap();
    let output = odd.haul(&["put"], "s/good", "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("s/good/.haulignore: line 2 fits no name"), "{said}");
    let there = odd.server.root().join("good");
    assert_eq!(tree::names(&there), [".haulignore", "below/secret", "secret"]);
}

#[test]
fn rules_and_lists_of_the_command_line_that_cannot_be_read_send_nothing() {
    let odd = Odd::new();
    let place = odd.user.path();
    fs::write(place.join("closed"), "secret\n").unwrap();
    odd.user.own(&place.join("closed")).unwrap();
    set_mode(place.join("closed"), 0o0);
    fs::write(place.join("wrong"), "good\n\n[secret\n").unwrap();
    for (words, why) in [
        (["--exclude-from", "closed"], "closed: Permission denied"),
        (["--exclude-from", "nowhere"], "nowhere: No such file"),
        (["--exclude-from", "s"], "s: Is a directory"),
        (["--exclude-from", "s/utf-16/.haulignore"], "NUL bytes"),
        (["--exclude-from", "s/large/.haulignore"], "over 1048576 bytes"),
        (["--exclude-from", "wrong"], "wrong: line 3"),
        (["--exclude", "[secret"], "`[secret` fits nothing"),
        (["--exclude", "secret\\"], "fits nothing"),
        (["--include", "[secret"], "fits nothing"),
        (["--files-from", "closed"], "closed: Permission denied"),
        (["--files-from", "nowhere"], "nowhere: No such file"),
        (["--files-from", "s"], "s: is a directory"),
    ] {
        let output = odd.haul(&["put", words[0], words[1]], "s/good", "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert!(!odd.server.root().join("good").exists());
    // A FIFO that the user has named has lines as well; the client waits for them.
    let fifo = place.join("rules");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    odd.user.own(&fifo).unwrap();
    let writing = std::thread::spawn(move || fs::write(fifo, "secret\n").unwrap());
    fs::write(place.join("s/good/.haulignore"), "").unwrap();
    assert!(odd.haul(&["put", "--exclude-from", "rules"], "s/good", "").status.success());
    eventually("the rules are written", || writing.is_finished());
    assert_eq!(tree::names(&odd.server.root().join("good")), [".haulignore", "public"]);
}
