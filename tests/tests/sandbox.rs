//! The sandbox of hauld: every thread is in it, and all that hauld does works in it. What it keeps from the process itself is in
//! the tests of `server/src/process/tests.rs`.

use std::os::unix::process::ExitStatusExt;

use haul_tests::needed::is_here;
use haul_tests::prelude::*;
use haul_tests::threads;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};

/// Whether the kernel can do what hauld wants of it, for a test that can't do without.
fn has_landlock() -> bool {
    is_here(knows_landlock(), "Landlock")
}

fn knows_landlock() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules.handle_access(AccessFs::Refer).and_then(Ruleset::create).is_ok()
}

/// `NoNewPrivs` of each thread of a process that has not ended meanwhile. A thread that enters a domain of Landlock has it, and hands it down with the domain.
fn without_new_privileges(pid: u32) -> Vec<bool> {
    let states = threads::each(pid, "status");
    states.iter().map(|(_, status)| status.contains("NoNewPrivs:\t1")).collect()
}

/// Trap 30: the sandbox is on before the first thread starts.
#[test]
fn every_thread_is_confined_and_the_log_tells_it() {
    let may_gain = !without_new_privileges(std::process::id())[0];
    if !has_landlock() || !is_here(may_gain, "a process that may gain privileges") {
        return;
    }
    let server = server();
    let threads = without_new_privileges(server.pid());
    assert!(threads.len() > 6 && threads.iter().all(|confined| *confined), "{threads:?}");
    let said = server.log_text();
    assert_eq!(said.matches("confined to the root landlock=").count(), 1, "{said}");

    let server = server_with(&["--no-sandbox"]);
    let threads = without_new_privileges(server.pid());
    assert!(threads.len() > 6 && !threads.iter().any(|confined| *confined), "{threads:?}");
    let said = server.log_text();
    assert_eq!(said.matches("not confined: --no-sandbox was given").count(), 1, "{said}");
}

/// A draft keeps its directories open. If somebody moves them out of the root meanwhile, what goes into them would be outside.
#[test]
fn directory_that_is_moved_out_of_the_root_gets_nothing_more() {
    if !has_landlock() {
        return;
    }
    for (words, is_confined) in [(&["--durability", "none"][..], true), (&["--no-sandbox"], false)]
    {
        let server = server_with(words);
        let mut peer = Peer::connect(server.address()).unwrap();
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": peer.unique(), "slot": 0,
            "must": ["publish"], "filename": "site",
        });
        assert_eq!(peer.ask(&hello, b"").unwrap()["hello"], 1);
        assert_eq!(peer.ask(&put(1, "before", b"x"), b"x").unwrap()["ack"], 1);
        let (trees, away) =
            (server.root().join(".haul/trees"), server.root().with_extension("away"));
        let home = fs::read_dir(&trees).unwrap().next().unwrap().unwrap().path();
        fs::rename(home, &away).unwrap();
        let answer = peer.ask(&put(2, "after", b"x"), b"x").unwrap();
        let found = walkdir::WalkDir::new(&away).into_iter().map(|entry| entry.unwrap());
        let is_there = found.filter(|entry| entry.file_name() == "after").count() == 1;
        assert_eq!(is_there, !is_confined, "{answer}");
        if is_confined {
            refused(&answer, 2, "permission");
        }
    }
}

/// The root by a relative path that leads through a symlink, a socket beside it, and a log that the shell has opened.
#[test]
fn server_works_wherever_its_root_its_socket_and_its_log_are() {
    let (place, elsewhere) = (TempDir::new().unwrap(), place::in_memory().unwrap());
    fs::create_dir(elsewhere.path().join("root")).unwrap();
    symlink(elsewhere.path().join("root"), place.path().join("link")).unwrap();
    let mut hauld = Command::new("sh");
    hauld.args(["-c", "exec \"$HAULD\" \"$@\" 2>log", "sh"]).env("HAULD", &binaries::get().hauld);
    hauld.current_dir(place.path());
    let words = ["--listen", "127.0.0.1:0", "--listen", "unix:socket"];
    let mut server =
        Hauld::start_at(Path::new("link"), &place.path().join("other"), hauld, &words).unwrap();
    let socket = place.path().join("socket");
    let at = |path: &str| format!("{}/{path}", server.address());
    let source = TempDir::new().unwrap();
    for name in ["a", "d/b"] {
        let path = source.path().join("s").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    symlink("a", source.path().join("s/link")).unwrap();
    fs::write(source.path().join("s/large"), vec![7; 9_000_000]).unwrap();
    let run = |words: &[&str]| {
        haul().current_dir(source.path()).args(words).assert().success();
    };
    run(&["put", "s", server.address()]);
    run(&["put", "s/a", &format!("unix:{}:/by_socket", socket.display())]);
    run(&["publish", "s", &at("site")]);
    fs::write(source.path().join("s/a"), "other").unwrap();
    run(&["publish", "s", &at("site")]);
    run(&["publish", "--rollback", &at("site")]);
    run(&["mv", &at("s/d/b"), &at("new/b")]);
    run(&["mv", &at("s"), &at("new/s")]);
    run(&["rm", "-r", &at("new/s")]);
    let root = elsewhere.path().join("root");
    eventually("the trash is empty", || {
        fs::read_dir(root.join(".haul/trash")).unwrap().next().is_none()
    });
    assert_eq!(fs::read(root.join("new/b")).unwrap(), b"d/b");
    assert_eq!(fs::read(root.join("site/a")).unwrap(), b"a");
    assert_eq!(fs::read_link(root.join("site/link")).unwrap(), Path::new("a"));
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(!socket.exists());
    let said = fs::read_to_string(place.path().join("log")).unwrap();
    assert!(said.contains("stopping") && !said.contains("ermission"), "{said}");
}

#[test]
fn user_without_privileges_is_confined_as_well() {
    let user = User::new().unwrap();
    let log = user.path().join("log");
    let server = Hauld::start_at(&user.path().join("root"), &log, user.command("hauld"), &[]);
    let server = server.unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "d/x", b"x"), b"x").unwrap()["ack"], 1);
    assert_eq!(peer.ask(&put(2, "d/x", b"y"), b"y").unwrap()["ack"], 2);
    let said = server.log_text();
    assert!(!knows_landlock() || said.contains("confined to the root"), "{said}");
}

/// A kernel that is too old is no reason not to start.
#[test]
fn kernel_without_landlock_is_told() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/without_landlock.py");
    let mut hauld = Command::new("python3");
    hauld.arg(script).arg(&binaries::get().hauld);
    let server = Hauld::start_in(TempDir::new().unwrap(), hauld, &[]).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    let said = server.log_text();
    assert_eq!(said.matches("not confined: this kernel has no Landlock").count(), 1, "{said}");
}

/// Trap 29: a sandbox around hauld that lacks Refer.
#[test]
fn sandbox_that_refuses_renames_is_named() {
    if !has_landlock() {
        return;
    }
    let place = TempDir::new().unwrap();
    let started = thread::scope(|scope| {
        let confined =
            scope.spawn(|| {
                // This thread, and the processes that it starts.
                let all = AccessFs::from_all(ABI::V1);
                let rules = Ruleset::default().handle_access(all).unwrap().create().unwrap();
                let everywhere = PathBeneath::new(PathFd::new("/").unwrap(), all);
                rules.add_rule(everywhere).unwrap().restrict_self().unwrap();
                let mut hauld = Client::from_std(hauld_command());
                hauld.args(["--listen", "127.0.0.1:0", "--root"]).arg(place.path().join("root"));
                hauld.timeout(DEADLINE);
                hauld.assert().code(2).stdout("").stderr(contains(
                    "a sandbox around hauld lacks the right to (REFER of Landlock)",
                ));
                fs::rename(place.path().join("root"), place.path().join("other")).unwrap();
            });
        confined.join()
    });
    started.unwrap();
}

#[test]
fn crash_leaves_no_core_dump() {
    let mut hauld = Command::new("sh");
    hauld.args(["-c", "ulimit -c unlimited; exec \"$HAULD\" \"$@\"", "sh"]);
    let place = TempDir::new().unwrap();
    hauld.env("HAULD", &binaries::get().hauld).current_dir(place.path());
    let mut server = Hauld::start_in(place, hauld, &[]).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let soft: u64 = limit.split_whitespace().next().unwrap().parse().unwrap();
    assert!(soft <= 1, "{limit}");
    server.signal(Signal::QUIT).unwrap();
    let status = server.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(3), false));
}
