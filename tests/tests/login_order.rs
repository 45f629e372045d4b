//! `haul login` for a newcomer: the server's key first, then whether the server asks for a login, then the token; and the
//! messages about servers and logins on a terminal.

use std::io::ErrorKind;

use haul_tests::fake::nobody;
use haul_tests::login::{Pair, Place, TOKEN, told};
use haul_tests::prelude::*;
use haul_tests::screen::Person;

const QUESTION: &str = "Trust it from now on?";

/// A server with the account `alice` that takes only TLS, and the token.
fn with_tls() -> (Pair, String) {
    let (mut pair, token) = Pair::start("writer", &[]);
    let config = pair.directory.path().join("server");
    let words =
        ["--tls", "always", "--durability", "none", "--config-dir", config.to_str().unwrap()];
    pair.server = server_with(&words);
    (pair, token)
}

/// A person with haul's files of this directory, who sees a terminal of so many columns.
fn person(directory: &Path, columns: u16, words: &str) -> Person {
    let config = directory.join("config");
    let line = format!("stty cols {columns}; exec $H {words}");
    Person::run(&line, &[("HAUL_CONFIG_DIR", config.to_str().unwrap())])
}

#[test]
fn key_is_trusted_before_anybody_types_a_token() {
    let (pair, token) = with_tls();
    let (directory, address) = (pair.directory.path(), pair.server.address());
    let login = format!("login alice@{address}");
    for no in ["no\n", "\n"] {
        let mut person = person(directory, 200, &login);
        person.types(QUESTION, no);
        let (code, shown) = person.ends();
        assert_eq!(code, Some(4), "{shown}");
        assert!(!shown.contains("Token for"), "{shown}");
        assert!(shown.contains(&format!("haul trust {address} haul1-")), "{shown}");
    }
    let mut person = person(directory, 200, &login);
    person.types(QUESTION, "yes\n");
    person.types("Token for alice@", &token);
    let (code, shown) = person.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.find(QUESTION) < shown.find("Token for"), "{shown}");
    assert!(shown.contains("rights: put, replace, list"), "{shown}");
    // Without a terminal no token is read either.
    let mut other = pair.haul(&["login", "alice@%"]);
    let other = other.env("HAUL_CONFIG_DIR", directory.join("other"));
    let output = other.write_stdin(token).assert().code(4).get_output().clone();
    assert!(told(&output).contains("`hauld fingerprint` prints the same key"), "{output:?}");
}

#[test]
fn token_from_a_pipe_that_is_not_stored_is_told_with_the_way_to_a_new_one() {
    let (pair, token) = with_tls();
    let (directory, address) = (pair.directory.path(), pair.server.address());
    let lost = format!(
        "haul: the token from standard input is stored nowhere, as told below. If it is nowhere else either, `hauld user rotate alice` \
         prints a new one on the server; then: haul login alice@{address}"
    );
    // The key is not known: nobody is there to be asked, or says no.
    let login = ["login", "alice@%"];
    let output = pair.haul(&login).write_stdin(token.clone()).assert().code(4).get_output().clone();
    assert!(told(&output).contains("is not known here; nothing was sent"), "{output:?}");
    assert!(told(&output).starts_with(&lost), "{output:?}");
    let config = directory.join("config");
    let answered = |line: &str, answer: &str| {
        let line = format!("stty cols 400; {line}");
        let mut person = Person::run(&line, &[("HAUL_CONFIG_DIR", config.to_str().unwrap())]);
        person.types(QUESTION, answer);
        person.ends()
    };
    let piped = |token: &str| format!("printf %s {} | $H login alice@{address}", token.trim());
    let (code, shown) = answered(&piped(&token), "no\n");
    assert!(code == Some(4) && shown.contains("is stored nowhere"), "{shown}");
    // A file is still there.
    let file = directory.join("token");
    fs::write(&file, &token).unwrap();
    let from_file = format!("$H login alice@{address} <{}", file.display());
    let (code, shown) = answered(&from_file, "no\n");
    assert!(code == Some(4) && !shown.contains("is stored nowhere"), "{shown}");
    // The server has not taken the token, so it is of no use.
    let (code, shown) = answered(&piped(TOKEN), "yes\n");
    assert!(code == Some(3) && !shown.contains("is stored nowhere"), "{shown}");
    // The command that haul has told gives a token that the server takes.
    let token = pair.user(&["rotate", "alice"]);
    pair.haul(&login).write_stdin(token).assert().success();
}

#[test]
fn nobody_types_a_token_for_a_server_that_is_down_or_asks_nobody_for_one() {
    let (server, place) = (server(), Place::start());
    let (_socket, down) = nobody().unwrap();
    for (address, expected) in [
        (server.address(), "asks nobody for an account, so nothing is stored"),
        (&*down, "Connection refused; does hauld run there?"),
    ] {
        let (code, shown) =
            person(place.directory.path(), 200, &format!("login alice@{address}")).ends();
        assert_eq!(code, Some(3), "{shown}");
        assert!(shown.contains(expected) && !shown.contains("Token for"), "{shown}");
        let output = place
            .haul(&["login", &format!("alice@{address}")])
            .write_stdin(TOKEN)
            .assert()
            .code(3)
            .get_output()
            .clone();
        assert!(told(&output).contains(expected), "{}", told(&output));
    }
    assert!(!place.credentials().exists());
}

#[test]
fn second_login_takes_the_place_of_the_first_and_logout_of_an_unknown_server_says_what_is_stored() {
    let (pair, token) = Pair::start("writer", &[]);
    for _ in 0..2 {
        pair.haul(&["login", "alice@%"]).write_stdin(token.clone()).assert().success();
    }
    let stored = fs::read_to_string(pair.directory.path().join("config/credentials")).unwrap();
    assert_eq!(stored.lines().filter(|line| line.contains(" alice ")).count(), 1, "{stored}");
    let output = pair.haul(&["logout", "other:1"]).assert().code(1).get_output().clone();
    assert_eq!(
        told(&output),
        "haul: no token is stored for other:1, so there is nothing to forget"
    );
}

#[test]
fn classic_put_at_a_server_with_accounts_looks_like_a_success_nowhere() {
    let (pair, _) = Pair::start("writer", &[]);
    pair.write("f", "x");
    let mut peer = Peer::connect(pair.server.address()).unwrap();
    peer.stream.write_all(&classic("x", b"bytes")).unwrap();
    let error = peer.stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let output = pair.haul(&["put", "--classic", "f", "%"]).assert().code(3).get_output().clone();
    assert!(told(&output).ends_with("leave --classic out"), "{}", told(&output));
    let log = pair.server.log_text();
    assert_eq!(log.matches("was sent away: its file is not stored").count(), 2, "{log}");
    assert!(!log.contains("INFO speaks the classic dialect"), "{log}");
}

#[test]
fn command_that_a_message_tells_is_whole_on_a_narrow_terminal() {
    let (pair, _) = with_tls();
    let (directory, address) = (pair.directory.path(), pair.server.address());
    let pin = {
        let mut command = hauld_command();
        command.args(["fingerprint", "--config-dir"]).arg(directory.join("server"));
        String::from_utf8(output_of(&mut command).stdout).unwrap().trim().to_owned()
    };
    for columns in [40, 80] {
        let mut person = person(directory, columns, &format!("ls {address}"));
        person.types("key: ", "no\n");
        let (code, shown) = person.ends();
        assert_eq!(code, Some(4), "{shown}");
        assert!(shown.contains(&format!("\r\n  {pin}\r\n")), "{columns}: {shown}");
        let command = format!("\r\n  haul trust {address} {pin}\r\n");
        assert!(shown.contains(&command), "{columns}: {shown}");
        let is_whole = |line: &str| line.chars().count() <= columns.into() || line.contains(&pin);
        assert!(shown.lines().all(is_whole), "{columns}: {shown}");
    }
    pair.haul(&["trust", "%", &pin]).assert().success();
    for words in ["whoami", "ls"] {
        let (code, shown) = person(directory, 40, &format!("{words} {address}")).ends();
        assert_eq!(code, Some(3), "{shown}");
        assert!(shown.ends_with(&format!("\r\n  haul login {address}\r\n")), "{shown}");
        let login = format!("alice@{address}");
        let (_, shown) = person(directory, 40, &format!("{words} {login}")).ends();
        assert!(shown.ends_with(&format!("\r\n  haul login {login}\r\n")), "{shown}");
    }
}
