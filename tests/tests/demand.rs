//! Connections and threads that a run takes: no more than are of use.

use std::net::TcpListener;

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

/// Runs `haul` with these words through a relay; returns the number of connections that it took.
fn connections(server: &Hauld, words: impl FnOnce(&str) -> Vec<String>) -> usize {
    let relay = Relay::start(server.address(), &[]).unwrap();
    let output = haul_command().args(words(relay.address())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    relay.accepted()
}

#[test]
fn one_small_file_takes_one_connection_either_way() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let file = source.path().join("f");
    fs::write(&file, "one").unwrap();
    let (file, here) = (file.display().to_string(), source.path().display().to_string());
    let put = |address: &str| vec!["put".into(), file.clone(), address.to_owned()];
    assert_eq!(connections(&server, put), 1);
    let get = |address: &str| {
        ["get", "--as", "g", &format!("{address}/f"), &here].map(String::from).to_vec()
    };
    assert_eq!(connections(&server, get), 1);
    assert_eq!(fs::read(source.path().join("g")).unwrap(), b"one");
}

#[test]
fn few_small_files_take_one_connection_unless_it_is_slow() {
    let (server, source) = (server_with(&["--durability", "none"]), TempDir::new().unwrap());
    (0..3).for_each(|index| fs::write(source.path().join(format!("{index}")), "x").unwrap());
    let put = |address: &str| {
        let path = format!("{}/", source.path().display());
        ["put", &path, address].map(String::from).to_vec()
    };
    // All three go in one batch, so nothing waits behind it.
    assert_eq!(connections(&server, put), 1);
}

#[test]
fn large_file_and_many_entries_take_all_connections() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("large"), counted(40 << 20)).unwrap();
    fs::create_dir(source.path().join("many")).unwrap();
    for index in 0..2000 {
        fs::write(source.path().join(format!("many/{index}")), "x").unwrap();
    }
    let all = thread::available_parallelism().unwrap().get().clamp(2, 8);
    for name in ["large", "many"] {
        let path = source.path().join(name).display().to_string();
        let put = |address: &str| ["put", &path, address].map(String::from).to_vec();
        assert_eq!(connections(&server, put), all, "{name}");
    }
}

#[test]
fn one_small_file_takes_four_threads() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, source) = (silent.local_addr().unwrap().to_string(), TempDir::new().unwrap());
    fs::write(source.path().join("f"), "one").unwrap();
    let mut haul = haul_command();
    let haul = haul.arg("put").arg(source.path().join("f")).arg(address).stderr(Stdio::null());
    let mut haul = haul.spawn().unwrap();
    let connection = silent.accept().unwrap();
    // The observer's, the connection's, that of the walk, that of signals.
    let threads = fs::read_dir(format!("/proc/{}/task", haul.id())).unwrap().count();
    haul.kill().unwrap();
    haul.wait().unwrap();
    drop(connection);
    assert_eq!(threads, 4);
}
