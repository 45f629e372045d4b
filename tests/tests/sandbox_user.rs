//! `hauld --user`: root starts it, and another user goes on.

use haul_tests::needed::is_root;
use haul_tests::prelude::*;
use haul_tests::threads;

const NOBODY: u32 = 65_534;
const DAEMON: u32 = 1;

/// The words of a line of `/proc/PID/task/TID/status` for each thread.
fn of_threads(server: &Hauld, key: &str) -> Vec<String> {
    let word = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    threads::each(server.pid(), "status").iter().map(|(_, status)| word(status)).collect()
}

/// A directory that everybody may enter.
fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    set_mode(place.path(), 0o755);
    place
}

#[test]
fn no_thread_is_root_or_could_become_it() {
    if !is_root() {
        return;
    }
    // The sandbox would forbid new privileges as well.
    let words = ["--user", "nobody:daemon", "--no-sandbox"];
    let server = Hauld::start_in(place(), hauld_command(), &words).unwrap();
    let all = |id: u32| format!("{id} {id} {id} {id}");
    let none = "0".repeat(16);
    for (key, wanted) in [
        ("Uid", all(NOBODY)),
        ("Gid", all(DAEMON)),
        ("CapPrm", none.clone()),
        ("CapEff", none.clone()),
        ("CapInh", none.clone()),
        ("CapAmb", none),
        ("NoNewPrivs", String::from("1")),
    ] {
        let found = of_threads(&server, key);
        assert!(found.len() > 6 && found.iter().all(|found| *found == wanted), "{key}: {found:?}");
    }
    let groups = of_threads(&server, "Groups");
    assert!(groups.iter().all(|groups| !groups.split(' ').any(|group| group == "0")), "{groups:?}");
    assert!(!server.log_text().contains("running as root"), "{}", server.log_text());
}

#[test]
fn root_that_is_missing_and_all_in_it_belong_to_the_user() {
    if !is_root() {
        return;
    }
    let place = place();
    let (root, log) = (place.path().join("above/root"), place.path().join("log"));
    let words = ["--user", "nobody:daemon", "--durability", "none"];
    let server = Hauld::start_at(&root, &log, hauld_command(), &words).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "d/x", b"x"), b"x").unwrap()["ack"], 1);
    assert_eq!(peer.ask(&put(2, "d/x", b"y"), b"y").unwrap()["ack"], 2);
    assert_eq!(mode(&root), 0o755);
    for entry in walkdir::WalkDir::new(&root) {
        let found = entry.unwrap().into_path();
        let owner = fs::symlink_metadata(&found).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (NOBODY, DAEMON), "{}", found.display());
    }
    let above = fs::metadata(place.path().join("above")).unwrap();
    assert_eq!(above.uid(), 0);
    // The next start finds it.
    drop((peer, server));
    drop(Hauld::start_at(&root, &log, hauld_command(), &words).unwrap().peer());
}

/// A port that is root's where nobody has said otherwise, and a socket that the user may use.
#[test]
fn addresses_are_bound_by_root_and_used_by_the_user() {
    if !is_root() {
        return;
    }
    let (place, user) = (place(), User::new().unwrap());
    let socket = place.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let words = ["--user", "nobody", "--listen", "127.203.17.5:81", "--listen", &address];
    let mut server = Hauld::start_in(place, hauld_command(), &words).unwrap();
    drop(server.peer());
    let owner = fs::symlink_metadata(&socket).unwrap();
    assert_eq!((owner.uid(), owner.mode() & 0o777), (NOBODY, 0o600));
    fs::write(user.path().join("x"), "x").unwrap();
    let put = || {
        let mut haul = Client::from_std(user.command("haul"));
        haul.args(["put", "x", &format!("{address}:/")]).assert().success();
    };
    put();
    assert_eq!(fs::read(server.root().join("x")).unwrap(), b"x");
    // The socket's directory is root's, so its file stays, and the next server takes its place.
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(socket.exists());
    let next = Hauld::start_at(server.root(), &server.log, hauld_command(), &words).unwrap();
    put();
    drop(next);
}

#[test]
fn root_of_somebody_else_is_refused_and_stays_as_it_is() {
    if !is_root() {
        return;
    }
    let place = place();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    refused(&root, "nobody", "could not make");
    assert_eq!((fs::metadata(&root).unwrap().uid(), fs::read_dir(&root).unwrap().count()), (0, 0));
}

#[track_caller]
fn refused(root: &Path, user: &str, why: &str) {
    let mut hauld = Client::from_std(hauld_command());
    hauld.args(["--listen", "127.0.0.1:0", "--user", user, "--root"]).arg(root).timeout(DEADLINE);
    hauld.env("HAULD_CONFIG_DIR", root.with_file_name("config"));
    hauld.assert().code(2).stdout("").stderr(contains(why));
}

#[test]
fn user_who_is_unknown_or_root_is_refused_before_anything_is_made() {
    if !is_root() {
        return;
    }
    let place = place();
    let root = place.path().join("root");
    refused(&root, "nobody-of-this-name", "no user `nobody-of-this-name`");
    refused(&root, "nobody:nobodies-of-this-name", "no group `nobodies-of-this-name`");
    refused(&root, "root", "`root` is root");
    refused(&root, "", "no user ``");
    assert!(!root.exists());
}

#[test]
fn only_root_goes_on_as_another_user() {
    let user = User::new().unwrap();
    let mut hauld = Client::from_std(user.command("hauld"));
    hauld.args(["--listen", "127.0.0.1:0", "--user", "daemon", "--root", "root"]);
    hauld.timeout(DEADLINE).assert().code(2).stderr(contains("only root can go on as another"));
    assert!(!user.path().join("root").exists());
}

/// One file of settings is right for a hauld that root starts, and for one that a service manager starts as its user.
#[test]
fn user_whom_hauld_runs_as_already_is_taken_and_another_group_is_not() {
    let user = User::new().unwrap();
    let name = if is_root() {
        String::from("nobody")
    } else {
        let output = output_of(Command::new("id").arg("-un"));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &["--user", &name]).unwrap();
    assert_eq!(server.peer().ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    assert_eq!(fs::read(root.join("x")).unwrap(), b"x");
    let mut hauld = Client::from_std(user.command("hauld"));
    let with_group = format!("{name}:daemon");
    hauld.args(["--listen", "127.0.0.1:0", "--user", &with_group, "--root", "other"]);
    hauld.timeout(DEADLINE).assert().code(2).stderr(contains("only root can go on as another"));
}
