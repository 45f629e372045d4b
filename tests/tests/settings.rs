//! The file of settings: `hauld --config FILE`, its variables, `hauld config`, and reading it again.

use haul_tests::needed;
use haul_tests::prelude::*;

/// Writes a file of settings beside nothing else.
fn settings(text: &str) -> (TempDir, String) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("hauld.toml");
    fs::write(&path, text).unwrap();
    (place, path.to_str().unwrap().to_owned())
}

fn config(words: &[&str]) -> Output {
    let mut hauld = hauld_command();
    hauld.env_remove("HAULD_CONFIG_DIR").arg("config").args(words);
    output_of(&mut hauld)
}

#[test]
fn server_is_as_its_file_says_and_an_option_counts_before_it() {
    let (_place, file) = settings("max-file = \"10\"\nworkers = 3\n");
    let server = server_with(&["--config", &file, "--workers", "1"]);
    assert_eq!(refused(server.peer(), 1, 11), "too_large");
    assert_eq!(server.status("Threads").unwrap(), threads_with(1));
}

#[test]
fn size_without_a_unit_is_a_number_of_bytes_as_on_the_command_line_and_a_time_needs_one() {
    for value in ["10", "\"10\"", "1_0", "\"10B\""] {
        let (_place, file) = settings(&format!("max-file = {value}\n"));
        assert!(config(&["check", &file]).status.success(), "{value}");
        let server = server_with(&["--config", &file]);
        assert_eq!(refused(server.peer(), 1, 11), "too_large", "{value}");
        let mut peer = server.peer();
        assert_eq!(peer.ask(&put(1, "x", &[0; 10]), &[0; 10]).unwrap()["ack"], 1, "{value}");
    }
    for wrong in ["max-file = 10.5", "max-file = 0x10", "max-file = -1", "grace = 10"] {
        let (_place, file) = settings(wrong);
        let output = config(&["check", &file]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with(&format!("hauld: {file}:1: `")), "{told}");
    }
}

#[test]
fn variable_counts_before_the_file() {
    let (place, file) = settings("max-file = \"10\"\nno-sandbox = true\n");
    let mut command = hauld_command();
    command.env("HAULD_MAX_FILE", "20").env("HAULD_CONFIG", &file);
    command.env("HAULD_NO_SANDBOX", "no");
    let server = Hauld::start_in(place, command, &[]).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", &[0; 20]), &[0; 20]).unwrap()["ack"], 1);
    assert_eq!(refused(peer, 2, 21), "too_large");
    assert!(!server.log_text().contains("not confined"), "{}", server.log_text());
}

/// The code of the refusal of a file of so many bytes.
fn refused(mut peer: Peer, id: u64, size: usize) -> String {
    let body = vec![0; size];
    peer.ask(&put(id, "large", &body), &body).unwrap()["code"].as_str().unwrap().to_owned()
}

/// Threads of a server with so many workers.
fn threads_with(workers: u64) -> u64 {
    let server = server_with(&["--workers", "2"]);
    server.status("Threads").unwrap() - 2 + workers
}

#[test]
fn file_that_is_wrong_is_told_line_by_line_and_starts_nothing() {
    let (place, file) = settings("root = \"served\"\nworkrs = 3\nkeep-free = \"much\"\n");
    let mut hauld = hauld_command();
    let output = output_of(hauld.current_dir(&place).args(["--config", &file]));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    let expected = format!("hauld: {file}:2: `workrs` is no setting; did you mean `workers`?\n");
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.contains(&format!("hauld: {file}:3: `keep-free` can't be \"much\"")), "{told}");
    assert!(!place.path().join("served").exists());
    let output = output_of(hauld_command().args(["--config", "/there/is/none"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/there/is/none: No such file"));
    let fifo = place.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for path in [fifo.as_path(), Path::new("/dev/zero"), place.path()] {
        let output = output_of(hauld_command().arg("--config").arg(path));
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("not a regular file"), "{told}");
    }
}

/// Nobody ever writes to the FIFO: a server that opened it would wait for ever.
#[test]
fn fifo_where_accounts_or_a_certificate_should_be_starts_nothing_and_keeps_nobody_waiting() {
    let place = TempDir::new().unwrap();
    let (config, fifo) = (place.path().join("config"), place.path().join("fifo"));
    fs::create_dir(&config).unwrap();
    for path in [&config.join("users.toml"), &fifo] {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), 0).unwrap();
    }
    let (config, fifo) = (config.to_str().unwrap(), fifo.to_str().unwrap());
    for words in
        [vec!["--config-dir", config], vec!["--tls", "always", "--cert", fifo, "--key", fifo]]
    {
        let mut hauld = hauld_command();
        hauld.arg("--root").arg(place.path().join("root")).args(["--listen", "127.0.0.1:0"]);
        let output = output_of(hauld.args(&words));
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("not a regular file"), "{told}");
    }
}

#[test]
fn file_is_checked_and_shown_without_a_server() {
    let (_place, file) = settings("# ours\nroot = \"/srv/up\"\nlisten = [\"[::1]:1\"]\n");
    let output = config(&["check", &file]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{file}: 2 settings, all right\n")
    );
    assert!(output.status.success());
    let shown = String::from_utf8(config(&["show", &file]).stdout).unwrap();
    for (setting, from) in [
        ("root = \"/srv/up\" ", format!("# {file}:2")),
        ("listen = [\"[::1]:1\"] ", format!("# {file}:3")),
        ("max-file = \"1TiB\" ", String::from("# default")),
        ("# workers is not set", String::new()),
    ] {
        let is_shown = |line: &str| line.starts_with(setting) && line.ends_with(&from);
        assert!(shown.lines().any(is_shown), "{setting}: {shown}");
    }
    let (_place, half) = settings("cert = \"c\"");
    let output = config(&["check", &half]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`cert` needs `key`, too"));
    let (_place, wrong) = settings("durability = \"always\"");
    for command in ["check", "show"] {
        let output = config(&[command, &wrong]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains(":1: `durability` can't be \"always\": it is one of none, group"),
            "{told}"
        );
    }
}

/// The server is confined, and the file is replaced by rename: it may read the new one all the same.
#[test]
fn file_is_read_again_on_hangup_and_counts_as_a_whole_or_not_at_all() {
    let (place, file) = settings("max-file = \"10\"\nidle-timeout = \"1h\"\n");
    let server = server_with(&["--config", &file]);
    let mut peer = server.peer();
    let mut ask = |id: u64, size: usize| {
        let body = vec![0; size];
        peer.ask(&put(id, "x", &body), &body).unwrap()
    };
    assert_eq!(ask(1, 11)["code"], "too_large");
    let reload = |text: &str, said: &str| {
        let new = place.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
        let before = server.log_text().len();
        server.signal(Signal::HUP).unwrap();
        eventually("the file is read", || server.log_text()[before..].contains(said));
    };
    reload("max-file = \"20\"\n", "the settings were read again");
    assert_eq!(ask(2, 20)["ack"], 2);
    // One of them is wrong, so none counts.
    reload("max-file = \"30\"\nsymlinks = \"some\"\n", "the settings stay as they were");
    assert!(server.log_text().contains(":2: `symlinks` can't be"), "{}", server.log_text());
    assert_eq!(ask(3, 21)["code"], "too_large");
    reload(
        "max-file = \"40\"\nworkers = 9\nlisten = \"127.0.0.1:0\"\ninsecure = true\n",
        "settings=\"workers, insecure\"",
    );
    assert_eq!(ask(4, 40)["ack"], 4);
    fs::remove_file(&file).unwrap();
    let before = server.log_text().len();
    server.signal(Signal::HUP).unwrap();
    eventually("it is missed", || server.log_text()[before..].contains("stay as they were"));
    assert_eq!(ask(5, 40)["ack"], 5);
}

#[test]
fn space_that_stays_free_and_symlinks_that_are_stored_change_on_hangup() {
    let (_place, file) = settings("symlinks = \"none\"\n");
    let server = server_with(&["--config", &file]);
    let mut peer = server.peer();
    let link = |id| json!({"cmd": "symlink", "id": id, "filename": "l", "target": "x"});
    assert!(peer.ask(&link(1), b"").unwrap()["code"].is_string());
    fs::write(&file, "keep-free = \"1TiB\"\n").unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("it is read", || server.log_text().contains("the settings were read again"));
    assert_eq!(peer.ask(&put(2, "x", b"x"), b"x").unwrap()["code"], "no_space");
    fs::write(&file, "").unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("it is read", || server.log_text().matches("were read again").count() == 2);
    assert_eq!(peer.ask(&link(3), b"").unwrap()["ack"], 3);
}

/// The blocks of a document that begin so, and the file of the package with what it only suggests.
#[test]
fn files_of_settings_that_owners_copy_are_right() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |name: &str| fs::read_to_string(project.join(name)).unwrap();
    let operations = read("docs/operations.md");
    let blocks =
        operations.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut files: Vec<String> = blocks
        .filter(|block| block.starts_with("# /etc/hauld/hauld.toml\n"))
        .map(str::to_owned)
        .collect();
    assert!(files.len() > 1, "{files:?}");
    let is_setting = |line: &str| {
        line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).is_some_and(|(name, _)| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        })
    };
    let package = read("xtask/dist/hauld.toml");
    let suggested = package.lines().map(|line| if is_setting(line) { &line[2..] } else { line });
    let suggested: Vec<&str> = suggested.collect();
    for name in ["cert", "key", "http-host"] {
        assert!(suggested.iter().any(|line| line.starts_with(&format!("{name} = "))), "{name}");
    }
    files.push(suggested.join("\n"));
    for text in files {
        let (_place, file) = settings(&text);
        let output = config(&["check", &file]);
        assert!(output.status.success(), "{text}\n{output:?}");
    }
}

/// The directory of key and accounts that a user gets without a word about it: whoever runs hauld.
#[test]
fn configuration_is_in_the_state_directory_of_the_user() {
    let user = User::new().unwrap();
    let made = |variables: &[(&str, &str)], expected: Option<&str>| {
        let mut hauld = user.command("hauld");
        hauld.env_clear().arg("fingerprint");
        for (name, place) in variables {
            hauld.env(name, user.path().join(place));
        }
        let output = output_of(&mut hauld);
        let Some(expected) = expected else {
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            return;
        };
        assert!(output.status.success(), "{output:?}");
        let key = user.path().join(expected).join("key.pem");
        assert!(key.exists(), "{variables:?}: no {}", key.display());
        assert_eq!(mode(key.parent().unwrap()), 0o700);
    };
    for place in ["home", "state", "service", "own"] {
        fs::create_dir(user.path().join(place)).unwrap();
        user.own(&user.path().join(place)).unwrap();
    }
    made(&[("HOME", "home")], Some("home/.local/state/hauld"));
    made(&[("HOME", "home"), ("XDG_STATE_HOME", "state")], Some("state/hauld"));
    made(&[("HOME", "home"), ("STATE_DIRECTORY", "service/one:/x")], Some("service/one"));
    let variables = [("STATE_DIRECTORY", "service"), ("HAULD_CONFIG_DIR", "own/of hauld")];
    made(&variables, Some("own/of hauld"));
    // The home of somebody else, as after `su` without `-`.
    if needed::is_root() {
        let others = TempDir::new().unwrap();
        set_mode(others.path(), 0o777);
        made(&[("HOME", others.path().to_str().unwrap())], None);
        assert_eq!(fs::read_dir(others.path()).unwrap().count(), 0);
    }
}
