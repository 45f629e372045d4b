//! Connections and threads that a run takes: no more than are of use.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;

use haul_tests::bytes::counted;
use haul_tests::prelude::*;
use haul_tests::threads::each;

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

/// Starts `haul put` of a source to a server that never answers; returns it when its connection has come.
fn held(source: &Path) -> (Child, (TcpListener, TcpStream)) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut haul = haul_command();
    let haul = haul.arg("put").arg(source).arg(address).stderr(Stdio::null()).spawn().unwrap();
    let (connection, _) = silent.accept().unwrap();
    (haul, (silent, connection))
}

/// The names of the threads of a process, in order; the first one has that of the process.
fn threads(haul: &Child) -> Vec<String> {
    let mut names: Vec<_> = each(haul.id(), "comm").into_iter().map(|(_, name)| name).collect();
    names.sort();
    names
}

#[test]
fn one_small_file_takes_three_threads() {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "one").unwrap();
    let (mut haul, _server) = held(&source.path().join("f"));
    // The observer's, the connection's, that of signals. A thread gives itself its name.
    let expected = ["connection-0", "haul", "signals"];
    eventually("all threads have their names", || threads(&haul) == expected);
    haul.kill().unwrap();
    haul.wait().unwrap();
}

#[test]
fn threads_of_further_connections_begin_when_there_is_work_for_them() {
    let source = TempDir::new().unwrap();
    (0..3).for_each(|index| fs::write(source.path().join(format!("{index}")), "x").unwrap());
    let (mut haul, _server) = held(source.path());
    let few = ["connection-0", "haul", "signals", "walk"];
    eventually("a few files have one connection", || threads(&haul) == few);
    haul.kill().unwrap();
    haul.wait().unwrap();
    (0..2000).for_each(|index| fs::write(source.path().join(format!("{index}")), "x").unwrap());
    let (mut haul, _server) = held(source.path());
    let has_second = || threads(&haul).iter().any(|name| name == "connection-1");
    eventually("many files have a second connection", has_second);
    haul.kill().unwrap();
    haul.wait().unwrap();
}

/// Trap `one_file_at_a_time`, and `hand_tuned_streams`: nobody has to say how many there are to be.
#[test]
fn one_file_at_a_time_is_for_no_large_file_and_no_tree_that_comes_back() {
    let (server, here) = (server_with(&["--durability", "none"]), TempDir::new().unwrap());
    fs::write(server.root().join("large"), counted(40 << 20)).unwrap();
    fs::create_dir(server.root().join("many")).unwrap();
    for index in 0..4000 {
        fs::write(server.root().join(format!("many/{index}")), "x").unwrap();
    }
    let all = thread::available_parallelism().unwrap().get().clamp(2, 8);
    for name in ["large", "many"] {
        for (words, expected) in [(&[][..], all), (&["--connections", "3"], 3)] {
            let to = here.path().join(format!("{name}{expected}")).display().to_string();
            let get = |address: &str| {
                let mut words: Vec<_> = words.iter().map(|word| String::from(*word)).collect();
                words.splice(0..0, [String::from("get"), format!("{address}/{name}"), to]);
                words
            };
            assert_eq!(connections(&server, get), expected, "{name} {words:?}");
        }
    }
}
