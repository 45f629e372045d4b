//! Accounts end to end: `hauld` with accounts, and `haul` that logs in.

use haul_tests::login::{Pair, TOKEN, text, told};
use haul_tests::prelude::*;

/// The name of the one entry in a directory.
fn only(directory: &Path) -> PathBuf {
    let entries: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn writer_logs_in_by_pipe_and_works_below_its_own_root() {
    let (pair, token) = Pair::start("writer", &[]);
    let address = pair.server.address().to_owned();
    pair.write("s/d/f", "one");
    let ended = pair.haul(&["put", "s", "%"]).assert().code(3).get_output().clone();
    assert_eq!(told(&ended), format!("haul: {address} asks for an account: haul login {address}"));
    let seen =
        pair.haul(&["login", "%"]).write_stdin(token).assert().success().get_output().clone();
    assert_eq!(text(&seen.stdout), format!("alice at {address}\nrights: put, replace, list\n"));
    pair.haul(&["put", "s", "%"]).assert().success();
    assert_eq!(fs::read(pair.server.root().join("alice/s/d/f")).unwrap(), b"one");
    pair.write("s/d/f", "another");
    pair.haul(&["sync", "s", "alice@%"]).assert().success();
    pair.haul(&["verify", "s", "%"]).assert().success();
    pair.haul(&["ls", "-R", "%"]).assert().success().stdout("s/\ns/d/\ns/d/f\n");
    pair.haul(&["mkdir", "%/a", "%/b/c"]).assert().success();
    for words in [&["sync", "--delete", "s", "%"][..], &["rm", "%/a"], &["mv", "%/a", "%/x"]] {
        let ended = pair.haul(words).assert().code(3).get_output().clone();
        assert!(told(&ended).contains("lacks the right `delete`"), "{}", told(&ended));
    }
    assert!(pair.server.root().join("alice/b/c").is_dir());
    pair.haul(&["logout", "%"]).assert().success();
    pair.haul(&["ls", "%"]).assert().code(3);
}

#[test]
fn token_that_the_server_does_not_take_is_not_kept_and_ten_of_them_are_answered() {
    let (pair, _) = Pair::start("writer", &[]);
    let first = told(pair.haul(&["login", "%"]).write_stdin(TOKEN).assert().code(3).get_output());
    let try_it = || {
        pair.haul(&["whoami", "%"]).env("HAUL_TOKEN", TOKEN).assert().code(3).get_output().clone()
    };
    assert!(first.ends_with("does not take the token: no account has this token"), "{first}");
    let told: Vec<_> = (0..11).map(|_| told(&try_it())).collect();
    assert!(told[11 - 1].contains("too many logins from this address have failed"), "{told:?}");
    assert!(!pair.directory.path().join("config/credentials").exists());
}

#[test]
fn mistyped_token_is_one_of_the_ten_failures_that_are_answered() {
    let (pair, _) = Pair::start("writer", &[]);
    for number in 1..=10 {
        let output = pair.haul(&["login", "alice@%"]).write_stdin(TOKEN).assert().code(3);
        let told = told(output.get_output());
        assert!(told.contains("no account has this token"), "{number}: {told}");
    }
    let output = pair.haul(&["login", "alice@%"]).write_stdin(TOKEN).assert().code(3);
    let told = told(output.get_output());
    assert!(told.contains("too many logins from this address have failed"), "{told}");
}

#[test]
fn token_of_an_account_that_is_added_while_the_server_runs_is_taken_at_once() {
    let (pair, _) = Pair::start("writer", &[]);
    for name in ["bob", "carol", "dave"] {
        let token = pair.user(&["add", name]);
        let login = format!("{name}@%");
        pair.haul(&["login", &login]).write_stdin(token).assert().success();
    }
}

#[test]
fn reader_reads_and_writes_nothing() {
    let pair = Pair::logged_in("reader", &[]);
    pair.write("s/f", "one");
    fs::create_dir(pair.server.root().join("alice/s")).unwrap();
    pair.haul(&["ls", "%"]).assert().success().stdout("s/\n");
    let ended = pair.haul(&["verify", "s", "%"]).assert().code(1).get_output().clone();
    assert!(text(&ended.stdout).contains("missing s/f"), "{ended:?}");
    let ended = pair.haul(&["sync", "-n", "s", "%"]).assert().code(1).get_output().clone();
    assert!(text(&ended.stdout).contains("would send s/f: new"), "{ended:?}");
    assert!(told(&ended).contains("the run itself would be refused"), "{}", told(&ended));
    for words in [&["put", "s", "%"][..], &["sync", "s", "%"], &["mkdir", "%/d"]] {
        let ended = pair.haul(words).assert().code(3).get_output().clone();
        assert!(told(&ended).contains("lacks the right `put`"), "{}", told(&ended));
    }
    assert!(!pair.server.root().join("alice/s/f").exists());
}

#[test]
fn drop_account_puts_whole_trees_each_run_into_a_fresh_directory() {
    let pair = Pair::logged_in("drop", &[]);
    pair.write("s/d/f", "one");
    pair.write("s/big", vec![7; 9 << 20]);
    symlink("f", pair.directory.path().join("s/d/l")).unwrap();
    pair.haul(&["put", "s", "%"]).assert().success();
    let root = pair.server.root().join("alice");
    let first = only(&root);
    tree::compare(&pair.directory.path().join("s"), &first.join("s")).unwrap();
    pair.haul(&["put", "s/", "%/below", "--remove-source"]).assert().code(3);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    pair.haul(&["put", "s/", "%/below"]).assert().success();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    let second =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).find(|path| *path != first);
    assert_eq!(fs::read(second.unwrap().join("below/d/f")).unwrap(), b"one");
    for words in [
        &["ls", "%"][..],
        &["sync", "s", "%"],
        &["put", "--ignore-existing", "s", "%"],
        &["put", "-n", "s", "%"],
    ] {
        let ended = pair.haul(words).assert().code(3).get_output().clone();
        assert!(told(&ended).contains("lacks the right `list`"), "{}", told(&ended));
    }
}

#[test]
fn account_that_may_not_replace_is_told_of_each_entry_that_stands_there() {
    let pair = Pair::logged_in("put,list", &[]);
    pair.write("s/f", "one");
    pair.haul(&["put", "s", "%"]).assert().success();
    pair.haul(&["put", "s", "%"]).assert().success();
    pair.write("s/f", "another");
    pair.write("s/g", "new");
    let ended = pair.haul(&["put", "s", "%"]).assert().code(1).get_output().clone();
    let helps = "(exists); send it under another name, or ask for the right `replace`";
    assert!(told(&ended).contains(helps), "{}", told(&ended));
    let there = |name: &str| fs::read(pair.server.root().join("alice/s").join(name)).unwrap();
    assert_eq!((there("f"), there("g")), (b"one".to_vec(), b"new".to_vec()));
}

#[test]
fn link_pins_the_key_and_another_key_gets_no_token() {
    let (pair, token) = Pair::start("writer", &[]);
    let address = pair.server.address();
    let pin = pair.pin();
    let other = haul_protocol::Pin::of_spki(b"another key");
    let link = |pin: &str| format!("haul://alice@{address}#{pin}");
    let refused = pair
        .haul(&["login", &link(&other.to_string())])
        .write_stdin(token.clone())
        .assert()
        .code(4);
    assert!(told(refused.get_output()).contains("another key"), "{}", told(refused.get_output()));
    assert!(!pair.directory.path().join("config/credentials").exists());
    assert!(!pair.server.log_text().contains("logged in"), "{}", pair.server.log_text());
    pair.haul(&["login", &link(&pin)]).write_stdin(token.clone()).assert().success();
    let known = fs::read_to_string(pair.directory.path().join("config/known_servers")).unwrap();
    assert!(known.starts_with(&format!("{address} {pin} since=")), "{known}");
    // The link goes on to work, also for other commands; one with another key never does.
    pair.haul(&["login", &link(&pin)]).write_stdin(token.clone()).assert().success();
    pair.haul(&["ls", &link(&pin)]).assert().success();
    for words in [&["ls"][..], &["login"]] {
        let link = link(&other.to_string());
        let words = [words, &[&*link]].concat();
        let refused = pair.haul(&words).write_stdin(token.clone()).assert().code(4);
        let told = told(refused.get_output());
        assert!(told.contains("haul has not connected") && told.contains("a new link"), "{told}");
        assert!(told.contains(&format!("trusts {pin}, since")), "{told}");
        assert!(!told.contains("haul trust"), "{told}");
        // The destination without the key does what was wanted.
        assert!(
            told.contains(&format!("Write alice@{address} in the place of the link")),
            "{told}"
        );
    }
    pair.haul(&["login", &format!("alice@{address}")]).write_stdin(token).assert().success();
}

/// haul tells somebody who has only an old link the one command that helps.
#[test]
fn old_link_is_told_with_the_link_of_the_key_that_came() {
    let (pair, token) = Pair::start("writer", &[]);
    let address = pair.server.address();
    let pin = pair.pin();
    let old = haul_protocol::Pin::of_spki(b"another key").to_string();
    let link = format!("haul://alice@{address}#{old}");
    let refused = |words: &[&str]| {
        let mut command = pair.haul(words);
        let command = command.env("HAUL_TOKEN", token.trim()).write_stdin(token.clone());
        told(command.assert().code(4).get_output())
    };
    let names =
        format!("haul: the link names the key {old} of {address}, which has another key: {pin};");
    let command = |option: &str| {
        format!(
            "If it is this one, write alice@{address} in the place of the link after: haul trust {option}{address} {pin}"
        )
    };
    for words in [["login", &link], ["ls", &link]] {
        let told = refused(&words);
        assert!(told.contains(&names) && told.contains(&command("")), "{told}");
        assert!(told.contains("no key of it is trusted here, and nothing was sent"), "{told}");
    }
    pair.haul(&["trust", "%", &old]).assert().success();
    let told = refused(&["ls", &link]);
    assert!(told.contains(&names) && told.contains(&command("--replace ")), "{told}");
    assert!(told.contains("the key of the link is trusted here, and nothing was sent"), "{told}");
    pair.haul(&["trust", "--replace", "%", &pin]).assert().success();
    pair.haul(&["login", &format!("alice@{address}")]).write_stdin(token).assert().success();
}
