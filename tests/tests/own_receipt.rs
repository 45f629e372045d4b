//! A receipt whose file is a part of the run itself.

use haul_protocol::Digest;
use haul_tests::prelude::*;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn receipt_in_a_source_is_complete_and_stays_and_is_not_sent() {
    let setting = Setting::start_with(&[]);
    let receipt = setting.source().join("r");
    let words: [&[&str]; 4] = [
        &["put", "s"],
        &["put", "--remove-source", "s"],
        &["sync", "--delete", "s"],
        &["sync", "s"],
    ];
    for words in words {
        setting.write("f", words[0]);
        // A file with nothing in it is as good as none.
        setting.write("r", "");
        let words = [words, &[setting.server.address(), "--receipt", "s/r"]].concat();
        setting.haul(&words).assert().success().stderr(contains("s/r: the receipt"));
        assert!(!setting.there("r"));
        let text = fs::read_to_string(&receipt).unwrap();
        assert!(text.ends_with("  s/f\n"), "{words:?}: {text}");
        fs::remove_file(&receipt).unwrap();
    }
    setting.write("f", "x");
    setting.write("r", "");
    let listed = ["put", "--files-from", "-", "--receipt", "s/r", "s", setting.server.address()];
    setting.haul(&listed).write_stdin("f\nr\n").assert().success();
    assert!(!setting.there("r") && fs::read_to_string(&receipt).unwrap().ends_with("  s/f\n"));
    let words = ["publish", "s", &setting.at("v"), "--receipt", "s/r"];
    for text in ["one", "another"] {
        setting.write("f", text);
        let _ = fs::remove_file(&receipt);
        setting.haul(&words).assert().success();
        assert!(fs::read_to_string(&receipt).unwrap().ends_with("  v/f\n"));
        assert!(!setting.server.root().join("v/r").exists());
    }
    // An earlier receipt may as well be a file of the user's, who has the same lines for other reasons.
    setting.haul(&words).assert().code(2).stderr(contains("it is a file in SRC"));
}

#[test]
fn receipt_that_the_run_needs_as_it_is_is_refused() {
    let setting = Setting::start();
    setting.write("f", "x");
    setting.write("rules", "*.o\n");
    setting.write(".haulignore", "*.o\n");
    fs::hard_link(setting.source().join("f"), setting.source().join("hard")).unwrap();
    symlink("f", setting.source().join("soft")).unwrap();
    setting.write("sub/r.json", "x");
    let sums = format!("{0}{0}  f\nnotes\n", "0123456789abcdef".repeat(2));
    setting.write("SHA256SUMS", &sums);
    let cases: [(&[&str], &str, &str); 9] = [
        (&["put", "s"], "s/sub/r.json", "a file in SRC"),
        (&["put", "s"], "s/SHA256SUMS", "a file in SRC"),
        (&["put", "s/f"], "s/f", "SRC"),
        (&["sync", "s/f"], "s/hard", "SRC"),
        (&["put", "s/rules", "s/f"], "s/soft", "SRC"),
        (&["put", "--exclude-from", "s/rules", "s"], "s/rules", "a file of rules"),
        (&["put", "--files-from", "s/rules", "s"], "s/rules", "the list of --files-from"),
        (&["put", "s"], "s/.haulignore", "a file of rules"),
        (&["put", "--links", "follow", "s/soft"], "s/f", "SRC"),
    ];
    for (words, receipt, told) in cases {
        let words = [words, &[setting.server.address(), "--receipt", receipt]].concat();
        setting.haul(&words).assert().code(2).stderr(contains(format!("it is {told}")));
        for (name, text) in
            [("f", "x"), ("sub/r.json", "x"), ("rules", "*.o\n"), (".haulignore", "*.o\n")]
        {
            assert_eq!(fs::read_to_string(setting.source().join(name)).unwrap(), text, "{words:?}");
        }
        assert_eq!(fs::read_to_string(setting.source().join("SHA256SUMS")).unwrap(), sums);
    }
}

#[test]
fn standard_input_is_no_receipt() {
    let setting = Setting::start();
    setting.write("a", "x");
    let file = setting.place.path().join("in");
    for words in [
        "put - $A --as x --receipt in",
        "put - $A --as x --receipt /dev/stdin",
        "put --files-from - --receipt in s $A",
        "put --exclude-from - --receipt in s $A",
    ] {
        fs::write(&file, "a\n").unwrap();
        let script = format!("\"$H\" {words} <in");
        setting.script(&script).assert().code(2).stderr(contains("it is standard input"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\n", "{words}");
    }
}

#[test]
fn command_reads_the_file_that_becomes_the_receipt() {
    let setting = Setting::start();
    setting
        .script("echo data >in; \"$H\" put --from-command 'cat in' $A --as x --receipt in")
        .assert()
        .success();
    assert_eq!(fs::read_to_string(setting.server.root().join("x")).unwrap(), "data\n");
    let text = fs::read_to_string(setting.place.path().join("in")).unwrap();
    assert_eq!(text, format!("{}  x\n", Digest::of(b"data\n")));
}

#[test]
fn file_that_a_source_leads_to_is_read_as_it_is_and_no_receipt_replaces_it() {
    for (makes, options) in [
        ("echo secret >r; ln -s ../r s/.haulignore", ""),
        ("echo secret >r; ln -s ../r s/.haulignore; echo secret >l; echo f >>l", "--files-from l"),
        ("echo x >r; ln -s ../r s/soft", "--links follow"),
        ("mkdir o; echo x >o/r; ln -s ../o s/soft; ln -s o/r r", "--links follow"),
    ] {
        let setting = Setting::start();
        setting.write("f", "x");
        setting.write("secret", "x");
        setting.script(makes).assert().success();
        let receipt = setting.place.path().join("r");
        let before = fs::read_to_string(&receipt).unwrap();
        setting.rests();
        let script = format!("\"$H\" put {options} --receipt r s $A");
        setting.script(&script).assert().code(1).stderr(contains("the receipt is not complete"));
        assert_eq!(fs::read_to_string(&receipt).unwrap(), before, "{makes}");
        assert!(setting.there("f"), "{makes}");
        let follows = options == "--links follow";
        assert_eq!([setting.there("secret"), setting.there("soft")], [follows; 2], "{makes}");
    }
}

#[test]
fn another_name_of_the_receipt_in_a_source_keeps_its_bytes() {
    for (name, secret) in [(".haulignore", false), ("other", true)] {
        let setting = Setting::start();
        setting.write(name, "secret\n");
        setting.write("secret", "x");
        let receipt = setting.place.path().join("r");
        fs::hard_link(setting.source().join(name), &receipt).unwrap();
        setting.rests();
        setting.script("\"$H\" put --receipt r s $A").assert().success();
        assert_eq!(fs::read_to_string(setting.source().join(name)).unwrap(), "secret\n");
        assert!(setting.there(name));
        assert_eq!(setting.there("secret"), secret);
        assert!(fs::read_to_string(&receipt).unwrap().contains(&format!("  s/{name}\n")));
    }
}

#[test]
fn receipt_takes_the_place_of_a_file_only_in_the_end() {
    use std::os::unix::fs::MetadataExt;
    let setting = Setting::start();
    setting.write("f", "x");
    let place = setting.place.path();
    let [receipt, link] = ["r", "l"].map(|name| place.join(name));
    fs::write(&receipt, "before").unwrap();
    fs::set_permissions(&receipt, fs::Permissions::from_mode(0o604)).unwrap();
    symlink("r", &link).unwrap();
    // No server is reached: there is nothing to write.
    setting.script("\"$H\" put --retries 0 --receipt l s 127.0.0.1:1").assert().code(3);
    assert_eq!(fs::read_to_string(&receipt).unwrap(), "before");
    let script = "\"$H\" put --from-command 'cat r' --as x --receipt l $A";
    setting.script(script).assert().success();
    assert_eq!(fs::read_to_string(setting.server.root().join("x")).unwrap(), "before");
    assert!(fs::read_to_string(&receipt).unwrap().ends_with("  x\n"));
    assert_eq!(receipt.metadata().unwrap().mode() & 0o777, 0o604);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    // A new one has the mode that any new file has, and a dangling symlink leads to it.
    fs::remove_file(&receipt).unwrap();
    setting.script("umask 027; \"$H\" put --receipt l s $A").assert().success();
    assert!(fs::read_to_string(&receipt).unwrap().ends_with("  s/f\n"));
    assert_eq!(receipt.metadata().unwrap().mode() & 0o777, 0o640);
    let mut names: Vec<_> =
        fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_string_lossy().starts_with('.'));
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn file_that_is_saved_under_the_name_of_the_receipt_while_haul_runs_stays() {
    let setting = Setting::start();
    setting.write("f", "x");
    let receipt = setting.place.path().join("r");
    let saves = "echo precious >r";
    // An editor replaces the file, and keeps neither its size nor its time.
    let edits = "echo precious >n; mv n r";
    for (before, saved) in [(None, saves), (Some(""), saves), (Some("before"), edits)] {
        match before {
            Some(before) => fs::write(&receipt, before).unwrap(),
            None => _ = fs::remove_file(&receipt),
        }
        let script =
            format!("\"$H\" put --from-command '{saved}; echo x' --as x --receipt r \"$A\"");
        let done = setting.script(&script).assert().code(1);
        done.stderr(contains("r: a file was saved there while haul ran, and stays as it is"));
        assert_eq!(fs::read_to_string(&receipt).unwrap(), "precious\n", "{before:?}");
        fs::remove_file(setting.server.root().join("x")).unwrap();
    }
    // A file that has gone is in nobody's way.
    let script = "\"$H\" put --from-command 'rm r; echo x' --as x --receipt r \"$A\"";
    setting.script(script).assert().success();
    assert!(fs::read_to_string(&receipt).unwrap().ends_with("  x\n"));
}

#[test]
fn receipt_where_no_file_can_be_made_is_written_into_the_file_that_is_there() {
    use haul_tests::user::User;
    let (user, setting) = (User::new().unwrap(), Setting::start());
    let [source, closed] = ["s", "closed"].map(|name| user.path().join(name));
    for (directory, file) in [(&source, "f"), (&closed, "r")] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join(file), "some text that was there before, and is longer than one line of a receipt; so its end would stay").unwrap();
        fs::set_permissions(directory.join(file), fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let receipt = closed.join("r");
    let mut command = user.command("haul");
    command.arg("put").arg(&source).arg(setting.server.address()).arg("--receipt").arg(&receipt);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = fs::read_to_string(&receipt).unwrap();
    assert!(text.ends_with("  s/f\n") && text.lines().count() == 1, "{text}");
}

#[test]
fn interrupted_run_leaves_the_lines_so_far() {
    for signal in [Signal::INT, Signal::HUP] {
        let setting = Setting::start();
        setting.write("a", "x");
        setting.write("b/large", &"0123456789abcdef".repeat(400_000));
        let receipt = setting.place.path().join("r");
        fs::write(&receipt, "before").unwrap();
        let mut command = haul_command();
        command
            .args(["put", "--json", "-v", "--limit-rate", "200kB"])
            .arg("--receipt")
            .arg(&receipt);
        command.arg(setting.source()).arg(setting.server.address());
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The receipt has the file's line once the server has acknowledged the file, not once it is there.
        let lines = BufReader::new(running.stdout.take().unwrap()).lines();
        let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let is_committed = |event: &Value| event["event"] == "committed" && event["name"] == "s/a";
        assert!(events.any(|event| is_committed(&event)));
        assert_eq!(fs::read_to_string(&receipt).unwrap(), "before");
        let pid = rustix::process::Pid::from_raw(running.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        events.for_each(drop);
        let output = running.wait_with_output().unwrap();
        assert!(!output.status.success(), "{}", told(&output));
        assert!(fs::read_to_string(&receipt).unwrap().ends_with("  s/a\n"), "{}", told(&output));
    }
}

#[test]
fn receipt_that_a_killed_run_has_not_put_in_its_place_is_never_sent() {
    let setting = Setting::start();
    setting.write("f", "x");
    setting.write("d/.haul-receipt-0123", "x");
    setting.command("put", &[]).assert().success().stderr(contains(".haul-receipt-0123: "));
    let mut command = setting.command("put", &["--files-from", "-"]);
    command.write_stdin("d/.haul-receipt-0123\n").assert().success();
    assert!(setting.there("f") && !setting.there("d/.haul-receipt-0123"));
}
