//! Two machines: the steps of the README for an account, and all that somebody on the wire between them sees.

use haul_tests::needed::is_here;
use haul_tests::network::{Machine, Network};
use haul_tests::prelude::*;
use haul_tests::register::{Register, log_in};

/// Names and contents that nobody between may see.
const SECRETS: [&str; 4] =
    ["payroll-2026", "quarterly", "the vault opens at nine", "merger-with-acme"];

/// The types of records (RFC 8446, 5.1): change_cipher_spec, alert, handshake, application_data.
const RECORDS: [u8; 4] = [20, 21, 22, 23];

/// The longest record: 2^14 bytes, and 256 of encryption.
const RECORD: usize = (1 << 14) + 256;

struct Machines {
    network: Network,
    directory: TempDir,
}

impl Machines {
    fn new() -> Self {
        Self { network: Network::new().unwrap(), directory: place::in_memory().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn register(&self) -> Register {
        Register::new(binaries::get(), &self.path("config"), &self.path("root"))
    }

    /// `hauld` on the server's machine, which other machines reach.
    fn start(&self) -> Hauld {
        let hauld = self.network.command(Machine::Server, &binaries::get().hauld);
        let mut words = vec!["--listen", &self.network.server];
        if !self.network.is_real() {
            words.extend(["--tls", "always"]);
        }
        let (root, log) = (self.path("root"), self.path("log"));
        Hauld::start_at(&root, &log, hauld, &words).unwrap()
    }

    /// `haul` on the client's machine, with its files in this directory.
    fn haul(&self, files: &str) -> Command {
        let mut haul = self.network.command(Machine::Client, &binaries::get().haul);
        haul.env("HAUL_CONFIG_DIR", self.path(files));
        haul
    }

    /// Runs haul with these words, in which `%` is the server, and returns its exit code and its words.
    fn run(&self, files: &str, words: &[&str]) -> (Option<i32>, String) {
        let mut haul = self.haul(files);
        haul.current_dir(self.directory.path()).stdin(Stdio::null());
        haul.args(words.iter().map(|word| word.replace('%', &self.network.known_as)));
        let output = output_of(&mut haul);
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), told.concat())
    }
}

/// Asserts that a direction of a connection is records of TLS from the first byte to the last; the last one may be cut
/// off, if the connection was.
#[track_caller]
fn is_tls(mut bytes: &[u8]) {
    while let [kind, 3, 1 | 3, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(RECORDS.contains(kind) && len <= RECORD, "a record of type {kind}, {len} bytes");
        bytes = &rest[len.min(rest.len())..];
    }
    assert!(bytes.len() < 5, "no record: {:02x?}", &bytes[..bytes.len().min(32)]);
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn newcomer_follows_the_readme_and_nobody_between_sees_a_name_a_byte_or_the_token() {
    let machines = Machines::new();
    let known_as = machines.network.known_as.clone();
    let shown = machines.register().add("alice", &["--address", &known_as]).unwrap();
    let link = shown.words.split_whitespace().find(|word| word.starts_with("haul://")).unwrap();
    let server = machines.start();
    let tap = machines.network.tap().unwrap();

    let project = machines.path(SECRETS[0]);
    fs::create_dir_all(project.join(SECRETS[1])).unwrap();
    let content = SECRETS[2].repeat(100);
    for index in 0..20 {
        fs::write(project.join(SECRETS[1]).join(format!("f{index}")), &content).unwrap();
    }
    // In parts.
    fs::write(project.join("large"), content.repeat(1000)).unwrap();
    symlink(SECRETS[3], project.join("link")).unwrap();

    log_in(&mut machines.haul("alice"), link, &shown.token).unwrap();
    let (code, told) = machines.run("alice", &["put", SECRETS[0], "%"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = machines.run("alice", &["verify", SECRETS[0], "%"]);
    assert_eq!((code, told.starts_with("22 the same, 0 different")), (Some(0), true), "{told}");
    let (code, told) = machines.run("alice", &["ls", "-R", "%"]);
    assert!(code == Some(0) && told.contains(SECRETS[1]), "{told}");
    tree::compare(&project, &server.root().join("alice").join(SECRETS[0])).unwrap();

    let passed = tap.passed();
    assert!(passed.len() >= 2 && passed.iter().map(Vec::len).sum::<usize>() > 2 << 20);
    let token = &shown.token;
    let (id, secret) = (&token[5..13], &token[14..]);
    for bytes in &passed {
        is_tls(bytes);
        for word in SECRETS.into_iter().chain(["alice", "hello", "filename", id, secret]) {
            assert!(!has(bytes, word), "{word} was seen between the machines");
        }
    }
    // The same look finds them where they are in clear.
    assert!(has(token.as_bytes(), secret) && has(content.as_bytes(), SECRETS[2]));
}

#[test]
fn client_without_an_account_is_told_how_to_log_in_and_stores_nothing() {
    let machines = Machines::new();
    let known_as = machines.network.known_as.clone();
    machines.register().add("alice", &[]).unwrap();
    let server = machines.start();
    let tap = machines.network.tap().unwrap();
    fs::write(machines.path("file"), SECRETS[2]).unwrap();
    let (code, told) = machines.run("stranger", &["put", "file", "%"]);
    let expected = format!(
        "haul: {known_as} is not known here; nothing was sent. If `hauld fingerprint` prints the same key on the server, \
         trust it: haul trust {known_as} haul1-"
    );
    assert!(code == Some(4) && told.contains(&expected), "{told}");
    let (code, told) =
        machines.run("stranger", &["trust", "%", &machines.register().pin().unwrap()]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = machines.run("stranger", &["put", "file", "%"]);
    let expected = format!("haul: {known_as} asks for an account: haul login {known_as}");
    assert!(code == Some(3) && told.contains(&expected), "{told}");
    tap.passed().iter().for_each(|bytes| is_tls(bytes));
    if machines.network.is_real() {
        // On loopback haul speaks TLS to a server that takes nothing else, whatever it was told.
        let (code, told) = machines.run("stranger", &["put", "--insecure", "file", "%"]);
        assert!(code == Some(3) && told.contains("only TLS"), "{told}");
    }
    for name in ["file", "alice/file"] {
        assert!(!server.root().join(name).exists());
    }
    assert!(tap.passed().iter().all(|bytes| !has(bytes, SECRETS[2])));
}

#[test]
fn server_that_others_reach_starts_with_an_account_or_insecure_and_says_how_to_add_one() {
    let machines = Machines::new();
    let start = |words: &[&str]| {
        let mut hauld = machines.network.command(Machine::Server, &binaries::get().hauld);
        let address =
            if machines.network.is_real() { &machines.network.server } else { "0.0.0.0:0" };
        hauld.args(["--listen", address]).args(words).arg("--root").arg(machines.path("root"));
        hauld.arg("--config-dir").arg(machines.path("config"));
        hauld
    };
    let output = output_of(&mut start(&[]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.success(), output.stdout.len()), (false, 0), "{told}");
    assert!(told.contains("hauld user add"), "{told}");

    // At every start.
    for _ in 0..2 {
        let mut insecure =
            start(&["--insecure"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(insecure.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&insecure, Signal::TERM);
        let told = String::from_utf8(ended(insecure).stderr).unwrap();
        let warned = told.lines().find(|line| line.contains("WARN") && line.contains("insecure"));
        assert!(line.starts_with("listening on ") && warned.is_some(), "{line}{told}");
    }

    machines.register().add("alice", &[]).unwrap();
    let server = machines.start();
    assert!(server.log_text().contains("takes TLS"), "{}", server.log_text());
}

/// Trap 11: whatever the user says, and whoever serves, the token does not go over a line that others can read.
#[test]
fn token_does_not_go_in_clear_to_another_machine_though_both_sides_say_insecure() {
    let machines = Machines::new();
    if !is_here(machines.network.is_real(), "two network namespaces") {
        return;
    }
    let token = machines.register().add("alice", &[]).unwrap().token;
    let hauld = machines.network.command(Machine::Server, &binaries::get().hauld);
    let words = ["--listen", &machines.network.server, "--insecure"];
    let server =
        Hauld::start_at(&machines.path("root"), &machines.path("log"), hauld, &words).unwrap();
    let tap = machines.network.tap().unwrap();
    let known_as = machines.network.known_as.clone();
    fs::write(machines.path("file"), SECRETS[2]).unwrap();
    fs::create_dir(machines.path("stored")).unwrap();
    let credentials = machines.path("stored/credentials");
    fs::write(&credentials, format!("{known_as} alice {token}\n")).unwrap();
    set_mode(&credentials, 0o600);
    for (files, variable) in [("stored", None), ("none", Some(&token))] {
        let mut haul = machines.haul(files);
        haul.current_dir(machines.directory.path()).stdin(Stdio::null());
        haul.envs(variable.map(|token| ("HAUL_TOKEN", token)));
        haul.args(["put", "--insecure", "file", &format!("alice@{known_as}")]);
        let output = output_of(&mut haul);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("sends no token over a connection that others can read"), "{told}");
    }
    assert!(!server.root().join("alice/file").exists());
    let passed = tap.passed();
    // The words in clear, without the token, are there to be seen.
    assert!(passed.iter().any(|bytes| has(bytes, "hello")));
    assert!(passed.iter().all(|bytes| !has(bytes, &token[14..]) && !has(bytes, SECRETS[2])));
}
