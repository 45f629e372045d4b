//! `haul login` on a terminal: nobody sees the token, and the terminal is as it was before.

use haul_tests::login::{Place, TOKEN};
use haul_tests::prelude::*;
use haul_tests::screen::Person;
use rustix::process::{Pid, kill_process};

/// The screen of a person who answers the question for a token, and whether the terminal shows what is typed afterwards.
fn seen(place: &Place, answer: impl FnOnce(&mut Person)) -> String {
    let (config, address) = (place.config(), place.address());
    let environment = [("HAUL_CONFIG_DIR", config.to_str().unwrap()), ("A", &address)];
    let script = "ulimit -c 0; sh -c 'echo process $$; exec \"$H\" login \"alice@$A\"'; echo \"exit $?\"; \
                  stty -a | grep -o '[-]*echo\\b' | head -1";
    let mut person = Person::run(script, &environment);
    person.types("Token for ", "");
    answer(&mut person);
    let (_, seen) = person.ends();
    seen.split_once("\r\n").unwrap().1.to_owned()
}

/// The same of a server that only says that it asks for a login.
fn asked(place: &Place, answer: impl FnOnce(&mut Person)) -> String {
    thread::scope(|scope| {
        scope.spawn(|| place.refuse("unauthorized", "this server asks for an account: haul login"));
        seen(place, answer)
    })
}

fn typed(place: &Place, keys: &str) -> String {
    seen(place, |person| person.types("Token for ", keys))
}

#[test]
fn token_that_is_typed_is_not_shown() {
    let place = Place::start();
    let seen = thread::scope(|scope| {
        scope.spawn(|| place.welcome("alice", &["put"]));
        typed(&place, &format!("{TOKEN}\n"))
    });
    let expected = format!(
        "Token for alice@{address}: \r\nalice at {address}\r\nrights: put\r\nexit 0\r\necho\r\n",
        address = place.address()
    );
    assert_eq!(seen, expected);
    assert!(place.stored().contains(TOKEN));
}

#[test]
fn terminal_shows_again_what_is_typed_after_every_end_of_the_question() {
    let place = Place::start();
    for (keys, code, told) in [
        ("\u{3}", 130, "interrupted"),
        ("\n", 2, "there is no token"),
        ("\u{4}", 2, "there is no token"),
        // Ctrl-Z and Ctrl-\ do nothing.
        ("\u{1a}\u{1c}hunter2\n", 2, "this is no token"),
        ("haul_hunter2\u{3}", 130, "interrupted"),
    ] {
        let seen = asked(&place, |person| person.types("Token for ", keys));
        assert!(seen.contains(told), "{seen}");
        assert!(seen.ends_with(&format!("exit {code}\r\necho\r\n")), "{seen}");
        assert!(!seen.contains("hunter2"), "{seen}");
    }
    assert!(!place.credentials().exists());
}

/// A terminal that is closed, `kill` and `timeout` end haul so.
#[test]
fn terminal_shows_again_what_is_typed_after_a_signal() {
    let place = Place::start();
    for (signal, code) in [
        (Signal::TERM, 130),
        (Signal::INT, 130),
        (Signal::HUP, 129),
        (Signal::QUIT, 131),
        (Signal::USR1, 138),
    ] {
        let seen = asked(&place, |person| {
            let shown = person.seen();
            let process = shown.lines().find_map(|line| line.strip_prefix("process ")).unwrap();
            let process = Pid::from_raw(process.trim().parse().unwrap()).unwrap();
            kill_process(process, signal).unwrap();
        });
        assert!(seen.ends_with(&format!("exit {code}\r\necho\r\n")), "{signal:?}: {seen}");
    }
}
