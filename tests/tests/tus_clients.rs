//! Real clients of tus: tus-js-client, Uppy and tuspy. `tests/clients/install` installs them.

use haul_tests::prelude::*;

/// The directory of the clients.
fn clients() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let clients = root.join("target/http-clients");
    for of in ["node/installed", "python/installed"] {
        assert!(
            clients.join(of).exists(),
            "run tests/clients/install, which installs clients of tus"
        );
    }
    clients
}

/// A client under way, and the lines that it has printed.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to the first line that begins so.
    fn until(&mut self, begin: &str) -> String {
        for line in &mut self.lines {
            let line = line.unwrap();
            if line.starts_with(begin) {
                return line;
            }
        }
        panic!("the client has not said `{begin}`");
    }

    /// It gives up, and says why.
    fn fails(mut self) -> String {
        let why = self.until("error ");
        assert!(!self.child.wait().unwrap().success());
        why
    }

    fn ends_well(mut self) {
        let last = self.lines.last().unwrap().unwrap();
        assert_eq!(last, "done");
        assert!(self.child.wait().unwrap().success());
    }
}

/// A server and a file that is to be sent to it.
struct Fixture {
    server: Hauld,
    place: TempDir,
    bytes: Vec<u8>,
}

impl Fixture {
    fn start() -> Self {
        let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let place = TempDir::new().unwrap();
        fs::write(place.path().join("source"), &bytes).unwrap();
        Self { server: server_with(&["--durability", "group"]), place, bytes }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/.haul/tus/", self.server.address())
    }

    fn tus_js(&self, options: &Value) -> Running {
        self.tus_js_as("dir/a", options)
    }

    /// The same for a file of this name.
    fn tus_js_as(&self, name: &str, options: &Value) -> Running {
        self.node("upload.mjs", name, options)
    }

    fn node(&self, script: &str, name: &str, options: &Value) -> Running {
        let node = clients().join("node");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        // Modules are found beside the script. Another client may read the same copy just now.
        let copy = node.join(format!("{}-{script}", std::process::id()));
        if !copy.exists() {
            let new = node.join(format!("{}-{:?}", std::process::id(), thread::current().id()));
            fs::copy(source, &new).unwrap();
            fs::rename(new, &copy).unwrap();
        }
        let source = self.place.path().join("source");
        let mut command = Command::new("node");
        command.arg(copy).arg(self.endpoint()).arg(source).arg(name).arg(options.to_string());
        Running::start(&mut command)
    }

    fn tuspy(&self) -> Running {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/upload.py");
        let source = self.place.path().join("source");
        let mut command = Command::new("python3");
        command.arg(script).arg(self.endpoint()).arg(source).arg("dir/a").arg("1500000");
        Running::start(command.env("CLIENTS", clients().join("python")))
    }

    /// Kills the server, and starts it again at the same address.
    fn restart(&mut self) {
        self.server.signal(Signal::KILL).unwrap();
        self.server.wait().unwrap();
        let (root, log) = (self.server.root().to_owned(), self.server.log.clone());
        let address = self.server.address().to_owned();
        let args = ["--durability", "group", "--listen", &address];
        let next = Hauld::start_at(&root, &log, hauld_command(), &args).unwrap();
        self.server.becomes(next);
    }

    fn is_right(&self) {
        assert!(fs::read(self.server.root().join("dir/a")).unwrap() == self.bytes);
    }
}

#[test]
fn tus_js_client_uploads_in_all_its_ways() {
    for options in [
        json!({}),
        json!({ "chunk": 3_000_000 }),
        json!({ "chunk": 3_000_000, "deferred": true }),
        json!({ "protocol": "ietf-draft-03" }),
        json!({ "protocol": "ietf-draft-05", "chunk": 7_000_000 }),
    ] {
        let fixture = Fixture::start();
        fixture.tus_js(&options).ends_well();
        fixture.is_right();
    }
}

#[test]
fn tus_js_client_goes_on_when_the_server_was_killed() {
    for options in [json!({ "chunk": 1_000_000 }), json!({ "chunk": 1_500_000, "deferred": true })]
    {
        let mut fixture = Fixture::start();
        let mut client = fixture.tus_js(&options);
        for accepted in ["accepted 3000000", "accepted 9000000"] {
            client.until(accepted);
            fixture.restart();
        }
        client.ends_well();
        fixture.is_right();
    }
}

/// It would have the server put parts together, and is told that it does not: once, and not again and again.
#[test]
fn tus_js_client_that_wants_parts_put_together_is_told_and_gives_up() {
    let fixture = Fixture::start();
    let why = fixture.tus_js(&json!({ "parallel": 2 })).fails();
    assert!(why.contains("400"), "{why}");
    assert!(!fixture.server.root().join("dir/a").exists());
}

#[test]
fn several_tus_js_clients_go_on_at_once_when_the_server_was_killed() {
    let mut fixture = Fixture::start();
    let names = ["a", "dir/b", "dir/c", "d"];
    let mut clients = names.map(|name| fixture.tus_js_as(name, &json!({ "chunk": 1_000_000 })));
    for client in &mut clients {
        client.until("accepted 3000000");
    }
    fixture.restart();
    clients.into_iter().for_each(Running::ends_well);
    for name in names {
        assert!(fs::read(fixture.server.root().join(name)).unwrap() == fixture.bytes, "{name}");
    }
}

/// It keeps the addresses of its uploads, also of those whose file is gone by now.
#[test]
fn tus_js_client_uploads_again_what_was_removed_at_the_server() {
    let fixture = Fixture::start();
    let mut client = fixture.tus_js(&json!({}));
    let address = client.until("address ");
    client.ends_well();
    fixture.is_right();
    fs::remove_file(fixture.server.root().join("dir/a")).unwrap();
    let from = address.strip_prefix("address ").unwrap();
    fixture.tus_js(&json!({ "from": from })).ends_well();
    fixture.is_right();
}

/// Two files at once, one of them of a folder; the word for a file of none names no file.
#[test]
fn uppy_uploads_files_and_folders_and_goes_on_when_the_server_was_killed() {
    let mut fixture = Fixture::start();
    let mut client = fixture.node("uppy.mjs", "u", &json!({ "chunk": 1_000_000 }));
    for accepted in ["accepted 3000000", "accepted 9000000"] {
        client.until(accepted);
        fixture.restart();
    }
    client.ends_well();
    for name in ["u", "folder/u"] {
        assert!(fs::read(fixture.server.root().join(name)).unwrap() == fixture.bytes, "{name}");
    }
    assert!(!fixture.server.root().join("null").exists());
}

#[test]
fn tuspy_uploads_with_checksums_and_goes_on_when_the_server_was_killed() {
    let mut fixture = Fixture::start();
    let mut client = fixture.tuspy();
    for accepted in ["accepted 3000000", "accepted 9000000"] {
        client.until(accepted);
        fixture.restart();
    }
    client.ends_well();
    fixture.is_right();
}
