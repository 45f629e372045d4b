//! The server's key and its certificates: made, shown, announced, replaced.

use haul_tests::prelude::*;

use crate::tls_peer::{Pinned, TlsPeer};

/// `hauld` with words that are no options of a server, and the lines that it shows.
fn hauld(config: &Path, words: &[&str]) -> Result<Vec<String>, String> {
    let mut command = hauld_command();
    let output = output_of(command.args(words).arg("--config-dir").arg(config));
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(lines(&output.stdout).lines().map(str::to_owned).collect()),
        false => Err(lines(&output.stderr)),
    }
}

fn tls_server(config: &Path) -> Hauld {
    server_with(&["--tls", "always", "--config-dir", config.to_str().unwrap()])
}

/// Waits until a new connection sees another key than this.
fn new_pin(server: &Hauld, old: &str) -> String {
    let mut pin = String::new();
    eventually("new connections see another key", || {
        pin = TlsPeer::connect(server.address()).pin().to_string();
        pin != old
    });
    pin
}

#[test]
fn key_is_made_once_and_only_its_owner_reads_it() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("made/for/it");
    let server = tls_server(&config);
    let pin = TlsPeer::connect(server.address()).pin().to_string();
    assert!(server.log_text().contains(&format!("key={pin}")));
    assert_eq!(mode(config.join("key.pem")), 0o600);
    assert_eq!(mode(&config), 0o700);
    assert!(fs::read_to_string(config.join("key.pem")).unwrap().contains("BEGIN PRIVATE KEY"));
    drop(server);
    assert_eq!(hauld(&config, &["fingerprint"]).unwrap(), [&*pin]);
    // The certificate may be made anew, the key stays.
    fs::remove_file(config.join("cert.pem")).unwrap();
    let server = tls_server(&config);
    assert_eq!(TlsPeer::connect(server.address()).pin().to_string(), pin);
    assert!(config.join("cert.pem").exists());
    let mut names: Vec<_> =
        fs::read_dir(&config).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cert.pem", "key.pem"]);
}

#[test]
fn servers_that_start_at_once_have_one_key() {
    let config = TempDir::new().unwrap();
    let pins: Vec<_> = thread::scope(|scope| {
        let made: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| hauld(config.path(), &["fingerprint"]).unwrap()))
            .collect();
        made.into_iter().map(|made| made.join().unwrap()).collect()
    });
    assert!(pins.iter().all(|pin| *pin == pins[0]), "{pins:?}");
}

#[test]
fn key_that_others_can_read_is_refused() {
    let config = TempDir::new().unwrap();
    hauld(config.path(), &["fingerprint"]).unwrap();
    let key = config.path().join("key.pem");
    set_mode(&key, 0o640);
    let told = hauld(config.path(), &["fingerprint"]).unwrap_err();
    assert!(told.contains("others can read this key"), "{told}");
    let mut command = hauld_command();
    command.args(["--tls", "always", "--listen", "127.0.0.1:0", "--root"]);
    command.arg(config.path().join("root")).arg("--config-dir").arg(config.path());
    let output = output_of(&mut command);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("others can read this key"));
    fs::write(&key, "no key").unwrap();
    set_mode(&key, 0o600);
    assert!(hauld(config.path(), &["fingerprint"]).unwrap_err().contains("key.pem"));
}

#[test]
fn key_below_the_root_is_refused() {
    let root = TempDir::new().unwrap();
    let config = root.path().join("sub/config");
    let mut command = hauld_command();
    command.args(["--tls", "always", "--listen", "127.0.0.1:0", "--root"]).arg(root.path());
    let output = output_of(command.arg("--config-dir").arg(&config));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && told.contains("another one than the root"),
        "{told}"
    );
    assert!(!config.exists());
}

#[test]
fn next_key_is_announced_and_then_taken_by_new_connections() {
    let config = TempDir::new().unwrap();
    let server = tls_server(config.path());
    let mut old = TlsPeer::connect(server.address());
    let first = old.pin().to_string();
    assert_eq!(old.say_hello()["next_pin"], Value::Null);
    assert!(hauld(config.path(), &["key", "switch"]).unwrap_err().contains("hauld key next"));
    let next = hauld(config.path(), &["key", "next"]).unwrap().remove(0);
    assert_eq!(hauld(config.path(), &["key", "next"]).unwrap(), [&*next], "one next key");
    let shown = hauld(config.path(), &["fingerprint"]).unwrap();
    assert_eq!(shown, [&*first], "the next key goes to standard error");
    eventually("the next key is announced", || {
        TlsPeer::connect(server.address()).say_hello()["next_pin"] == *next
    });
    assert_eq!(hauld(config.path(), &["key", "switch"]).unwrap(), [&*next]);
    assert_eq!(new_pin(&server, &first), next);
    let mut new = TlsPeer::connect(server.address());
    assert_eq!(new.say_hello()["next_pin"], Value::Null);
    assert_eq!(hauld(config.path(), &["fingerprint"]).unwrap(), [&*next]);
    // A server whose key is removed goes on with it, and makes no other.
    fs::remove_file(config.path().join("key.pem")).unwrap();
    eventually("it is told", || server.log_text().contains("the one before stays"));
    assert_eq!(TlsPeer::connect(server.address()).pin().to_string(), next);
    assert!(!config.path().join("key.pem").exists());
    old.put(1, "a", b"the old connection lives");
}

/// A client that has not seen the present key believes nothing about the next one.
#[test]
fn next_key_is_announced_inside_tls_alone() {
    let config = TempDir::new().unwrap();
    hauld(config.path(), &["fingerprint"]).unwrap();
    let next = hauld(config.path(), &["key", "next"]).unwrap().remove(0);
    let server = server_with(&["--config-dir", config.path().to_str().unwrap()]);
    assert_eq!(TlsPeer::connect(server.address()).say_hello()["next_pin"], *next);
    let (_peer, answer) = Peer::hello_as(server.address(), "c", 0).unwrap();
    assert!(answer["hello"].is_u64() && answer["next_pin"].is_null(), "{answer}");
}

/// A certificate for this key, as an authority gives it.
fn write_pair(directory: &Path, days: i64, halves: &[&str]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![String::from("box.example")]).unwrap();
    let year = 2026 + i32::try_from(days / 365).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 12, 24);
    let made = params.self_signed(&key).unwrap();
    for half in halves {
        let text = if *half == "cert" { made.pem() } else { key.serialize_pem() };
        let path = directory.join(half);
        fs::write(path.with_extension("new"), text).unwrap();
        set_mode(path.with_extension("new"), 0o600);
        fs::rename(path.with_extension("new"), path).unwrap();
    }
}

/// Trap 14.
#[test]
fn certificate_that_is_replaced_is_taken_and_half_a_pair_is_not() {
    let place = TempDir::new().unwrap();
    let (cert, key) = (place.path().join("cert"), place.path().join("key"));
    write_pair(place.path(), 3650, &["cert", "key"]);
    let words = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let server = server_with(&[&["--tls", "always"], &words[..]].concat());
    let mut old = TlsPeer::hello(server.address());
    let first = old.pin().to_string();
    old.put(1, "a", b"before");
    // Half of a new pair.
    write_pair(place.path(), 3650, &["cert"]);
    let told = || server.log_text().matches("the one before stays").count();
    eventually("it is told", || told() == 1);
    assert_eq!(TlsPeer::connect(server.address()).pin().to_string(), first);
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMIG").unwrap();
    eventually("another change is told", || told() == 2);
    assert_eq!(TlsPeer::connect(server.address()).pin().to_string(), first);
    // And now a whole one, which ends soon.
    write_pair(place.path(), 0, &["cert", "key"]);
    let second = new_pin(&server, &first);
    TlsPeer::hello(server.address()).put(1, "b", b"after");
    old.put(2, "c", b"the old connection lives");
    assert!(told() <= 3, "each change is told once");
    fs::remove_file(&key).unwrap();
    eventually("a missing file is told", || server.log_text().contains("No such file"));
    assert_eq!(TlsPeer::connect(server.address()).pin().to_string(), second);
}

#[test]
fn certificate_of_another_key_is_refused_at_the_start() {
    let place = TempDir::new().unwrap();
    write_pair(place.path(), 365, &["cert", "key"]);
    write_pair(place.path(), 365, &["cert"]);
    let mut command = hauld_command();
    command.args(["--listen", "127.0.0.1:0", "--root"]).arg(place.path().join("root"));
    command.arg("--cert").arg(place.path().join("cert"));
    let output = output_of(command.arg("--key").arg(place.path().join("key")));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("is not that of the key"), "{told}");
}

#[test]
fn address_that_others_reach_needs_tls_and_accounts_and_says_how() {
    let place = TempDir::new().unwrap();
    let config = place.path().join("config");
    let start = |words: &[&str]| {
        let mut command = hauld_command();
        command.args(["--listen", "0.0.0.0:0", "--root"]).arg(place.path().join("root"));
        command.arg("--config-dir").arg(&config).args(words);
        let output = output_of(&mut command);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = start(&["--tls", "never"]);
    assert!(told.contains("would encrypt nothing") && !config.exists(), "{told}");
    let told = start(&[]);
    assert!(told.contains("hauld user add") && told.contains("--insecure"), "{told}");
    // The key is there already, so that its pin can be told.
    assert!(config.join("key.pem").exists());
    // With --insecure both are taken, and it is said.
    let dir = config.to_str().unwrap();
    let words = ["--listen", "0.0.0.0:0", "--insecure", "--config-dir", dir];
    let server = server_with(&words);
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let address = format!("127.0.0.1:{port}");
    TlsPeer::hello(&address).put(1, "a", b"tls");
    Peer::hello(&address).unwrap();
    assert!(server.log_text().contains("nobody is asked who they are"));
}
