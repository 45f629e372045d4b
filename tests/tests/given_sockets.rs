//! Sockets that hauld is given, as systemd gives them: hauld listens on them and on nothing else, and they outlive it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use haul_tests::prelude::*;

/// `hauld` with the socket at its standard input as the first descriptor that is given, of this name.
fn command(name: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$; exec \"$HAULD\" \"$@\"";
    command.args(["-c", script, "sh"]).env("HAULD", &binaries::get().hauld);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    command
}

/// A server in a place that stays, with a socket that is given.
fn start(place: &TempDir, socket: impl Into<OwnedFd>, args: &[&str]) -> Hauld {
    let (root, log) = (place.path().join("root"), place.path().join("log"));
    let input = Stdio::from(socket.into());
    Hauld::start_with_input(&root, &log, command("clients"), args, input).unwrap()
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn socket_takes_the_place_of_the_addresses_and_no_program_inherits_it() {
    let (place, (listener, address)) = (TempDir::new().unwrap(), listener());
    let server = start(&place, listener, &["--listen", "127.0.0.1:1"]);
    // Nobody but root could listen at port 1, and root would tell it.
    assert_eq!(server.addresses, [&*address]);
    assert!(!server.log_text().contains("not confined"), "{}", server.log_text());
    assert!(server.log_text().contains("was given this socket"), "{}", server.log_text());
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    let facts = fs::read_to_string(format!("/proc/{}/fdinfo/3", server.pid())).unwrap();
    let flags = facts.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_ne!(flags & rustix::fs::OFlags::CLOEXEC.bits(), 0, "{facts}");
}

#[test]
fn client_that_comes_while_no_server_runs_waits_for_the_next_one() {
    let (place, (listener, address)) = (TempDir::new().unwrap(), listener());
    let mut server = start(&place, listener.try_clone().unwrap(), &[]);
    for signal in [Signal::TERM, Signal::KILL] {
        server.signal(signal).unwrap();
        server.wait().unwrap();
        let at = address.clone();
        let peer = thread::spawn(move || Peer::hello_as(&at, "waits", 0).unwrap().1);
        fs::write(place.path().join("file"), "text").unwrap();
        let mut client = haul_command();
        // It would rather fail than connect again.
        client.args(["put", "--retries", "0"]).arg(place.path().join("file")).arg(&address);
        let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
        // Both are connected: the kernel has taken them in for whoever comes.
        let waiting = || waiting_at(&address) >= 2;
        eventually("both wait", waiting);
        assert!(client.try_wait().unwrap().is_none());
        server = start(&place, listener.try_clone().unwrap(), &[]);
        assert_eq!(peer.join().unwrap()["durability"], "group");
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read(server.root().join("file")).unwrap(), b"text");
        fs::remove_file(server.root().join("file")).unwrap();
    }
}

/// Connections that nobody has accepted yet: of a socket that listens, the kernel tells their number as its receive queue.
fn waiting_at(address: &str) -> u32 {
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let line = table.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&local) && words.nth(1) == Some("0A")
    });
    let queues = line.unwrap().split_whitespace().nth(4).unwrap();
    u32::from_str_radix(queues.split_once(':').unwrap().1, 16).unwrap()
}

#[test]
fn put_goes_on_across_a_restart_and_is_never_refused() {
    let (place, (listener, address)) = (TempDir::new().unwrap(), listener());
    let mut server = start(&place, listener.try_clone().unwrap(), &[]);
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    for at in 0..100 {
        fs::write(source.join(format!("{at}")), vec![b'x'; 100_000]).unwrap();
    }
    let mut client = haul_command();
    client.args(["put", "--json", "--limit-rate", "5MB"]).arg(&source).arg(&address);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let files = |server: &Hauld| fs::read_dir(server.root().join("s")).map_or(0, Iterator::count);
    eventually("files have come", || files(&server) > 0);
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    server = start(&place, listener, &[]);
    let output = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(files(&server), 100);
    assert!(told.contains("\"reconnecting\"") && !told.contains("refused"), "{told}");
}

#[test]
fn descriptor_that_is_no_listening_stream_socket_is_told_and_starts_nothing() {
    let place = TempDir::new().unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    let path = place.path().join("datagram");
    let abstract_one = {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("haul-tests-{}", std::process::id());
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        UnixListener::bind_addr(&name).unwrap()
    };
    let given: [(OwnedFd, &str); 4] = [
        (one.into(), "it does not listen"),
        (file.into(), "it is no stream socket"),
        (UnixDatagram::bind(path).unwrap().into(), "it is no stream socket"),
        (abstract_one.into(), "a Unix socket without a path"),
    ];
    for (socket, said) in given {
        let mut command = command("upload");
        command.arg("--root").arg(place.path().join("root")).stdin(Stdio::from(socket));
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("the socket 3 (`upload`)") && told.contains(said), "{told}");
    }
    assert!(!place.path().join("root").exists());
}

/// The address that is bound decides, and not one of the settings.
#[test]
fn socket_that_other_machines_reach_needs_accounts() {
    let (place, listener) = (TempDir::new().unwrap(), TcpListener::bind("0.0.0.0:0").unwrap());
    let mut command = command("clients");
    command.args(["--listen", "127.0.0.1:0", "--root"]).arg(place.path().join("root"));
    command.env("HAULD_CONFIG_DIR", place.path().join("config"));
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("can be reached from other machines"), "{told}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let (place, (listener, address)) = (TempDir::new().unwrap(), listener());
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=1; exec \"$HAULD\" \"$@\"";
    command.args(["-c", script, "sh"]).env("HAULD", &binaries::get().hauld);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "metrics");
    let (root, log) = (place.path().join("root"), place.path().join("log"));
    let input = Stdio::from(OwnedFd::from(listener));
    let server = Hauld::start_with_input(&root, &log, command, &[], input).unwrap();
    assert_ne!(server.address(), address);
}

/// systemd's own program gives the sockets when a client comes, one for clients and one for those who watch.
#[test]
fn systemd_gives_sockets_at_paths_which_stay_when_hauld_ends() {
    let place = TempDir::new().unwrap();
    let at = |name: &str| place.path().join(name);
    let mut command = Command::new("systemd-socket-activate");
    for name in ["clients", "metrics"] {
        command.arg("--listen").arg(at(name));
    }
    command.args(["--fdname=clients:metrics", "-E"]);
    command.arg(format!("HAULD_CONFIG_DIR={}", at("config").display()));
    command.arg(&binaries::get().hauld).arg("--root").arg(at("root"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut hauld = command.spawn().unwrap();
    let ask = |name: &str, request: &str| {
        let mut stream = None;
        eventually("systemd listens", || {
            stream = UnixStream::connect(at(name)).ok();
            stream.is_some()
        });
        let mut stream = stream.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "{request}\r\nHost: localhost\r\nConnection: close\r\n").unwrap();
        stream.write_all(b"Content-Length: 1\r\n\r\nx").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8(answer.to_vec()).unwrap()
    };
    assert_eq!(ask("clients", "PUT /x HTTP/1.1"), "HTTP/1.1 201");
    assert_eq!(fs::read(at("root/x")).unwrap(), b"x");
    assert_eq!(ask("metrics", "GET /metrics HTTP/1.1"), "HTTP/1.1 200");
    signal(&hauld, Signal::TERM);
    let told = {
        let mut told = String::new();
        hauld.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        told
    };
    assert!(hauld.wait().unwrap().success());
    assert_eq!(told, format!("listening on unix:{}\n", at("clients").display()));
    assert!(at("clients").exists() && at("metrics").exists());
}

/// systemd's own tool knows every setting of the units.
#[test]
fn units_have_no_setting_that_systemd_does_not_know() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("xtask/dist");
    let place = TempDir::new().unwrap();
    for unit in ["hauld.socket", "hauld.service"] {
        let text = fs::read_to_string(dist.join(unit)).unwrap();
        // The program is not installed here.
        fs::write(place.path().join(unit), text.replace("/usr/bin/hauld", "/bin/true")).unwrap();
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no"]).arg(place.path().join("hauld.socket"));
    let output =
        output_of(analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", place.path().display())));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("hauld."), "{said}");
}

/// The sockets that a peer has of a server are its own, also while somebody else listens on the same address.
#[test]
fn connection_stays_when_the_settings_are_read_again() {
    let (place, (listener, address)) = (TempDir::new().unwrap(), listener());
    let file = place.path().join("hauld.toml");
    fs::write(&file, "listen = [\"127.0.0.1:1\"]\nmax-file = 10\n").unwrap();
    let server = start(&place, listener, &["--config", file.to_str().unwrap()]);
    fs::write(&file, "listen = [\"127.0.0.1:1\"]\nmax-file = 20\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    let log = || server.log_text();
    eventually("they are read", || log().contains("the settings were read again"));
    assert!(!log().contains("count when hauld is started again"), "{}", log());
    assert!(TcpStream::connect(&address).is_ok());
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", &[0; 15]), &[0; 15]).unwrap()["ack"], 1);
}
