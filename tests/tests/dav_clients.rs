//! Clients of WebDAV that others have written: litmus, cadaver, rclone.

use haul_tests::prelude::*;

/// A client that keeps its settings in an empty directory.
fn client(name: &str, home: &Path) -> Command {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", name]).output().unwrap();
    assert!(found.status.success(), "{name} is needed for this test: apt-get install {name}");
    let mut command = Command::new(name);
    command.env("HOME", home).env("XDG_CONFIG_HOME", home).env("XDG_CACHE_HOME", home);
    command.env_remove("http_proxy").env("NO_PROXY", "*").stdin(Stdio::null()).current_dir(home);
    command
}

fn drive(server: &Hauld) -> String {
    format!("http://{}/.haul/dav/", server.address())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// All of its tests but those of locks, which are a formality here.
#[test]
fn litmus_passes() {
    for durability in ["none", "group"] {
        let (server, home) = (server_with(&["--durability", durability]), TempDir::new().unwrap());
        let mut litmus = client("litmus", home.path());
        litmus.env("TESTS", "basic copymove props http").args(["-k", &drive(&server)]);
        let output = litmus.output().unwrap();
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        for (suite, tests) in [("basic", 16), ("copymove", 13), ("props", 30), ("http", 4)] {
            let summary = format!("`{suite}': of {tests} tests run: {tests} passed, 0 failed");
            assert!(said.contains(&summary) && !said.contains("WARNING"), "{said}");
        }
        eventually("nothing is staged any more", || server.staged().unwrap().is_empty());
    }
}

/// All that cadaver says to its commands.
fn cadaver(server: &Hauld, home: &Path, commands: &str) -> String {
    let mut cadaver = client("cadaver", home)
        .arg(drive(server))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    cadaver.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    text(&cadaver.wait_with_output().unwrap())
}

#[test]
fn cadaver_puts_lists_moves_copies_and_removes() {
    let (server, home) = (server(), TempDir::new().unwrap());
    let bytes = vec![9; 300_000];
    fs::write(home.path().join("source"), &bytes).unwrap();
    let commands = "mkcol box\ncd box\nput source\nls\ncopy source two\nmove two three\nget three got\n\
                    propset three colour red\npropget three colour\ndelete source\nls\ncd ..\nquit\n";
    let said = cadaver(&server, home.path(), commands);
    assert!(!said.contains("failed") && !said.contains("error"), "{said}");
    assert!(said.contains("300000") && said.contains("red"), "{said}");
    assert!(fs::read(home.path().join("got")).unwrap() == bytes);
    assert!(fs::read(server.root().join("box/three")).unwrap() == bytes);
    assert_eq!(fs::read_dir(server.root().join("box")).unwrap().count(), 1);
    let said = cadaver(&server, home.path(), "rmcol box\nquit\n");
    assert!(!server.root().join("box").exists(), "{said}");
}

#[test]
fn rclone_syncs_there_and_back() {
    let accounts = Accounts::start(&["alice --rights put,replace,delete,list,get"]);
    let home = TempDir::new().unwrap();
    let at = |path: &str| home.path().join(path);
    fs::create_dir_all(at("source/d/e")).unwrap();
    fs::create_dir(at("source/empty")).unwrap();
    for number in 0..250 {
        fs::write(at("source/d").join(format!("f {number}")), number.to_string()).unwrap();
    }
    fs::write(at("source/d/e/ünï <b>&x"), vec![1; 300_000]).unwrap();
    let obscured =
        client("rclone", home.path()).args(["obscure", accounts.token("alice")]).output();
    let obscured = text(&obscured.unwrap());
    let url = drive(&accounts.server);
    let rclone = |words: &[&str]| {
        let mut rclone = client("rclone", home.path());
        rclone.env("RCLONE_CONFIG", "/dev/null").env("RCLONE_WEBDAV_URL", &url);
        rclone.env("RCLONE_WEBDAV_VENDOR", "owncloud").env("RCLONE_WEBDAV_USER", "alice");
        rclone.env("RCLONE_WEBDAV_PASS", obscured.trim());
        let output = rclone.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
    };
    let (empty, source) = ("--create-empty-src-dirs", at("source"));
    let source = source.to_str().unwrap();
    rclone(&["sync", source, ":webdav:x", empty]);
    tree::compare_bytes(&at("source"), &accounts.at("alice/x")).unwrap();
    rclone(&["check", source, ":webdav:x", "--download"]);
    // A copy and a rename that the server makes by itself.
    rclone(&["copy", ":webdav:x/d", ":webdav:y"]);
    rclone(&["move", ":webdav:y", ":webdav:z"]);
    tree::compare_bytes(&at("source/d"), &accounts.at("alice/z")).unwrap();
    fs::remove_file(at("source/d/f 7")).unwrap();
    fs::write(at("source/d/f 8"), "longer than before").unwrap();
    // Only its mtime tells that it is another one.
    fs::write(at("source/d/f 9"), "8").unwrap();
    set_mtime(at("source/d/f 9"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    rclone(&["sync", source, ":webdav:x", empty]);
    rclone(&["sync", ":webdav:x", at("back").to_str().unwrap(), empty]);
    tree::compare_bytes(&at("source"), &at("back")).unwrap();
    rclone(&["purge", ":webdav:x"]);
    assert!(!accounts.at("alice/x").exists() && accounts.at("alice/z/f 1").exists());
}
