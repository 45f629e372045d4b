//! A root on an unusual file system, or with another one mounted below it.

use haul_tests::mounts::{has_fuse, hauld_after};
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
