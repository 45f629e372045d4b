//! haul over a real sshd.

use haul_tests::prelude::*;
use haul_tests::sshd::Sshd;

/// A tree with entries of every kind that haul carries.
fn write_tree(root: &Path) {
    for index in 0..200 {
        let directory = root.join(format!("d{}/e{}", index % 7, index % 3));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("f {index} ä")), format!("{index}").repeat(index))
            .unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("large"), vec![42; 5_000_000]).unwrap();
    fs::write(root.join("run.sh"), "#!/bin/sh\n").unwrap();
    set_mode(root.join("run.sh"), 0o755);
    symlink("large", root.join("link")).unwrap();
}

/// The path at the other machine, for haul.
fn at(sshd: &Sshd, name: &str) -> String {
    format!("box:{}", sshd.there().join(name).display())
}

#[test]
fn put_sync_get_and_publish_of_a_tree_are_equal() {
    let sshd = Sshd::start();
    let source = sshd.here().join("s");
    write_tree(&source);
    let _ = sshd.haul(&["put", "s", &at(&sshd, "put here")]).assert().success();
    tree::compare(&source, &sshd.there().join("put here/s")).unwrap();
    let _ = sshd.haul(&["sync", "s", &at(&sshd, "sync")]).assert().success();
    tree::compare(&source, &sshd.there().join("sync/s")).unwrap();
    let _ = sshd.haul(&["verify", "s", &at(&sshd, "sync")]).assert().success();
    let _ = sshd.haul(&["get", &at(&sshd, "sync/s"), "got"]).assert().success();
    tree::compare(&source, &sshd.here().join("got/s")).unwrap();
    let _ = sshd.haul(&["publish", "s", &at(&sshd, "www/site")]).assert().success();
    tree::compare_bytes(&source, &sshd.there().join("www/site")).unwrap();
}

/// A process that haul has started.
fn child_of(client: &Child) -> Option<rustix::process::Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", client.id())).ok()?;
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let all: String = tasks.flatten().filter_map(children).collect();
    let first = all.split_whitespace().next()?.parse().ok()?;
    rustix::process::Pid::from_raw(first)
}

#[test]
fn ssh_that_is_killed_at_half_of_a_large_file_is_told_and_the_next_run_goes_on() {
    let sshd = Sshd::start();
    let bytes: Vec<u8> = (0..40_000_000_u32).map(|index| (index / 1013).to_le_bytes()[0]).collect();
    fs::write(sshd.here().join("s/large"), &bytes).unwrap();
    let to = at(&sshd, "in");
    let words = ["put", "s", &to, "--limit-rate", "8MB"];
    let client = sshd.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let client = client.unwrap();
    let parts = sshd.there().join("in/.haul");
    eventually("half of it is there", || tree::disk_size(&parts) > 15_000_000);
    rustix::process::kill_process(child_of(&client).unwrap(), Signal::KILL).unwrap();
    let output = ended(client);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the connection to box broke: ssh was killed by signal 9"), "{told}");
    assert!(!told.contains("reconnecting"), "it connects no second time by itself: {told}");
    assert!(
        told.contains("run the same command again, it goes on where this one stopped"),
        "{told}"
    );
    let again = sshd.haul(&["put", "s", &to, "--json"]).assert().success();
    let summary = last(&again.get_output().stdout);
    assert!(summary["bytes_sent"].as_u64().unwrap() < 30_000_000, "{summary}");
    assert_eq!(fs::read(sshd.there().join("in/s/large")).unwrap(), bytes);
}

#[test]
fn forced_command_keeps_the_client_in_its_root() {
    let hauld = binaries::get().hauld.display();
    let up = place::in_memory().unwrap();
    let key =
        format!("command=\"{hauld} --stdio --root {}\",restrict ", up.path().join("up").display());
    fs::create_dir(up.path().join("up")).unwrap();
    fs::write(up.path().join("secret"), "secret").unwrap();
    symlink("..", up.path().join("up/out")).unwrap();
    let sshd = Sshd::with(&key, "");
    write_tree(&sshd.here().join("s"));
    for (to, there) in [("box:in", "in/s"), ("box:/abs/x", "abs/x/s"), ("box:~/home", "home/s")] {
        let _ = sshd.haul(&["put", "s", to]).assert().success();
        tree::compare(&sshd.here().join("s"), &up.path().join("up").join(there)).unwrap();
    }
    let root = format!("box:{}", up.path().join("up").display());
    let _ = sshd.haul(&["put", "s/run.sh", &root]).assert().success();
    assert!(up.path().join("up/run.sh").exists(), "the very root may be named");
    for words in [
        &["put", "s", "box:../out"][..],
        &["put", "s", "box:in/../../out"],
        &["put", "s", "box:out/x"],
        &["get", "box:out/secret", "got"],
        &["get", "box:../secret", "got"],
        &["cat", "box:/etc/hostname"],
        &["rm", "box:out/secret"],
        &["ls", "box:.."],
    ] {
        let _ = sshd.haul(words).assert().code(1).stdout(contains("secret").not());
    }
    let _ = sshd.haul(&["ls", "box:in"]).assert().success().stdout("s/\n");
    let mut left: Vec<_> =
        fs::read_dir(up.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["secret", "up"]);
}

#[test]
fn every_remote_shell_starts_hauld_in_any_directory() {
    for shell in ["bash", "dash", "fish", "tcsh"] {
        let sshd =
            Sshd::with("", &format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\""));
        fs::write(sshd.here().join("s/f"), shell).unwrap();
        for name in ["plain", "a b", "$HOME `x` 'y' \"z\" !! {a,b} *~"] {
            let _ = sshd.haul(&["put", "s/f", &at(&sshd, name)]).assert().success();
            assert_eq!(fs::read_to_string(sshd.there().join(name).join("f")).unwrap(), shell);
        }
        let mut missing = haul();
        missing.args([
            "put",
            "s/f",
            &at(&sshd, "x"),
            "--hauld",
            "no-such-hauld",
            "--ssh",
            &sshd.ssh(),
        ]);
        let assert = missing.current_dir(sshd.here()).assert().code(3);
        let _ = assert.stderr(contains("there is no `no-such-hauld` at box"));
    }
}

#[test]
fn refused_login_and_unknown_host_are_told_by_ssh_and_haul_adds_a_line() {
    let sshd = Sshd::start();
    fs::write(sshd.here().join("authorized_keys"), "").unwrap();
    let assert = sshd.haul(&["ls", &at(&sshd, "")]).assert().code(3);
    let told = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(told.matches("Permission denied").count(), 1, "{told}");
    assert!(told.contains("haul: ssh could not connect to box"), "{told}");
    fs::write(sshd.here().join("known_hosts"), "").unwrap();
    let assert = sshd.haul(&["ls", &at(&sshd, "")]).assert().code(3);
    let told = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(told.contains("Host key verification failed"), "{told}");
}
