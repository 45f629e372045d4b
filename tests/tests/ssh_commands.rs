//! Every command over ssh, by a stand-in that starts the real `hauld --stdio`.

use haul_tests::over_ssh::OverSsh;
use haul_tests::prelude::*;
use haul_tests::screen::{Person, is_spinner};

/// A small tree in `s`.
fn tree_in(machine: &OverSsh) {
    machine.write("a.txt", "a");
    machine.write("d/b.txt", "bb");
    machine.write("d/empty/.keep", "");
    machine.write("larger", vec![7; 300_000]);
    symlink("a.txt", machine.here().join("s/link")).unwrap();
}

/// Only the entries that were sent are there: nothing of hauld's own.
#[track_caller]
fn equal(machine: &OverSsh, name: &str) {
    tree::compare(&machine.here().join("s"), &machine.home().join(name)).unwrap();
}

#[test]
fn put_makes_a_directory_the_root_and_leaves_nothing_else() {
    let machine = OverSsh::new();
    tree_in(&machine);
    for (destination, at) in [
        ("box:", "s"),
        ("me@box:in/deep", "in/deep/s"),
        ("box:~/tilde/", "tilde/s"),
        ("ssh://me@box:22/~/uri%20x", "uri x/s"),
        ("box:it's $HOME; \"*\"", "it's $HOME; \"*\"/s"),
        ("box:./99", "99/s"),
    ] {
        let _ = machine.haul(&["put", "s", destination]).assert().success();
        equal(&machine, at);
    }
    let absolute = machine.here().join("absolute");
    let destination = format!("box:{}", absolute.display());
    let _ = machine.haul(&["put", "s/", &destination]).assert().success();
    assert!(absolute.join("a.txt").exists());
    let left = walk(machine.here());
    assert!(!left.iter().any(|name| name.contains(".haul")), "{left:?}");
    assert_eq!(machine.words().len(), 7, "one ssh for each command");
    let words = &machine.words()[3];
    assert!(words.starts_with("-p 22 me@box ") && words.ends_with(" --stdio"), "{words}");
    assert!(machine.words()[1].ends_with(" --stdio --root in/deep"), "{:?}", machine.words());
}

/// All names below a directory.
fn walk(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

/// The server has the digest of the file, which it sends from the disk over other transports: it can't go on then, and no
/// connection is made again over ssh.
#[test]
fn file_that_becomes_shorter_while_it_is_read_ends_no_run() {
    const MIB: usize = 1 << 20;
    let machine = OverSsh::new();
    machine.write("large", vec![7; 24 * MIB]);
    for name in 0..5 {
        machine.write(&format!("small-{name}"), "small");
    }
    set_mtime(
        machine.here().join("s/large"),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
    );
    let _ = machine.haul(&["put", "s", "box:"]).assert().success();
    let mut command = machine.command(&["get", "--limit-rate", "4MiB", "box:s", "back"]);
    let client = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let place = machine.here().join("back/s");
    eventually("a part is there", || {
        let entries = fs::read_dir(&place).into_iter().flatten().flatten();
        let blocks = |entry: fs::DirEntry| entry.metadata().map_or(0, |found| found.blocks());
        entries.map(blocks).max().unwrap_or(0) * 512 >= MIB as u64
    });
    let large = File::options().write(true).open(machine.home().join("s/large")).unwrap();
    large.set_len(3 * MIB as u64).unwrap();
    let output = ended(client);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tree::compare_bytes(&machine.home().join("s"), &place).unwrap();
}

#[test]
fn sync_goes_both_ways_and_verify_compares() {
    let machine = OverSsh::new();
    tree_in(&machine);
    let _ = machine.haul(&["sync", "s/", "box:copy"]).assert().success();
    tree::compare_bytes(&machine.here().join("s"), &machine.home().join("copy")).unwrap();
    fs::write(machine.home().join("copy/more"), "more").unwrap();
    let assert = machine.haul(&["verify", "s/", "box:copy"]).assert().code(1);
    let _ = assert.stdout(contains("extra more"));
    let _ = machine.haul(&["sync", "-n", "--delete", "s/", "box:copy"]).assert().success();
    assert!(machine.home().join("copy/more").exists());
    let _ = machine.haul(&["sync", "--delete", "s/", "box:copy"]).assert().success();
    assert!(!machine.home().join("copy/more").exists());
    let _ = machine.haul(&["verify", "s/", "box:copy"]).assert().success();
    let _ = machine.haul(&["sync", "box:copy/", "back"]).assert().success();
    tree::compare_bytes(&machine.here().join("s"), &machine.here().join("back")).unwrap();
}

#[test]
fn get_and_cat_bring_entries_and_contents() {
    let machine = OverSsh::new();
    tree_in(&machine);
    let _ = machine.haul(&["put", "s", "box:x/y"]).assert().success();
    let _ = machine.haul(&["get", "box:x/y/s", "one"]).assert().success();
    tree::compare(&machine.here().join("s"), &machine.here().join("one/s")).unwrap();
    let _ = machine.haul(&["get", "box:x/y/s/", "two"]).assert().success();
    tree::compare_bytes(&machine.here().join("s"), &machine.here().join("two")).unwrap();
    let several = ["get", "box:x/y/s/a.txt", "ssh://box/~/x/y/s/d", "three"];
    let _ = machine.haul(&["get", "box:x/y/s/a.txt", "box:x/y/s/d", "three"]).assert().success();
    assert!(machine.here().join("three/d/b.txt").exists());
    assert!(machine.here().join("three/a.txt").exists());
    let _ = machine.haul(&several).assert().success();
    let before = machine.words().len();
    let cat = machine.haul(&["cat", "box:x/y/s/d/b.txt", "box:x/y/s/a.txt"]).assert().success();
    let _ = cat.stdout("bba");
    assert_eq!(machine.words().len(), before + 1, "one ssh for all");
    assert!(machine.words()[before].ends_with(" --root x/y/s"), "{:?}", machine.words());
}

#[test]
fn ls_mkdir_mv_and_rm_change_entries_below_the_directory_above() {
    let machine = OverSsh::new();
    let _ = machine.haul(&["mkdir", "box:a/b/c", "box:a/e"]).assert().success();
    assert!(machine.home().join("a/b/c").is_dir() && machine.home().join("a/e").is_dir());
    fs::write(machine.home().join("a/b/f"), "x").unwrap();
    let _ = machine.haul(&["ls", "box:a"]).assert().success().stdout("b/\ne/\n");
    let _ = machine.haul(&["ls", "-R", "box:a"]).assert().success().stdout(contains("b/f\n"));
    let _ = machine.haul(&["mv", "box:a/b/f", "box:a/e/g"]).assert().success();
    assert!(machine.home().join("a/e/g").exists());
    let _ = machine.haul(&["mv", "box:a/e/g", "other:a/e/h"]).assert().code(2);
    let _ = machine.haul(&["rm", "box:a/e/g"]).assert().success();
    let _ = machine.haul(&["rm", "box:a/e/g"]).assert().code(1);
    let _ = machine.haul(&["rm", "-f", "box:nowhere/g"]).assert().success();
    let _ =
        machine.haul(&["rm", "box:nowhere/g"]).assert().code(1).stderr(contains("no directory"));
    let _ = machine.haul(&["rm", "-r", "box:a/b", "box:a/e"]).assert().success();
    let _ = machine.haul(&["ls", "box:a"]).assert().success().stdout("");
    let _ = machine.haul(&["ls", "box:nowhere"]).assert().code(1).stderr(contains("no directory"));
    assert!(!machine.home().join("nowhere").exists(), "reading makes nothing");
}

#[test]
fn publish_puts_the_next_version_beside_the_present_one() {
    let machine = OverSsh::new();
    tree_in(&machine);
    let _ = machine.haul(&["publish", "s", "box:www/site"]).assert().success();
    tree::compare_bytes(&machine.here().join("s"), &machine.home().join("www/site")).unwrap();
    machine.write("a.txt", "second");
    let _ = machine.haul(&["publish", "s", "box:www/site"]).assert().success();
    assert_eq!(fs::read(machine.home().join("www/site/a.txt")).unwrap(), b"second");
    let _ = machine.haul(&["publish", "--rollback", "box:www/site"]).assert().success();
    assert_eq!(fs::read(machine.home().join("www/site/a.txt")).unwrap(), b"a");
}

#[test]
fn noise_before_the_answer_does_no_harm() {
    let machine = OverSsh::with(
        "echo; printf 'Welcome to box\\r\\n'; printf 'no end of line'; exec sh -c \"$*\"",
    );
    tree_in(&machine);
    let assert = machine.haul(&["put", "s", "box:in"]).assert().success();
    let _ = assert.stderr(contains("Welcome").not());
    equal(&machine, "in/s");
}

#[test]
fn verbose_tells_the_command_and_the_remote() {
    let machine = OverSsh::new();
    tree_in(&machine);
    let assert = machine.haul(&["put", "-v", "s", "me@box:in"]).assert().success();
    let told = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let first = told.lines().next().unwrap();
    assert!(first.contains("me@box ") && first.contains(" --stdio --root in`: hauld 0."), "{told}");
    assert!(first.contains(&format!("root {}", machine.home().join("in").display())), "{told}");
    let assert = machine.haul(&["put", "s", "me@box:in"]).assert().success();
    let _ = assert.stderr(contains("--stdio").not());
}

#[test]
fn standard_input_is_sent_and_belongs_to_haul_alone() {
    let machine = OverSsh::new();
    let mut put = machine.haul(&["put", "-", "box:in", "--as", "n"]);
    let _ = put.write_stdin("from here").assert().success();
    assert_eq!(fs::read(machine.home().join("in/n")).unwrap(), b"from here");
    let mut shell = machine.haul(&["shell", "box:in"]);
    let _ = shell.write_stdin("ls\nmkdir d\nls\n").assert().success().stdout("n\nd/\nn\n");
}

#[test]
fn no_token_goes_over_ssh() {
    // What haul sends is kept.
    let machine = OverSsh::with("tee -a ../sent | sh -c \"$*\"");
    tree_in(&machine);
    let token = "haul_tqeetzcd_CBGnjggTtpNtCBGnjggTtpNtCBGnjggTtpNtCBGnjggTtpN";
    let mut put = machine.haul(&["put", "s", "box:in"]);
    let _ = put.env("HAUL_TOKEN", token).assert().success();
    let sent = fs::read(machine.here().join("sent")).unwrap();
    assert!(sent.windows(5).any(|window| window == b"hello"));
    assert!(!sent.windows(13).any(|window| window == &token.as_bytes()[..13]));
}

#[test]
fn interruption_in_the_middle_is_no_lost_connection() {
    let machine = OverSsh::new();
    machine.write("large", vec![1; 40_000_000]);
    let words = ["put", "s", "box:in", "--limit-rate", "8MB"];
    let mut command = machine.command(&words);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("parts are there", || tree::disk_size(&machine.home().join("in/.haul")) > 5_000_000);
    let pid = rustix::process::Pid::from_raw(machine.pid().unwrap()).unwrap();
    // The terminal signals both.
    signal(&client, Signal::INT);
    let _ = rustix::process::kill_process(pid, Signal::INT);
    let output = ended(client);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("interrupted") && !told.contains("broke"), "{told}");
    assert!(rustix::process::test_kill_process(pid).is_err(), "ssh was left behind");
}

#[test]
fn name_of_an_entry_here_is_read_as_ssh_and_told() {
    let machine = OverSsh::with("exit 255");
    fs::create_dir(machine.here().join("a:b")).unwrap();
    let told = "if you mean the `a:b` on this machine, write ./a:b";
    let _ = machine.haul(&["sync", "a:b", "x"]).assert().code(3).stderr(contains(told));
    let _ = machine.haul(&["put", "s", "a:b"]).assert().code(3).stderr(contains(told));
    let _ = machine.haul(&["put", "./a:b", "c:d"]).assert().code(3).stderr(contains(told).not());
}

#[test]
fn ssh_asks_on_the_terminal_and_no_bar_moves_meanwhile() {
    // It asks for as long as the user wants, and takes the echo away.
    let machine = OverSsh::with(
        "stty -echo </dev/tty; printf 'Password: ' >/dev/tty; read word </dev/tty; stty echo </dev/tty; exec sh -c \"$*\"",
    );
    machine.write("large", vec![3; 3_000_000]);
    let mut environment = machine.environment();
    environment.push(("HAULD", binaries::get().hauld.to_str().unwrap().to_owned()));
    let environment: Vec<_> = environment.iter().map(|(key, value)| (*key, &**value)).collect();
    let mut person = Person::run("cd $PLACE && $H put s box:in --hauld $HAULD", &environment);
    let asked = Instant::now();
    eventually("ssh asks", || person.seen().contains("Password: "));
    eventually("a bar would have moved", || asked.elapsed() > Duration::from_millis(600));
    assert!(!person.seen().contains(is_spinner), "{}", person.seen());
    person.types("Password: ", "secret\n");
    let (code, seen) = person.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(seen.matches("Password: ").count(), 1, "{seen}");
    equal(&machine, "in/s");
}

#[test]
fn interruption_at_the_question_gives_the_terminal_back() {
    let machine =
        OverSsh::with("printf 'Password: ' >/dev/tty; read word </dev/tty; exec sh -c \"$*\"");
    let environment = machine.environment();
    let environment: Vec<_> = environment.iter().map(|(key, value)| (*key, &**value)).collect();
    let mut person = Person::run("cd $PLACE; $H ls box:in; echo ended with $?", &environment);
    person.types("Password: ", "\x03");
    let (code, seen) = person.ends();
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("haul: interrupted") && seen.contains("ended with 130"), "{seen}");
}

#[test]
fn cheapest_cipher_is_used_unless_somebody_has_chosen() {
    let usual = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com";
    for (chosen, expected) in [
        (usual, "-c aes128-gcm@openssh.com,chacha20-poly1305@openssh.com box "),
        ("aes256-ctr", "box "),
    ] {
        let machine = OverSsh::new();
        machine.write("f", "x");
        // Another process writes the program, so it can be run at once.
        let script = machine.here().join("script");
        let text = format!(
            "#!/bin/sh\ncase $* in '-F none -G box') echo ciphers {usual}; exit ;; '-G box') echo ciphers {chosen}; exit ;; \
             esac\nexec sh $PLACE/ssh \"$@\"\n"
        );
        fs::write(&script, text).unwrap();
        fs::create_dir(machine.here().join("bin")).unwrap();
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(&script).arg(machine.here().join("bin/ssh"));
        assert!(install.status().unwrap().success());
        let path =
            format!("{}:{}", machine.here().join("bin").display(), std::env::var("PATH").unwrap());
        let mut put = machine.haul(&["put", "s", "box:in"]);
        let _ = put.env("HAUL_SSH", "").env("PATH", path).assert().success();
        let has_aes = fs::read_to_string("/proc/cpuinfo").unwrap().contains(" aes ");
        let expected = if has_aes { expected } else { "box " };
        assert!(machine.words()[0].starts_with(expected), "{:?}", machine.words());
    }
}

#[test]
fn library_goes_over_ssh_as_well() {
    use haul_client::{Destination, Get, Runs, Server, Source, Transfer};
    let machine = OverSsh::new();
    tree_in(&machine);
    let place = machine.here().display();
    let runs = Runs::default().ssh(&format!("env PLACE={place} sh {place}/ssh")).unwrap();
    let runs = runs.hauld(binaries::get().hauld.to_str().unwrap()).unwrap();
    let destination: Destination = "me@box:a/b".parse().unwrap();
    let destination = destination.by(&runs);
    let Server::Ssh(ssh) = &destination.server else { panic!("{destination:?}") };
    assert_eq!((ssh.user.as_deref(), &*ssh.host), (Some("me"), "box"));
    let transfer = Transfer::builder(destination.clone()).put([machine.here().join("s")]);
    let report = transfer.build().unwrap().run(&mut ()).unwrap();
    assert_eq!(report.counts.failed, 0);
    equal(&machine, "a/b/s");
    let get = Get::builder([Source::from(destination)], machine.here().join("got"));
    let report = get.build().unwrap().run(&mut ()).unwrap();
    assert_eq!(report.counts.failed, 0);
    assert_eq!(fs::read(machine.here().join("got/b/s/d/b.txt")).unwrap(), b"bb");
    assert_eq!(machine.words().len(), 2);
}
