//! haul and hauld over TLS, with a network between them that somebody listens to.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use haul_tests::bytes::repeated;
use haul_tests::prelude::*;

use crate::tls_fake::{Identity, haul_in, trusting};

/// A server that takes only TLS, and a client's configuration that trusts it at an address.
struct Pair {
    server: Hauld,
    keys: TempDir,
    configuration: TempDir,
}

impl Pair {
    fn start() -> Self {
        let keys = TempDir::new().unwrap();
        let server =
            server_with(&["--tls", "always", "--config-dir", keys.path().to_str().unwrap()]);
        Self { server, keys, configuration: TempDir::new().unwrap() }
    }

    /// The standard output of `hauld` with these words.
    fn hauld(&self, words: &[&str]) -> String {
        let mut hauld = hauld_command();
        hauld.args(words).arg("--config-dir").arg(self.keys.path());
        let output = output_of(&mut hauld);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Trusts the server at an address that leads to it.
    fn trust(&self, address: &str) {
        let pin = self.hauld(&["fingerprint"]);
        self.haul(&["trust", address, pin.trim()]).assert().success();
    }

    fn haul(&self, words: &[&str]) -> Client {
        haul_in(self.configuration.path(), words)
    }
}

/// Passes on to an address, and keeps all that passes, in both directions.
fn eavesdropper(target: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (target, heard) = (target.to_owned(), Arc::new(Mutex::new(Vec::new())));
    let hearing = Arc::clone(&heard);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = std::net::TcpStream::connect(&target).unwrap();
            let ways =
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in ways {
                let heard = Arc::clone(&hearing);
                thread::spawn(move || {
                    let mut bytes = vec![0; 16 * 1024];
                    while let Ok(len @ 1..) = from.read(&mut bytes) {
                        heard.lock().unwrap().extend_from_slice(&bytes[..len]);
                        if to.write_all(&bytes[..len]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (address, heard)
}

/// Whether bytes have a word in them.
fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The server knows the digest of such a file, and can't send it as it is.
#[test]
fn large_file_whose_digest_is_kept_comes_back_as_it_was() {
    let (pair, place) = (Pair::start(), TempDir::new().unwrap());
    let address = pair.server.address();
    pair.trust(address);
    let path = place.path().join("large");
    fs::write(&path, repeated(b"encrypted", 20_000_000)).unwrap();
    set_mtime(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000));
    pair.haul(&["put", path.to_str().unwrap(), address]).assert().success();
    let back = place.path().join("back");
    let words = ["get", &format!("{address}/large"), back.to_str().unwrap()];
    pair.haul(&words).assert().success();
    tree::compare(&path, &back.join("large")).unwrap();
}

#[test]
fn tree_and_large_file_arrive_and_nobody_in_between_reads_a_word() {
    let pair = Pair::start();
    let (address, heard) = eavesdropper(pair.server.address());
    pair.trust(&address);
    let source = TempDir::new().unwrap();
    let s = source.path().join("secretname");
    fs::create_dir_all(s.join("directoryname")).unwrap();
    for index in 0..300 {
        fs::write(s.join(format!("directoryname/smallname{index}")), "smallcontents").unwrap();
    }
    symlink("linktarget", s.join("linkname")).unwrap();
    let large = repeated(b"largecontents", 20 << 20);
    fs::write(s.join("largename"), large).unwrap();
    let from = s.to_str().unwrap();
    pair.haul(&["put", from, &address]).assert().success();
    tree::compare(&s, &pair.server.root().join("secretname")).unwrap();
    pair.haul(&["verify", from, &address]).assert().success();
    pair.haul(&["sync", "--delete", from, &address]).assert().success();
    pair.haul(&["ls", "-lR", &address]).assert().success().stdout(contains("smallname299"));
    pair.haul(&["mv", &format!("{address}/secretname"), &format!("{address}/othername")])
        .assert()
        .success();
    pair.haul(&["rm", "-r", &format!("{address}/othername")]).assert().success();
    let heard = heard.lock().unwrap();
    assert!(heard.len() > 20 << 20);
    for word in [
        "secretname",
        "directoryname",
        "smallname",
        "smallcontents",
        "linkname",
        "linktarget",
        "largename",
        "largecontents",
        "othername",
        "\"hello\"",
        "\"cmd\"",
        "filename",
        "durability",
    ] {
        assert!(!has(&heard, word), "{word}");
    }
}

#[test]
fn killed_server_comes_back_and_the_large_file_goes_on() {
    let mut pair = Pair::start();
    let relay = Relay::start(pair.server.address(), &[]).unwrap();
    pair.trust(relay.address());
    let source = TempDir::new().unwrap();
    let path = source.path().join("f");
    let contents: Vec<u8> = (0..8_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &contents).unwrap();
    let mut put = haul_command();
    put.env("HAUL_CONFIG_DIR", pair.configuration.path());
    put.args(["put", "--json", "--limit-rate", "40MB"]).arg(&path).arg(relay.address());
    let put = put.stdout(Stdio::piped()).spawn().unwrap();
    eventually("a part is there", || relay.passed() > 16 << 20);
    pair.server.signal(Signal::KILL).unwrap();
    pair.server.wait().unwrap();
    let (root, keys) = (pair.server.root().to_owned(), pair.keys.path().to_str().unwrap());
    let log = pair.keys.path().join("log");
    let words = ["--tls", "always", "--config-dir", keys];
    let again = Hauld::start_at(&root, &log, hauld_command(), &words).unwrap();
    relay.lead_to(again.address());
    let output = ended(put);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(root.join("f")).unwrap() == contents);
    // The parts that the first server had are not sent again.
    let sent = last(&output.stdout)["bytes_sent"].as_u64().unwrap();
    assert!(sent < 32_000_000 + (16 << 20), "{sent}");
    drop(again);
}

#[test]
fn prompt_and_single_requests_go_over_tls_too() {
    let pair = Pair::start();
    let address = pair.server.address();
    pair.trust(address);
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "x").unwrap();
    let lines = "put f\nmkdir d\nmv f d\nls -R\nrm -r d\n";
    pair.haul(&["shell", address])
        .current_dir(source.path())
        .write_stdin(lines)
        .assert()
        .success()
        .stdout(contains("d/\nd/f\n"));
    // In clear, the server wants none of it.
    pair.haul(&["ls", "--insecure", address])
        .assert()
        .code(3)
        .stderr(contains("takes only TLS here").and(contains("leave --insecure out")));
}

#[test]
fn hauld_that_takes_no_tls_is_not_trusted_if_its_key_is_known() {
    let keys = TempDir::new().unwrap();
    let words = ["--tls", "never", "--config-dir", keys.path().to_str().unwrap()];
    let server = server_with(&words);
    let configuration = trusting(&[(server.address(), &Identity::own().pin())]);
    haul_in(configuration.path(), &["ls", server.address()])
        .assert()
        .code(4)
        .stderr(contains("takes no TLS 1.3, though its key is known here, so nothing was sent"));
}

#[test]
fn next_key_of_the_server_is_known_when_it_comes() {
    let pair = Pair::start();
    let address = pair.server.address();
    pair.trust(address);
    let known = || fs::read_to_string(pair.configuration.path().join("known_servers")).unwrap();
    let next = pair.hauld(&["key", "next"]);
    let next = next.split_whitespace().find(|word| word.starts_with("haul1-")).unwrap();
    eventually("the server announces it", || {
        pair.haul(&["ls", address]).assert().success();
        known().contains(next)
    });
    pair.hauld(&["key", "switch"]);
    eventually("the server has it", || {
        pair.haul(&["ls", address]).assert().success();
        known().lines().count() == 1
    });
    assert!(known().starts_with(&format!("{address} {next} since=")), "{}", known());
}
