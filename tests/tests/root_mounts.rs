//! A root on an unusual file system, or with another one mounted below it.

use haul_tests::mounts::{hauld_after, hauld_ends_after};
use haul_tests::needed::has_fuse;
use haul_tests::prelude::*;

/// An overlay whose layers are on two file systems gives a directory another number when it is mounted again.
#[test]
fn second_rollback_in_a_row_is_refused_also_if_the_file_system_has_renumbered_the_versions() {
    let place = TempDir::new().unwrap();
    let at = |name: &str| place.path().join(name);
    for name in ["low", "up", "work", "root", "s"] {
        fs::create_dir(at(name)).unwrap();
    }
    let setup = "cd $PLACE; mount -t tmpfs none low; mount -t overlay none root \
                 -o lowerdir=low,upperdir=up,workdir=work,userxattr,xino=off";
    let serve = || {
        let command = hauld_after(setup, place.path());
        Hauld::start_at(&at("root"), &at("log"), command, &["--durability", "none"]).unwrap()
    };
    let inode = |server: &Hauld| {
        let seen = format!("/proc/{}/root{}", server.pid(), at("root/d").display());
        fs::metadata(seen).unwrap().ino()
    };
    let server = serve();
    let to = |server: &Hauld| format!("{}/d", server.address());
    for text in ["first", "second"] {
        fs::write(at("s/f"), text).unwrap();
        haul().arg("publish").arg(at("s")).arg(to(&server)).assert().success();
    }
    let before = inode(&server);
    drop(server);
    let server = serve();
    assert_ne!(inode(&server), before, "the file system keeps numbers");
    haul().args(["publish", "--rollback", &to(&server)]).assert().success();
    drop(server);
    let server = serve();
    let again = haul().args(["publish", "--rollback", &to(&server)]).assert();
    again.code(1).stderr(contains("(rolled_back)"));
    assert_eq!(fs::read_to_string(at("up/d/f")).unwrap(), "first");
}

/// A FUSE whose program never answers, as one that has lost its network: every look at it waits.
#[test]
fn file_system_below_the_root_that_does_not_answer_holds_no_worker() {
    if !has_fuse() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    for name in ["dead", "well"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("well/f"), "x").unwrap();
    let setup = "exec 3<>/dev/fuse; mount -i -t fuse none $PLACE/root/dead \
                 -o fd=3,rootmode=40000,user_id=0,group_id=0";
    let command = hauld_after(setup, directory.path());
    let server = Hauld::start_in(directory, command, &["--durability", "none"]).unwrap();
    let at = |name: &str| format!("{}/{name}", server.address());
    for _ in 0..6 {
        haul().args(["ls", &at("dead")]).assert().code(1).stderr(contains("cross_device"));
        haul().args(["ls", &at("")]).assert().success().stdout("dead/\nwell/\n");
    }
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("g"), "x").unwrap();
    let source = place.path().join("g").display().to_string();
    haul().args(["put", &source, &at("dead/")]).assert().code(1).stderr(contains("cross_device"));
    haul().args(["mkdir", &at("dead/d")]).assert().code(1).stderr(contains("cross_device"));
    haul().args(["rm", &at("dead")]).assert().code(1);
    haul().args(["put", &source, &at("well/")]).assert().success();
    haul().args(["ls", &at("well")]).assert().success().stdout("f\ng\n");
}

/// Trap 21, with a mount that comes after the account: of another file system, and of a directory of the same one.
#[test]
fn root_of_an_account_with_something_mounted_over_it_is_gone_and_can_not_be_added() {
    for mount in
        ["mount -t tmpfs none $PLACE/root/alice", "mount --bind $PLACE/x $PLACE/root/alice"]
    {
        let place = TempDir::new().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["x", "root/alice", "root/bob"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let (config, root) = (at("config"), at("root"));
        let (config, root) = (config.to_str().unwrap(), root.to_str().unwrap());
        let add = |name: &str| {
            let words = ["user", "add", name, "--config-dir", config, "--server-root", root];
            output_of(hauld_command().args(words))
        };
        let tokens = ["alice", "bob"].map(|name| {
            let output = add(name);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        });
        let words = [
            "user",
            "add",
            "eve",
            "--root",
            "alice",
            "--config-dir",
            config,
            "--server-root",
            root,
        ];
        let output = hauld_ends_after(mount, place.path(), &words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("another file system"), "{told}");
        assert!(!fs::read_to_string(at("config/users.toml")).unwrap().contains("eve"));

        let words = ["--durability", "none", "--config-dir", config];
        let server =
            Hauld::start_at(&at("root"), &at("log"), hauld_after(mount, place.path()), &words);
        let server = server.unwrap();
        let hello = |token: &str| {
            let mut peer = Peer::connect(server.address()).unwrap();
            let hello = json!({
                "cmd": "hello", "version": 1, "agent": "test/1", "client": peer.unique(), "slot": 0,
                "must": [], "token": token,
            });
            let answer = peer.ask(&hello, b"").unwrap();
            (peer, answer)
        };
        refused(&hello(&tokens[0]).1, 0, "root_gone");
        // Those beside it go on.
        let (mut bob, _) = hello(&tokens[1]);
        assert_eq!(bob.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
        let seen = |path: &str| {
            let seen = format!("/proc/{}/root{}", server.pid(), at(path).display());
            fs::read_dir(seen).unwrap().count()
        };
        assert_eq!((seen("root/alice"), seen("x"), seen("root/bob")), (0, 0, 1));
    }
}
