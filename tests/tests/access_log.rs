//! The access log: a line for each file that is stored or read.

use haul_tests::http::ask;
use haul_tests::prelude::*;

use super::tus;

/// The words for a server with an access log in a place.
fn access(place: &TempDir) -> (PathBuf, [String; 2]) {
    let path = place.path().join("access");
    let words = [String::from("--access-log"), path.to_str().unwrap().to_owned()];
    (path, words)
}

/// A server without accounts, and its access log.
fn accessed(args: &[&str]) -> (Hauld, TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let (path, words) = access(&place);
    let server = server_with(&[&[&*words[0], &*words[1]], args].concat());
    (server, place, path)
}

/// The lines so far, each in its words; the time and the seconds are looked at and left out.
fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let mut words: Vec<String> = line.splitn(10, ' ').map(String::from).collect();
        assert_eq!(words.len(), 10, "{line}");
        assert!(words[0].ends_with('Z') && words[7].parse::<f64>().unwrap() >= 0.0, "{line}");
        words.remove(7);
        words.remove(0);
        words
    };
    whole.lines().map(line).collect()
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

/// The line of a file, without the peer.
fn of_file<'a>(lines: &'a [Vec<String>], operation: &str, path: &str) -> Vec<&'a str> {
    let line = lines.iter().find(|line| line[3] == operation && line[7] == path);
    let line = line.unwrap_or_else(|| panic!("{operation} {path}: {lines:?}"));
    line.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, word)| word.as_str()).collect()
}

#[test]
fn every_file_that_is_stored_has_a_line_whichever_way_it_comes() {
    for durability in ["none", "group"] {
        let (server, place, path) = accessed(&["--durability", durability]);
        let large = vec![b'y'; 9 << 20];
        let source = place.path().join("s");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("large"), &large).unwrap();
        for at in 0..30 {
            fs::write(source.join(format!("{at} small")), vec![b'x'; at]).unwrap();
        }
        haul().arg("put").arg(&source).arg(server.address()).assert().success();
        let mut peer = Peer::connect(server.address()).unwrap();
        peer.stream.write_all(&classic("a\nb", b"old")).unwrap();
        drop(peer.end());
        let reply = ask(server.address(), "PUT /web.txt", "Content-Length: 3\r\n", b"web");
        assert_eq!(reply.status, 201);
        let copy = "Destination: /copied.txt\r\n";
        assert_eq!(ask(server.address(), "COPY /web.txt", copy, b"").status, 201);
        let at = tus::begin(&server, "resumable", 3);
        assert_eq!(tus::patch(&server, &at, 0, b"tus", "").status, 204);
        eventually("all have a line", || lines(&path).len() >= 35);
        let lines = lines(&path);
        assert_eq!(lines.len(), 35, "{lines:?}");
        let size = large.len().to_string();
        let expected = ["-", "haul", "put", "done", &size, &digest(&large), "s/large"];
        assert_eq!(of_file(&lines, "put", "s/large"), expected);
        let small = of_file(&lines, "put", "\"s/29 small\"");
        assert_eq!(small[..5], ["-", "haul", "put", "done", "29"]);
        let expected = ["-", "classic", "put", "done", "3", "-", "\"a\\u000ab\""];
        assert_eq!(of_file(&lines, "put", "\"a\\u000ab\""), expected);
        let expected = ["-", "http", "put", "done", "3", &digest(b"web"), "web.txt"];
        assert_eq!(of_file(&lines, "put", "web.txt"), expected);
        assert_eq!(of_file(&lines, "copy", "copied.txt")[1..5], ["http", "copy", "done", "3"]);
        let expected = ["-", "tus", "put", "done", "3", &digest(b"tus"), "resumable"];
        assert_eq!(of_file(&lines, "put", "resumable"), expected);
        assert!(lines.iter().all(|line| line[1].starts_with("127.0.0.1:")), "{lines:?}");
    }
}

#[test]
fn every_answer_with_bytes_of_a_file_has_a_line_and_a_refusal_has_none() {
    let (server, place, path) = accessed(&[]);
    let large = vec![b'y'; 9 << 20];
    fs::write(server.root().join("large"), &large).unwrap();
    fs::write(server.root().join("small"), "abc").unwrap();
    fs::write(server.root().join("empty"), "").unwrap();
    let address = server.address();
    haul().arg("get").arg(format!("{address}/large")).arg(place.path()).assert().success();
    haul().arg("get").arg(format!("{address}/small")).arg(place.path()).assert().success();
    assert_eq!(ask(address, "GET /small", "Range: bytes=1-\r\n", b"").body, b"bc");
    assert_eq!(ask(address, "GET /empty", "", b"").status, 200);
    assert_eq!(ask(address, "HEAD /small", "", b"").status, 200);
    assert_eq!(ask(address, "GET /none", "", b"").status, 404);
    let read = |operation: &str, dialect: &str, path_of: &str| {
        let lines = lines(&path);
        let is_it = |line: &&Vec<String>| {
            line[3] == operation && line[2] == dialect && line[7] == path_of && line[4] == "done"
        };
        let bytes = |line: &Vec<String>| line[5].parse::<usize>().unwrap();
        lines.iter().filter(is_it).map(bytes).sum::<usize>()
    };
    eventually("the parts are told", || read("get", "haul", "large") == large.len());
    eventually("the small file is told", || read("get", "haul", "small") == 3);
    eventually("the range is told", || read("get", "http", "small") == 2);
    eventually("the empty file is told", || lines(&path).iter().any(|line| line[7] == "empty"));
    let all = lines(&path);
    assert!(!all.iter().any(|line| line[7] == "none"), "{all:?}");
    assert_eq!(all.iter().filter(|line| line[7] == "small").count(), 2, "{all:?}");
}

#[test]
fn client_that_goes_before_the_end_of_a_file_has_read_the_bytes_that_went() {
    let (server, _place, path) = accessed(&[]);
    let file = File::create(server.root().join("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    let mut peer = std::net::TcpStream::connect(server.address()).unwrap();
    peer.write_all(b"GET /sparse HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    peer.read_exact(&mut [0; 100_000]).unwrap();
    drop(peer);
    eventually("the end is told", || !lines(&path).is_empty());
    let lines = lines(&path);
    let bytes: u64 = lines[0][5].parse().unwrap();
    assert_eq!((&*lines[0][3], &*lines[0][4], &*lines[0][7]), ("get", "cut", "sparse"));
    assert!((90_000..1 << 30).contains(&bytes), "{lines:?}");
}

#[test]
fn with_json_each_line_is_an_object_with_the_account_and_the_path_below_the_root() {
    let place = TempDir::new().unwrap();
    let (path, words) = access(&place);
    let words = [&*words[0], &*words[1], "--log-format", "json"];
    let accounts = Accounts::start_with(&words, &["alice --root a --rights mirror"]);
    let mut peer = accounts.peer("alice");
    let address = peer.stream.local_addr().unwrap().to_string();
    let mut request = put(1, "x", b"xyz");
    request.as_object_mut().unwrap().remove("filename");
    request["filename_b64"] = json!("ZC//Yg==");
    assert_eq!(peer.ask(&request, b"xyz").unwrap()["ack"], 1);
    eventually("it is told", || fs::read_to_string(&path).unwrap().ends_with('\n'));
    let line: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line["seconds"].is_f64(), "{line}");
    for (field, value) in [
        ("account", json!("alice")),
        ("peer", json!(address)),
        ("dialect", json!("haul")),
        ("operation", json!("put")),
        ("result", json!("done")),
        ("bytes", json!(3)),
        ("digest", json!(digest(b"xyz"))),
        ("path_b64", json!("YS9kL/9i")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert_eq!(line.as_object().unwrap().len(), 10, "{line}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn file_of_a_draft_is_told_as_one_that_is_not_seen_yet() {
    let (server, place, path) = accessed(&[]);
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("f"), "text").unwrap();
    let target = format!("{}/s", server.address());
    haul().arg("publish").arg(&source).arg(target).assert().success();
    eventually("it is told", || !lines(&path).is_empty());
    let lines = lines(&path);
    assert_eq!(of_file(&lines, "put", "s/f")[1..5], ["haul", "put", "draft", "4"]);
}

#[test]
fn hangup_opens_the_log_anew_in_the_sandbox_and_says_so() {
    let (server, place, path) = accessed(&["--durability", "none"]);
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    let old = place.path().join("access.1");
    fs::rename(&path, &old).unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("it says so", || server.log_text().contains("the access log was opened again"));
    assert_eq!(peer.ask(&put(2, "y", b"y"), b"y").unwrap()["ack"], 2);
    eventually("the new file has a line", || lines(&path).len() == 1);
    assert_eq!((&*lines(&old)[0][7], &*lines(&path)[0][7]), ("x", "y"));
    assert_eq!(lines(&old).len(), 1);
}

#[test]
fn log_whose_directory_is_away_is_told_once_and_counted_and_stops_no_transfer() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("logs");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("access");
    let words = ["--access-log", path.to_str().unwrap(), "--metrics", "127.0.0.1:0"];
    // The sandbox knows the directory that was there at the start, and no other.
    let server = server_with(&[&words[..], &["--no-sandbox"]].concat());
    let log = server.log_text();
    let metrics = log.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let metrics = metrics.unwrap().to_owned();
    let lost = || {
        let text = ask(&metrics, "GET /metrics", "", b"").text();
        let line = text.lines().find_map(|line| {
            line.strip_prefix("hauld_access_log_lost_lines_total ").map(str::to_owned)
        });
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(lost(), 0);
    fs::remove_dir_all(&directory).unwrap();
    let mut peer = server.peer();
    for id in 1..=3 {
        assert_eq!(peer.ask(&put(id, "x", b"x"), b"x").unwrap()["ack"], id);
        eventually("the line is counted", || lost() == id);
    }
    let told = |what: &str| server.log_text().matches(what).count();
    assert_eq!(told("the access log can't be written"), 1, "{}", server.log_text());
    fs::create_dir(&directory).unwrap();
    assert_eq!(peer.ask(&put(4, "y", b"y"), b"y").unwrap()["ack"], 4);
    eventually("the new file has a line", || lines(&path).len() == 1);
    eventually("that is told", || told("the access log is written again") == 1);
    assert_eq!((lost(), &*lines(&path)[0][7]), (3, "y"));
}

#[test]
fn log_below_the_root_or_in_the_file_of_the_audit_log_starts_nothing() {
    let place = TempDir::new().unwrap();
    let (root, log) = (place.path().join("root"), place.path().join("log"));
    let (root, log) = (root.to_str().unwrap(), log.to_str().unwrap());
    let inside = format!("{root}/log");
    for (words, said) in [
        (vec!["--access-log", &inside], "the access log"),
        (vec!["--access-log", "/dev/stdout"], "is no file"),
        (vec!["--access-log", log, "--audit", log], "is the audit log"),
    ] {
        let mut hauld = hauld_command();
        hauld.args(["--root", root, "--listen", "127.0.0.1:0"]).args(&words);
        let output = output_of(hauld.stdout(Stdio::piped()));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(said), "{told}");
    }
}
