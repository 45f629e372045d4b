//! The form of the server's log: lines of text, or of JSON.

use haul_protocol::is_plain;
use haul_tests::prelude::*;

/// A server that logs all that it can, in a form.
fn logging(form: &[&str], args: &[&str]) -> Hauld {
    let mut command = hauld_command();
    command.env("HAUL_LOG", "haul_server=debug,hauld=debug");
    Hauld::start_in(TempDir::new().unwrap(), command, &[form, args].concat()).unwrap()
}

const JSON: [&str; 2] = ["--log-format", "json"];

/// The lines of a log of JSON, each of which has the four fields and no others.
fn lines(text: &str) -> Vec<Value> {
    let line = |text: &str| {
        assert!(text.chars().all(is_plain), "{text:?}");
        let line: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text:?}"));
        let fields: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["fields", "level", "message", "time"], "{text}");
        assert!(line["fields"].is_object() && line["time"].as_str().unwrap().ends_with('Z'));
        let levels = ["error", "warn", "info", "debug"];
        assert!(levels.contains(&line["level"].as_str().unwrap()), "{text}");
        line
    };
    text.lines().map(line).collect()
}

/// The first line with this message.
fn told<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let line = lines.iter().find(|line| line["message"] == message);
    &line.unwrap_or_else(|| panic!("{message}: {lines:?}"))["fields"]
}

#[test]
fn every_line_is_an_object_and_words_of_peers_are_data_of_it() {
    let server = logging(&JSON, &["--max-file", "10MiB"]);
    let name = "a\n\u{1b}[2J\u{202e}\"}{";
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&classic(name, b"old")).unwrap();
    peer.stream.write_all(&classic("../up", b"old")).unwrap();
    drop(peer.end());
    let said = |what: &str| server.log_text().contains(&format!("\"message\":\"{what}\""));
    eventually("both are told", || said("stored") && said("refused a classic put"));
    let log = lines(&server.log_text());
    let root = server.root().to_str().unwrap();
    assert_eq!(told(&log, "serving")["root"], root);
    assert!(told(&log, "serving")["workers"].is_u64());
    assert_eq!(told(&log, "stored")["name"], name);
    let refused = log.iter().find(|line| line["message"] == "refused a classic put").unwrap();
    assert_eq!(refused["level"], "warn");
}

/// The paths that a confined server may reach besides its root.
#[test]
fn paths_of_a_line_are_a_list() {
    let place = TempDir::new().unwrap();
    let odd = place.path().join("odd \"\u{202e}");
    fs::create_dir(&odd).unwrap();
    let (audit, access) = (place.path().join("audit"), odd.join("access"));
    let args = ["--audit", audit.to_str().unwrap(), "--access-log", access.to_str().unwrap()];
    let server = logging(&JSON, &args);
    let log = lines(&server.log_text());
    // A kernel without Landlock confines nothing.
    let Some(line) = log.iter().find(|line| line["message"] == "confined to the root") else {
        return;
    };
    let also = line["fields"]["also"].as_array().unwrap_or_else(|| panic!("{line}"));
    for directory in [place.path(), &*odd] {
        assert!(also.iter().any(|path| path == directory.to_str().unwrap()), "{line}");
    }
}

/// Begins an upload of this name, `name` or `name_b64`, and breaks it off; the log tells its name.
fn interrupt(server: &Hauld, field: &str, name: &str) {
    let large = Large::new(1);
    let mut open = json!({
        "cmd": "open", "id": 1, "filesize": large.bytes.len(), "fingerprint": large.fingerprint,
    });
    open[format!("file{field}")] = json!(name);
    let mut peer = server.peer();
    let answer = peer.ask(&open, b"").unwrap();
    assert_eq!(answer["answer"], 1, "{answer}");
    drop(peer);
    let told = || server.log_text().contains("an upload is interrupted");
    eventually("the upload is interrupted", told);
}

#[test]
fn name_that_is_no_text_comes_in_base64() {
    for (field, other, name) in [("name", "name_b64", "photo"), ("name_b64", "name", "YS//Yg==")] {
        let server = logging(&JSON, &[]);
        interrupt(&server, field, name);
        let log = lines(&server.log_text());
        let fields = told(&log, "an upload is interrupted");
        assert_eq!((&fields[field], fields.get(other)), (&json!(name), None), "{fields}");
    }
    // A log of text shows what it can.
    let server = logging(&["--log-format", "text"], &[]);
    interrupt(&server, "name_b64", "YS//Yg==");
    let log = server.log_text();
    assert!(log.contains("an upload is interrupted name=a/\u{fffd}b\n"), "{log}");
}

#[test]
fn lines_of_many_threads_are_whole() {
    let server = logging(&JSON, &["--workers", "8", "--durability", "none"]);
    let long = "n".repeat(200);
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let (address, long) = (server.address().to_owned(), long.clone());
            thread::spawn(move || {
                let mut peer = Peer::hello(&address).unwrap();
                for id in 1..=50 {
                    // Each is refused, which the log tells.
                    let name = format!("{client}/../{long}");
                    assert_eq!(peer.ask(&put(id, &name, b"x"), b"x").unwrap()["code"], "bad_name");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let refused = || server.log_text().matches("\"message\":\"refused\"").count();
    eventually("all are told", || refused() >= 16 * 50);
    assert!(lines(&server.log_text()).len() > 16 * 50);
}

#[test]
fn server_that_can_not_start_says_why_in_the_form_of_its_log() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let mut hauld = hauld_command();
    // Also if the log leaves everything out.
    hauld.env("HAULD_LOG_FORMAT", "json").env("HAUL_LOG", "off").arg("--root").arg(&file);
    let output = output_of(&mut hauld);
    assert_eq!(output.status.code(), Some(2));
    let log = lines(&String::from_utf8(output.stderr).unwrap());
    let [line] = &log[..] else { panic!("{log:?}") };
    assert_eq!(line["level"], "error");
    assert!(line["message"].as_str().unwrap().contains(file.to_str().unwrap()), "{line}");
    // A command talks to a person all the same.
    let mut hauld = hauld_command();
    hauld.env("HAULD_LOG_FORMAT", "json").args(["config", "check", "/there/is/none"]);
    let output = output_of(&mut hauld);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("hauld: /there/is/none: "), "{told}");
}
