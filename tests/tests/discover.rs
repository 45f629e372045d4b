//! Servers that announce themselves by multicast DNS, as `haul discover`, a name that ends with `.local`, and Avahi find them.

use haul_tests::avahi::Avahi;
use haul_tests::lan::Lan;
use haul_tests::network::Machine;
use haul_tests::prelude::*;
use haul_tests::register::log_in;
use rustix::process::{Pid, kill_process};

/// All addresses of IPv4 of the server's machine.
const EVERYWHERE: &str = "0.0.0.0:9090";

#[test]
fn avahi_sees_a_server_with_its_port_and_key_until_it_stops_and_learns_nothing_secret() {
    let Some(lan) = Lan::new() else { return };
    let account = lan.register().add("alice", &[]).unwrap();
    let avahi = Avahi::start(&lan.network, Machine::Client, "other").unwrap();
    let words = ["--listen", "10.21.0.1:8080", "--listen", "127.0.0.1:0", "--discoverable=Box 2"];
    let mut server = lan.start(&words).unwrap();
    eventually("avahi sees it", || avahi.has('=', "Box 2"));
    let pin = lan.register().pin().unwrap();
    let lines = avahi.lines();
    let line = lines.iter().find(|line| line.starts_with('=')).unwrap();
    assert!(line.contains(";10.21.0.1;8080;"), "{line}");
    for text in ["\"tls=only\"", "\"protovers=1\"", "\"txtvers=1\"", &format!("\"pin={pin}\"")] {
        assert!(line.contains(text), "{line}");
    }
    // The address that only its own machine reaches, and who may come, is nobody's business.
    assert!(lines.iter().all(|other| !other.starts_with('=') || other == line), "{lines:?}");
    let id = &account.token[5..13];
    assert!(!line.contains("alice") && !line.contains(id) && !line.contains("127.0"), "{line}");
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    eventually("avahi knows that it is gone", || avahi.has('-', "Box 2"));
}

#[test]
fn server_that_is_killed_is_taken_back_as_well() {
    let Some(lan) = Lan::new() else { return };
    let avahi = Avahi::start(&lan.network, Machine::Client, "other").unwrap();
    let mut server =
        lan.start(&["--listen", EVERYWHERE, "--insecure", "--discoverable=Box"]).unwrap();
    eventually("avahi sees it", || avahi.has('=', "Box"));
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    eventually("avahi knows that it is gone", || avahi.has('-', "Box"));
}

/// Both speak at one port of one machine, and both say that it is theirs.
#[test]
fn avahi_on_the_same_machine_does_not_disturb() {
    let Some(lan) = Lan::new() else { return };
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let avahi = Avahi::start(&lan.network, Machine::Server, name.trim()).unwrap();
    let _server = lan.start(&["--listen", EVERYWHERE, "--insecure", "--discoverable=Box"]).unwrap();
    eventually("avahi sees it", || avahi.has('=', "Box"));
    assert_eq!(lan.find("Box").unwrap()["tls"], "no");
}

#[test]
fn discover_lists_each_server_once_and_tells_whether_its_key_is_trusted() {
    let Some(lan) = Lan::new() else { return };
    lan.register().add("alice", &[]).unwrap();
    let _server = lan.start(&["--listen", EVERYWHERE, "--discoverable=Box"]).unwrap();
    let pin = lan.register().pin().unwrap();
    let found = lan.find("Box").unwrap();
    let server = found["server"].as_str().unwrap();
    assert!(server.ends_with(".local:9090"), "{found}");
    assert_eq!((&found["pin"], &found["tls"]), (&json!(pin), &json!("only")), "{found}");
    assert_eq!(found["addresses"], json!(["10.21.0.1", "10.21.0.2"]), "{found}");
    assert_eq!(found["key"], "unknown", "{found}");
    for (words, key, told) in [
        (
            vec!["trust", "elsewhere", &pin],
            "elsewhere",
            "is trusted here as that of elsewhere:8080",
        ),
        (vec!["trust", server, &pin], "trusted", "which is trusted here"),
        (
            vec![
                "trust",
                "--replace",
                server,
                "haul1-3th75-iq45u-cdtf6-piao2-hdzjz-2fgvp-nnide-z7rx3-v52vv-v6cit-naukn",
            ],
            "different",
            "ANOTHER one is trusted",
        ),
    ] {
        let (code, said) = lan.run(&words);
        assert_eq!(code, Some(0), "{said}");
        let found = lan.found();
        assert_eq!((found.len(), &found[0]["key"]), (1, &json!(key)), "{found:?}");
        let (code, text) = lan.run(&["discover"]);
        let first = format!("Box: {server}, at 10.21.0.1, 10.21.0.2\n");
        assert!(code == Some(0) && text.starts_with(&first) && text.contains(told), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn network_without_servers_ends_discover_with_exit_code_3() {
    let Some(lan) = Lan::new() else { return };
    let (code, said) = lan.run(&["discover", "--timeout", "0.2"]);
    assert!(code == Some(3) && said.contains("no server has announced itself"), "{said}");
    lan.network.cable(false).unwrap();
    let (code, said) = lan.run(&["discover", "--timeout", "0.2", "--json"]);
    assert!(code == Some(3) && said.contains("\"reason\":\"unreachable\""), "{said}");
}

/// The usual question about the key stays, whatever the announcement says.
#[test]
fn name_that_ends_with_local_leads_to_the_announced_port_and_trusts_nothing_by_that() {
    let Some(lan) = Lan::new() else { return };
    let account = lan.register().add("alice", &["--rights", "put,list,get"]).unwrap();
    let server = lan.start(&["--listen", EVERYWHERE, "--discoverable=Box"]).unwrap();
    let found = lan.find("Box").unwrap();
    let known_as = found["server"].as_str().unwrap();
    let host = known_as.strip_suffix(":9090").unwrap();
    fs::write(lan.path("file"), "content").unwrap();
    let (code, said) = lan.run(&["put", "file", host]);
    let expected = format!("haul: {known_as} is not known here; nothing was sent.");
    assert!(code == Some(4) && said.contains(&expected), "{said}");
    let link = lan.register().link("alice", host).unwrap();
    log_in(&mut lan.haul(&[]), &link, &account.token).unwrap();
    for place in [format!("{host}/in"), format!("alice@{known_as}/at"), format!("haul://{host}")] {
        let (code, said) = lan.run(&["put", "file", &place]);
        assert_eq!(code, Some(0), "{place}: {said}");
    }
    for name in ["in/file", "at/file", "file"] {
        assert!(server.root().join("alice").join(name).exists(), "{name}");
    }
    let (code, said) = lan.run(&["sync", &format!("haul://{host}/in/"), "back"]);
    assert_eq!((code, lan.path("back/file").exists()), (Some(0), true), "{said}");
    // A port that is named is meant.
    let (code, said) = lan.run(&["put", "file", &format!("{host}:8080")]);
    assert!(code == Some(3) && said.contains(&format!("could not reach {host}:8080")), "{said}");
    let (code, said) = lan.run(&["put", "file", "nobody.local"]);
    assert!(
        code == Some(3) && said.contains("nobody in the local network has that name"),
        "{said}"
    );
}

#[test]
fn server_that_only_its_own_machine_reaches_is_not_discoverable() {
    for listen in ["127.0.0.1:0", "unix:socket"] {
        let place = TempDir::new().unwrap();
        let mut hauld = hauld_command();
        hauld.current_dir(&place).args(["--listen", listen, "--root", "root", "--discoverable"]);
        let output = output_of(&mut hauld);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("--discoverable tells other machines of this server"), "{told}");
    }
    // A variable of a user who has another server in mind.
    let mut hauld = hauld_command();
    hauld.env("HAULD_DISCOVERABLE", "no");
    let server = Hauld::start_in(TempDir::new().unwrap(), hauld, &[]).unwrap();
    assert!(Peer::hello(server.address()).is_ok());
}

#[test]
fn network_that_is_away_is_told_once_and_found_when_it_comes() {
    let Some(lan) = Lan::new() else { return };
    lan.network.cable(false).unwrap();
    let server = lan.start(&["--listen", EVERYWHERE, "--insecure", "--discoverable=Box"]).unwrap();
    let away = "no network has taken the announcement yet";
    eventually("it is told", || server.log_text().contains(away));
    lan.network.cable(true).unwrap();
    lan.find("Box").unwrap();
    lan.network.cable(false).unwrap();
    lan.network.cable(true).unwrap();
    lan.find("Box").unwrap();
    let log = server.log_text();
    assert_eq!(log.matches(away).count(), 1, "{log}");
    assert_eq!(log.matches("discoverable by multicast DNS").count(), 1, "{log}");
}

#[test]
fn name_changes_and_ends_on_hangup() {
    let Some(lan) = Lan::new() else { return };
    let file = lan.path("hauld.toml");
    fs::write(&file, "discoverable = \"One\"\ninsecure = true\n").unwrap();
    let avahi = Avahi::start(&lan.network, Machine::Client, "other").unwrap();
    let words = ["--listen", EVERYWHERE, "--config", file.to_str().unwrap()];
    let server = lan.start(&words).unwrap();
    eventually("the first name is seen", || avahi.has('=', "One"));
    fs::write(&file, "discoverable = \"Two\"\ninsecure = true\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("the second name is seen", || avahi.has('=', "Two") && avahi.has('-', "One"));
    fs::write(&file, "insecure = true\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("no name is seen", || avahi.has('-', "Two"));
    assert!(!server.log_text().contains("started again"), "{}", server.log_text());
}

#[test]
fn next_key_of_a_server_is_announced_once_it_is_taken() {
    let Some(lan) = Lan::new() else { return };
    lan.register().add("alice", &[]).unwrap();
    let _server = lan.start(&["--listen", EVERYWHERE, "--discoverable=Box"]).unwrap();
    let first = lan.find("Box").unwrap()["pin"].clone();
    for words in [["key", "next"], ["key", "switch"]] {
        let mut hauld = hauld_command();
        hauld.args(words).arg("--config-dir").arg(lan.path("config"));
        assert!(output_of(&mut hauld).status.success());
    }
    let second = json!(lan.register().pin().unwrap());
    assert_ne!(first, second);
    eventually("it is announced", || lan.find("Box").unwrap()["pin"] == second);
}

/// The process that reads what strangers send has nothing that they could take.
#[test]
fn process_that_answers_is_apart_from_the_server_and_its_end_is_told() {
    let Some(lan) = Lan::new() else { return };
    let server = lan.start(&["--listen", EVERYWHERE, "--insecure", "--discoverable=Box"]).unwrap();
    lan.find("Box").unwrap();
    let responder = lan.responder(&server).unwrap();
    let of = |name: &str| format!("/proc/{responder}/{name}");
    let files =
        fs::read_dir(of("fd")).unwrap().filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
    let root = lan.path("root").display().to_string();
    assert!(!files.iter().any(|file| file.contains(&root)), "{files:?}");
    let environment = fs::read(of("environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("HAULD"), "{environment:?}");
    let limits = fs::read_to_string(of("limits")).unwrap();
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(data.contains("134217728"), "{data}");

    let pid = Pid::from_raw(responder).unwrap();
    // A service manager and a terminal send these to all processes.
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal).unwrap();
    }
    lan.find("Box").unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let told = "the process that answers multicast DNS has ended";
    eventually("it is told", || server.log_text().contains(told));
    fs::write(lan.path("file"), "content").unwrap();
    let (code, said) = lan.run(&["put", "--insecure", "file", "10.21.0.1:9090"]);
    assert_eq!(code, Some(0), "{said}");
}
