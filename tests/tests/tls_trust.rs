//! Whom the client trusts: questions, answers, keys that have changed, and `haul trust`.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

use haul_tests::prelude::*;
use haul_tests::screen::Person;

use crate::tls_fake::{Identity, TlsFake, config, haul_in, trusting, with_key};

/// The question of the client.
const QUESTION: &str = "Trust it from now on? Type yes, no, or the key:";

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn known(configuration: &TempDir) -> String {
    fs::read_to_string(configuration.path().join("known_servers")).unwrap_or_default()
}

/// A server that takes only TLS, with a key that nobody knows, and the number of requests that it got.
fn stranger() -> (String, String, Arc<AtomicUsize>) {
    let identity = Identity::own();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let address = TlsFake::start(config(&identity)).serve(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (address, identity.pin(), asked)
}

#[test]
fn unknown_server_gets_nothing_without_a_terminal_and_the_line_that_is_told_trusts_it() {
    let (address, pin, asked) = stranger();
    let configuration = TempDir::new().unwrap();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "x").unwrap();
    let from = source.path().join("f");
    let put = ["put", "--json", from.to_str().unwrap(), &address];
    let output = haul_in(configuration.path(), &put).output();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let line = format!("haul trust {address} {pin}");
    assert_eq!(
        told(&output),
        format!(
            "haul: {address} is not known here; nothing was sent. If `hauld fingerprint` prints the same key on the server, \
             trust it: {line}\n"
        )
    );
    let last = last(&output.stdout);
    assert_eq!((&last["exit"], &last["reason"]), (&json!(4), &json!("untrusted")));
    assert_eq!((asked.load(Ordering::SeqCst), known(&configuration)), (0, String::new()));
    for words in [["ls", &address], ["trust", &address]] {
        let output = haul_in(configuration.path(), &words).output();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(told(&output).contains(&line), "{output:?}");
    }
    let words: Vec<_> = line.split(' ').skip(1).collect();
    haul_in(configuration.path(), &words).assert().success();
    haul_in(configuration.path(), &put).assert().success();
    assert!(known(&configuration).starts_with(&format!("{address} {pin} since=")));
    assert_eq!(
        (mode(configuration.path().join("known_servers")), asked.load(Ordering::SeqCst)),
        (0o600, 1)
    );
}

/// `haul` on a terminal, with eight connections and standard input from a file, to this address.
fn person(address: &str, configuration: &TempDir) -> Person {
    let input = configuration.path().join("input");
    fs::write(&input, "x").unwrap();
    let line = format!("$H put --connections 8 - --as x {address} < {}", input.display());
    Person::run(&line, &[("HAUL_CONFIG_DIR", configuration.path().to_str().unwrap())])
}

#[test]
fn eight_connections_ask_once_and_on_the_terminal_though_standard_input_is_a_file() {
    let (address, pin, asked) = stranger();
    let configuration = TempDir::new().unwrap();
    let mut person = person(&address, &configuration);
    person.types(QUESTION, "yes\n");
    let (code, shown) = person.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches(QUESTION).count(), 1, "{shown}");
    let text = format!(
        "{address} is not known here, and no authority vouches for it.\r\nIts key is {pin}\r\n"
    );
    assert!(shown.contains(&text), "{shown}");
    assert!(known(&configuration).starts_with(&format!("{address} {pin} since=")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn enter_means_no_and_only_the_whole_word_or_the_key_trusts() {
    let (address, pin, asked) = stranger();
    let other = Identity::own().pin();
    for (typed, reason) in [
        ("\n", "is not trusted; nothing was sent"),
        ("no\n", "is not trusted; nothing was sent"),
        ("y\nok\n\n", "is not trusted; nothing was sent"),
        // End of input.
        ("\u{4}", "is not trusted; nothing was sent"),
        (&format!("{other}\n"), "this is another server; nothing was sent"),
    ] {
        let configuration = TempDir::new().unwrap();
        let mut person = person(&address, &configuration);
        person.types(QUESTION, typed);
        let (code, shown) = person.ends();
        assert_eq!(code, Some(4), "{typed:?}: {shown}");
        assert!(shown.contains(reason), "{typed:?}: {shown}");
        // Each end says how the user can find out which key is right.
        let after = shown.split(QUESTION).last().unwrap();
        assert!(after.contains("`hauld fingerprint`"), "{typed:?}: {shown}");
        let line = format!("haul trust {address} {pin}\r\n");
        assert_eq!(shown.contains(&line), !typed.starts_with("haul1"), "{typed:?}: {shown}");
        assert_eq!((known(&configuration).as_str(), asked.load(Ordering::SeqCst)), ("", 0));
    }
    let configuration = TempDir::new().unwrap();
    let mut person = person(&address, &configuration);
    // As it comes out of a chat or a page.
    person.types(QUESTION, &format!("\u{feff} \u{200e}{}\u{200b}\n", pin.to_uppercase()));
    let (code, shown) = person.ends();
    assert_eq!(code, Some(0), "{shown}");
    assert!(known(&configuration).contains(&pin));
}

#[test]
fn interrupt_ends_the_question() {
    let (address, ..) = stranger();
    let configuration = TempDir::new().unwrap();
    let mut person = person(&address, &configuration);
    person.types(QUESTION, "\u{3}");
    let (code, shown) = person.ends();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(known(&configuration), "");
}

#[test]
fn copied_certificate_of_a_known_server_is_no_key() {
    let identity = Identity::own();
    let pin = identity.pin();
    let thief = rcgen::KeyPair::generate().unwrap();
    let fake = TlsFake::start(with_key(&identity, &thief));
    let address = fake.address();
    let serving = thread::spawn(move || {
        let mut caller = fake.accept().unwrap();
        caller.receive().map(|(header, _)| header)
    });
    let configuration = trusting(&[(&address, &pin)]);
    let output = haul_in(configuration.path(), &["ls", &address]).output();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(told(&output).contains("shows a certificate and can't prove that it has the key"));
    // Not even `hello` has left.
    let error = serving.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn server_whose_key_has_changed_gets_nothing_and_nobody_is_asked() {
    let (identity, other) = (Identity::own(), Identity::own());
    let fake = TlsFake::start(config(&identity));
    let address = fake.address();
    let serving = thread::spawn(move || {
        let mut caller = fake.accept().unwrap();
        let refused = caller.receive().map(|(header, _)| header);
        while let Ok(mut caller) = fake.accept() {
            // `haul trust` has seen enough after the handshake.
            let _ = caller.greet().and_then(|_| caller.obey(&|_, _| ()));
        }
        refused
    });
    let configuration = trusting(&[(&address, &other.pin())]);
    let at = [("HAUL_CONFIG_DIR", configuration.path().to_str().unwrap())];
    let (code, shown) = Person::run(&format!("$H mkdir {address}/d"), &at).ends();
    assert_eq!(code, Some(4), "{shown}");
    assert!(!shown.contains(QUESTION) && shown.contains("has another key than before"), "{shown}");
    let before = known(&configuration);
    for words in [&["trust", &address][..], &["trust", &address, &identity.pin()]] {
        let output = haul_in(configuration.path(), words).output();
        assert!(matches!(output.status.code(), Some(1 | 4)), "{output:?}");
        assert!(told(&output).contains("--replace"), "{output:?}");
        assert_eq!(known(&configuration), before);
    }
    let line = ["trust", "--replace", &address, &identity.pin()];
    haul_in(configuration.path(), &line).assert().success();
    assert!(!known(&configuration).contains(&other.pin()));
    haul_in(configuration.path(), &["mkdir", &format!("{address}/d")]).assert().success();
    drop(serving);
}

#[test]
fn trust_in_the_place_of_a_known_key_shows_both_keys_and_asks() {
    let (address, pin, _) = stranger();
    let old = Identity::own().pin();
    for option in ["--replace", "--add"] {
        let configuration = trusting(&[(&address, &old)]);
        let output = haul_in(configuration.path(), &["trust", option, &address]).output();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let shown = told(&output);
        let both = format!(
            "haul: {address} has another key than before, and nothing was sent. It was {old}, since 2026-11-27. Now it is {pin}."
        );
        assert!(shown.starts_with(&both), "{shown}");
        let line = format!("haul trust {option} {address} {pin}\n");
        assert!(shown.ends_with(&line), "{shown}");
        let at = [("HAUL_CONFIG_DIR", configuration.path().to_str().unwrap())];
        let mut person = Person::run(&format!("$H trust {option} {address}"), &at);
        person.types(QUESTION, "yes\n");
        let (code, shown) = person.ends();
        assert_eq!(code, Some(0), "{shown}");
        let question = format!(
            "{address} has another key than before. It was {old}, since 2026-11-27.\r\nIts key is {pin}\r\n"
        );
        assert!(shown.contains(&question) && !shown.contains("is not known here"), "{shown}");
        let text = known(&configuration);
        assert_eq!((text.contains(&pin), text.contains(&old)), (true, option == "--add"), "{text}");
    }
}

#[test]
fn key_that_changes_in_mid_run_is_told_without_a_word_that_nothing_was_sent() {
    for words in [&["put", "--connections", "1", "f", "%"][..], &["mkdir", "%/d"]] {
        let (first, second) = (Identity::own(), Identity::own());
        let fake = TlsFake::start(config(&first));
        let address = fake.address();
        let serving = thread::spawn(move || {
            let mut caller = fake.accept().unwrap();
            caller.greet().unwrap();
            caller.receive().unwrap();
            drop(caller);
            let mut caller = fake.changed(config(&second)).accept().unwrap();
            caller.receive().map(|(header, _)| header)
        });
        let configuration = trusting(&[(&address, &first.pin())]);
        fs::write(configuration.path().join("f"), "x").unwrap();
        let words: Vec<_> = words.iter().map(|word| word.replace('%', &address)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output =
            haul_in(configuration.path(), &words).current_dir(configuration.path()).output();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let told = told(&output);
        assert!(told.contains("has another key than before, and nothing more was sent"), "{told}");
        assert!(!told.contains("nothing was sent"), "{told}");
        assert!(serving.join().unwrap().is_err());
    }
}

#[test]
fn server_in_clear_on_loopback_is_reached_in_clear_and_one_that_is_pinned_is_not() {
    let setting = Setting::start();
    setting.write("f", "x");
    let address = setting.server.address();
    let configuration = TempDir::new().unwrap();
    let source = setting.source();
    let put = ["put", source.to_str().unwrap(), address];
    haul_in(configuration.path(), &put).assert().success();
    let pinned = trusting(&[(address, &Identity::own().pin())]);
    haul_in(pinned.path(), &put).assert().code(predicate::in_iter([3, 4]));
    let insecure = [&put[..], &["--insecure"]].concat();
    haul_in(pinned.path(), &insecure).assert().success();
}

/// An address of this machine that other machines can reach, if it has one.
fn outer() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses the address.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn off_loopback_everything_is_encrypted_unless_the_user_wants_it_in_clear() {
    let Some(outer) = outer() else { return };
    let listener = std::net::TcpListener::bind((outer, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let first = thread::spawn(move || {
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut first = [0; 3];
            // One of them says nothing.
            let read = stream.read_exact(&mut first);
            firsts.push(read.ok().map(|()| first));
        }
        firsts
    });
    let configuration = TempDir::new().unwrap();
    let source = configuration.path().join("f");
    fs::write(&source, "x").unwrap();
    let source = source.to_str().unwrap();
    haul_in(configuration.path(), &["ls", &address]).assert().code(3);
    haul_in(configuration.path(), &["ls", "--insecure", &address]).assert().code(3);
    haul_in(configuration.path(), &["put", "--classic", source, &address])
        .assert()
        .code(4)
        .stderr(contains("the classic dialect has no encryption; --insecure sends it in clear"));
    let firsts = first.join().unwrap();
    assert_eq!(firsts[0], Some([0x16, 3, 1]));
    assert!(firsts[1].is_some_and(|first| first[0] != 0x16) && firsts[2].is_none(), "{firsts:?}");
}
