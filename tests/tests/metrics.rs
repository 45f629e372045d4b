//! Metrics, health and readiness over HTTP, as an operator's programs ask for them.

use std::collections::{BTreeMap, BTreeSet};

use haul_tests::http::{HttpPeer, Reply, ask};
use haul_tests::prelude::*;

use crate::tls_peer::TlsPeer;

/// A server that tells metrics, and the address at which it does.
fn watched(args: &[&str]) -> (Hauld, String) {
    let server = server_with(&[&["--metrics", "127.0.0.1:0"], args].concat());
    let address = metrics_address(&server);
    (server, address)
}

fn metrics_address(server: &Hauld) -> String {
    let log = server.log_text();
    let line = log.lines().find(|line| line.contains("tells metrics")).expect(&log);
    line.rsplit_once("address=").expect("the line has the address").1.trim().to_owned()
}

/// All samples by name and labels.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let reply = ask(address, "GET /metrics", "", b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

/// The names of all families, and the kind of each.
fn families(address: &str) -> BTreeMap<String, String> {
    let text = ask(address, "GET /metrics", "", b"").text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

/// Waits until a sample has this value.
#[track_caller]
fn becomes(address: &str, sample: &str, value: f64) {
    eventually(sample, || {
        let found = scrape(address);
        *found.get(sample).unwrap_or_else(|| panic!("{sample} is not told: {found:?}")) >= value
    });
    assert!((scrape(address)[sample] - value).abs() < 0.5, "{sample}: {:?}", scrape(address));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn every_metric_is_in_the_document_with_its_kind_and_no_other_is() {
    let (_server, address) = watched(&[]);
    let document = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let table = document.split("| metric | kind | labels | meaning |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: BTreeMap<String, String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert!(cells[3].len() > 5, "{row}");
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect();
    assert_eq!(families(&address), told);
}

/// The labels of each metric in the document are those that are told.
#[test]
fn labels_are_those_of_the_document() {
    let (_server, address) = watched(&[]);
    let document = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for (sample, _) in scrape(&address) {
        let (name, labels) = sample.split_once('{').unwrap_or((&sample, ""));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|name| families(&address).contains_key(*name)).unwrap_or(name);
        let row = document.lines().find(|line| line.starts_with(&format!("| `{family}` |")));
        let cell = row.unwrap_or_else(|| panic!("{family}")).split('|').nth(3).unwrap();
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
            let name = label.split('=').next().unwrap();
            (!name.is_empty() && name != "le").then(|| name.to_owned())
        });
        let told: BTreeSet<String> =
            cell.split(',').map(|label| label.trim().trim_matches('`').to_owned()).collect();
        let told: BTreeSet<String> = told.into_iter().filter(|label| !label.is_empty()).collect();
        assert_eq!(labels.collect::<BTreeSet<_>>(), told, "{sample}");
    }
}

/// All names in a text that could be metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let is_metric = |word: &&str| word.starts_with("hauld_") || word.starts_with("process_");
    words.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn metrics_of_dashboard_and_alerts_are_told() {
    let (_server, address) = watched(&[]);
    let families = families(&address);
    let is_told = |name: &String| {
        let of_histogram =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        families.contains_key(name)
            || of_histogram
                .is_some_and(|name| families.get(name).is_some_and(|kind| kind == "histogram"))
    };
    let read = |name: &str| fs::read_to_string(root().join("xtask/dist").join(name)).unwrap();
    let dashboard = read("hauld.dashboard.json");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("the dashboard is JSON");
    let exprs: Vec<String> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let shown = metrics_in(&exprs.join("\n"));
    for name in &shown {
        assert!(is_told(name), "the dashboard has {name}");
    }
    // A metric that nobody looks at is one too many, but for those that only an alert needs.
    let rules = read("hauld.rules.yml");
    let exprs: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr:")).collect();
    assert!(exprs.len() >= 8, "{rules}");
    for name in metrics_in(&exprs.join("\n")) {
        assert!(is_told(&name), "an alert has {name}");
    }
    for (alert, expr) in [("HauldNotReady", "hauld_ready"), ("HauldStuck", "hauld_threads_stuck")] {
        assert!(rules.contains(alert) && exprs.iter().any(|line| line.contains(expr)));
    }
    assert!(shown.len() > 20, "{shown:?}");
}

#[test]
fn clients_requests_changes_and_bytes_are_counted() {
    let (server, address) = watched(&[]);
    let before = scrape(&address);
    let is_zero = |sample: &str| assert!(before[sample].abs() < 0.5, "{sample}");
    is_zero("hauld_requests_total{op=\"put\"}");
    is_zero("hauld_changes_total{kind=\"file\",result=\"done\"}");
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"hello"), b"hello").unwrap()["ack"], 1);
    becomes(&address, "hauld_clients{dialect=\"haul\",tls=\"no\"}", 1.0);
    becomes(&address, "hauld_requests_total{op=\"put\"}", 1.0);
    becomes(&address, "hauld_changes_total{kind=\"file\",result=\"done\"}", 1.0);
    becomes(&address, "hauld_commit_group_changes_count", 1.0);
    // A new directory with two files, which appears as a whole.
    let mkdir = json!({"cmd": "mkdir", "id": 2, "filename": "d"});
    peer.send(&mkdir, b"").unwrap();
    peer.send(&put(3, "d/a", b"a"), b"a").unwrap();
    peer.send(&put(4, "d/b", b"b"), b"b").unwrap();
    becomes(&address, "hauld_changes_total{kind=\"file\",result=\"done\"}", 3.0);
    becomes(&address, "hauld_changes_total{kind=\"directory\",result=\"done\"}", 1.0);
    // A refusal, and a change that fails.
    let wrong = json!({"cmd": "remove", "id": 5, "filename": "d"});
    peer.send(&wrong, b"").unwrap();
    becomes(&address, "hauld_changes_total{kind=\"remove\",result=\"failed\"}", 1.0);
    eventually("it is refused", || {
        let found = scrape(&address);
        let refusals = found.iter().filter(|(name, _)| name.starts_with("hauld_refusals_total"));
        refusals.map(|(_, count)| count).sum::<f64>() > 0.5
    });
    let found = scrape(&address);
    assert!(found["hauld_received_bytes_total"] > 100.0 && found["hauld_sent_bytes_total"] > 100.0);
    assert!(
        found["process_resident_memory_bytes"] > 1e6 && found["process_cpu_seconds_total"] > 0.0
    );
    assert!(found["hauld_disk_free_bytes"] > 0.0 && found["hauld_connections_limit"] > 0.0);
    drop(peer);
    becomes(&address, "hauld_clients{dialect=\"haul\",tls=\"no\"}", 0.0);
    eventually("it has left", || {
        scrape(&address)["hauld_clients{dialect=\"haul\",tls=\"no\"}"] < 0.5
    });
    assert_eq!(ask(server.address(), "GET /x", "", b"").body, b"hello");
    becomes(&address, "hauld_http_requests_total{method=\"get\"}", 1.0);
    becomes(&address, "hauld_clients_total{dialect=\"http\",tls=\"no\"}", 1.0);
}

#[test]
fn clients_over_tls_and_of_the_classic_dialect_and_changes_without_flush_are_counted() {
    let (server, address) = watched(&["--durability", "none", "--tls", "always"]);
    let mut peer = TlsPeer::hello(server.address());
    peer.put(1, "a", b"hello");
    becomes(&address, "hauld_clients{dialect=\"haul\",tls=\"yes\"}", 1.0);
    becomes(&address, "hauld_changes_total{kind=\"file\",result=\"done\"}", 1.0);
    let (server, address) = watched(&["--durability", "none"]);
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    stream.write_all(&classic("c", b"classic")).unwrap();
    becomes(&address, "hauld_clients_total{dialect=\"classic\",tls=\"no\"}", 1.0);
    becomes(&address, "hauld_changes_total{kind=\"file\",result=\"done\"}", 1.0);
}

#[test]
fn logins_are_counted_and_no_label_comes_from_a_peer() {
    let accounts = Accounts::start_with(&["--metrics", "127.0.0.1:0"], &["alice-the-secret"]);
    let address = metrics_address(&accounts.server);
    let mut peer = accounts.peer("alice-the-secret");
    becomes(&address, "hauld_logins_total", 1.0);
    let mut hello = accounts.hello("alice-the-secret", "client");
    hello["token"] = json!(format!("haul_{}_{}", "a".repeat(8), "b".repeat(43)));
    let _ = accounts.greeted(&hello);
    becomes(&address, "hauld_logins_failed_total", 1.0);
    peer.send(&json!({"cmd": "none\"} 1\nfake", "id": 1}), b"").unwrap();
    becomes(&address, "hauld_refusals_total{code=\"unknown_command\"}", 1.0);
    let text = ask(&address, "GET /metrics", "", b"").text();
    assert!(!text.contains("secret") && !text.contains("fake"), "{text}");
}

#[test]
fn large_file_under_way_is_counted() {
    let (server, address) = watched(&[]);
    let upload = Upload::open(&server, &Large::new(1)).unwrap();
    becomes(&address, "hauld_uploads", 1.0);
    drop(upload);
    eventually("it is interrupted", || scrape(&address)["hauld_uploads"] < 0.5);
}

#[test]
fn server_is_healthy_and_ready_until_it_stops() {
    let (mut server, address) = watched(&["--grace", "60s"]);
    for path in ["GET /health", "GET /ready"] {
        let reply = ask(&address, path, "", b"");
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok\n"), "{path}");
    }
    // A file whose bytes are on their way keeps the server from ending.
    let mut peer = server.peer();
    let header = put(1, "x", b"hello");
    peer.stream.write_all(&frame(&header, b"hello")[..20]).unwrap();
    eventually("it is heard", || {
        scrape(&address)["hauld_clients{dialect=\"haul\",tls=\"no\"}"] > 0.5
    });
    server.signal(Signal::TERM).unwrap();
    eventually("it is not ready", || ask(&address, "GET /ready", "", b"").status == 503);
    assert!(ask(&address, "GET /ready", "", b"").text().contains("the server is stopping"));
    assert_eq!(ask(&address, "GET /health", "", b"").status, 200);
    assert!((scrape(&address)["hauld_stopping"] - 1.0).abs() < 0.1);
    peer.stream.write_all(&frame(&header, b"hello")[20..]).unwrap();
    assert_eq!(peer.receive().unwrap().0["ack"], 1);
    drop(peer);
    assert!(server.wait().unwrap().success());
}

#[test]
fn server_without_its_root_or_without_room_is_not_ready() {
    let (server, address) = watched(&[]);
    let away = server.root().with_extension("away");
    fs::rename(server.root(), &away).unwrap();
    let ready = || ask(&address, "GET /ready", "", b"");
    eventually("it is missed", || ready().status == 503);
    assert!(ready().text().contains("the root is gone"), "{}", ready().text());
    assert_eq!(ask(&address, "GET /health", "", b"").status, 200);
    fs::rename(&away, server.root()).unwrap();
    eventually("it is back", || ready().status == 200);
    let (_server, address) = watched(&["--keep-free", "1TiB"]);
    let reply = ask(&address, "GET /ready", "", b"");
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("--keep-free"), "{}", reply.text());
}

#[test]
fn wrong_settings_are_told() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("hauld.toml");
    fs::write(&file, "").unwrap();
    let (server, address) = watched(&["--config", file.to_str().unwrap()]);
    becomes(&address, "hauld_config_last_reload_successful", 1.0);
    fs::write(&file, "wrong = 1\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    becomes(&address, "hauld_config_reloads_total{result=\"wrong\"}", 1.0);
    assert!(scrape(&address)["hauld_config_last_reload_successful"] < 0.5);
    fs::write(&file, "").unwrap();
    server.signal(Signal::HUP).unwrap();
    becomes(&address, "hauld_config_reloads_total{result=\"counts\"}", 1.0);
    becomes(&address, "hauld_config_last_reload_successful", 1.0);
}

#[test]
fn only_what_is_there_is_answered_and_nothing_can_be_changed() {
    let (_server, address) = watched(&[]);
    let mut peer = HttpPeer::connect(&address);
    assert_eq!(peer.get("GET /").status, 404);
    assert_eq!(peer.get("GET /metrics?x=1").status, 200);
    let head = peer.get("HEAD /metrics");
    assert!(head.field("Content-Type").contains("version=0.0.4"), "{}", head.head);
    peer.ask("POST /metrics", "Content-Length: 3\r\n", b"abc");
    let reply: Reply = peer.receive();
    assert_eq!((reply.status, reply.field("Allow")), (405, "GET, HEAD"));
    // Requests one behind the other are answered in their order.
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    peer.send([get("/metrics"), get("/none"), get("/health")].concat());
    let statuses: Vec<u16> = (0..3).map(|_| peer.receive().status).collect();
    assert_eq!(statuses, [200, 404, 200]);
    peer.send("no request at all\r\n\r\n");
    assert_eq!(peer.receive().status, 400);
    assert!(peer.rest().is_empty());
    // The address of the server itself has no metrics.
    assert_eq!(ask(_server.address(), "GET /metrics", "", b"").status, 404);
}

#[test]
fn peers_that_ask_for_nothing_keep_nobody_out_and_cost_no_thread() {
    let (server, address) = watched(&[]);
    let threads = server.status("Threads").unwrap();
    let mut silent: Vec<HttpPeer> = (0..100).map(|_| HttpPeer::connect(&address)).collect();
    for peer in &mut silent {
        // Some are gone already: the write may fail.
        let _ = peer.stream().try_clone().unwrap().write_all(b"GET /metr");
    }
    for _ in 0..20 {
        assert_eq!(ask(&address, "GET /metrics", "", b"").status, 200);
    }
    assert_eq!(server.status("Threads").unwrap(), threads);
    // One whose body has no end is sent away.
    let mut endless = HttpPeer::connect(&address);
    let head = "GET /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n";
    endless.send(head);
    let mut stream = endless.stream().try_clone().unwrap();
    eventually("it is ended", || stream.write_all(&[0; 4096]).is_err());
    assert_eq!(ask(&address, "GET /health", "", b"").status, 200);
}

#[test]
fn scrape_is_as_long_with_many_connections() {
    let (server, address) = watched(&[]);
    let mut peer = HttpPeer::connect(&address);
    let mut lines = || {
        let answer = peer.get("GET /metrics");
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body).unwrap().lines().count()
    };
    let before = lines();
    let crowd: Vec<Peer> = (0..200).map(|_| Peer::connect(server.address()).unwrap()).collect();
    eventually("they are there", || scrape(&address)["hauld_connections"] > 199.5);
    assert_eq!(lines(), before);
    drop(crowd);
}

#[test]
fn address_that_others_reach_is_warned_of_and_a_taken_one_is_an_error() {
    let server = server_with(&["--metrics", "0.0.0.0:0"]);
    let log = server.log_text();
    assert!(log.contains("everybody who reaches this address can read the metrics"), "{log}");
    let place = TempDir::new().unwrap();
    let mut hauld = hauld_command();
    hauld.arg("--root").arg(place.path()).args(["--listen", "127.0.0.1:0"]);
    let output = output_of(hauld.args(["--metrics", server.address()]));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("taken by another program"), "{told}");
}
