//! hauld as a service of systemd: what it tells the service manager, and the unit.

use std::os::unix::net::UnixDatagram;

use haul_tests::prelude::*;

/// A service manager: the socket that a service tells its state.
struct Manager {
    place: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(place.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { place, socket }
    }

    /// A server that tells this manager.
    fn server(&self, watchdog: Option<Duration>, args: &[&str]) -> Hauld {
        let mut command = Command::new("sh");
        // The watchdog is for the process that has this id (sd_watchdog_enabled(3)).
        command.args(["-c", "export WATCHDOG_PID=$$; exec \"$HAULD\" \"$@\"", "sh"]);
        command.env("HAULD", &binaries::get().hauld);
        command.env("NOTIFY_SOCKET", self.place.path().join("notify"));
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        Hauld::start_in(TempDir::new().unwrap(), command, args).unwrap()
    }

    /// The next message: lines of `NAME=VALUE`.
    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).expect("hauld tells something");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }
}

#[test]
fn start_reload_and_stop_are_told() {
    let manager = Manager::new();
    let file = manager.place.path().join("hauld.toml");
    fs::write(&file, "").unwrap();
    let mut server = manager.server(None, &["--config", file.to_str().unwrap()]);
    let ready = manager.told();
    assert!(ready.contains("READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=serving {}", server.address())), "{ready}");
    // It is ready when it says so.
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    drop(peer);
    server.signal(Signal::HUP).unwrap();
    let reloading = manager.told();
    // Both in one message: systemd asks for that.
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(manager.told().contains("READY=1"));
    server.signal(Signal::TERM).unwrap();
    assert!(manager.told().contains("STOPPING=1"));
    assert!(server.wait().unwrap().success());
}

#[test]
fn watchdog_beats_while_the_server_idles_and_works() {
    let manager = Manager::new();
    let server = manager.server(Some(Duration::from_millis(300)), &[]);
    // The first beat may come before the server is ready.
    while !manager.told().contains("READY=1") {}
    let mut peer = server.peer();
    for id in 1..=3 {
        assert_eq!(peer.ask(&put(id, "x", b"x"), b"x").unwrap()["ack"], id);
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    assert!(!server.log_text().contains("stuck"), "{}", server.log_text());
}

#[test]
fn nothing_is_told_without_a_service_manager() {
    let server = server_with(&[]);
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    assert!(!server.log_text().contains("systemd"), "{}", server.log_text());
}

/// The unit of the project, checked by systemd's own tool.
fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("xtask/dist/hauld.service")
}

#[test]
fn unit_is_hardened_as_far_as_hauld_bears() {
    let mut analyze = Command::new("systemd-analyze");
    let output = output_of(analyze.args(["security", "--offline=true", "--no-pager"]).arg(unit()));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let score = said.rsplit_once("hauld.service: ").and_then(|(_, rest)| rest.split(' ').next());
    let score: f64 = score.and_then(|score| score.parse().ok()).expect(&said);
    assert!(score <= 1.6, "{score}: {said}");
    let unit = fs::read_to_string(unit()).unwrap();
    // Each of these breaks hauld.
    for setting in ["RestrictSUIDSGID=", "DynamicUser=", "ProcSubset="] {
        assert!(!unit.lines().any(|line| line.starts_with(setting)), "{setting}");
    }
}
