//! What the next version has from the present one and its parent: group, setgid and ACL, as they are when it is published.

use haul_tests::prelude::*;

use crate::publish_bad_days::begin;

/// Who reads by group goes on to read.
#[test]
fn group_of_the_parent_and_of_the_present_version_is_handed_down() {
    // Others can't give files to a group that they are not in.
    let is_root = rustix::process::geteuid().is_root();
    let group = if is_root { 33 } else { rustix::process::getegid().as_raw() };
    let setting = Setting::start();
    let www = setting.server.root().join("www");
    fs::create_dir(&www).unwrap();
    std::os::unix::fs::chown(&www, None, Some(group)).unwrap();
    set_mode(&www, 0o2775);
    setting.version(1);
    for round in 0..3 {
        setting.write("d0/f0", &format!("round {round}"));
        setting.published(&[]);
        for directory in [setting.site(), setting.site().join("d0")] {
            let found = fs::metadata(&directory).unwrap();
            assert_eq!(
                (found.gid(), found.mode() & 0o7000),
                (group, 0o2000),
                "{}",
                directory.display()
            );
        }
    }
    let mut command = haul();
    command.args(["publish", "--rollback"]).arg(setting.at("www/site")).assert().success();
    assert_eq!(fs::metadata(setting.site()).unwrap().mode() & 0o7000, 0o2000);
}

/// The server's people give a group and an ACL to a directory.
fn give(site: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    let group = if is_root { 2000 } else { rustix::process::getegid().as_raw() };
    std::os::unix::fs::chown(site, None, Some(group)).unwrap();
    let entries = [(1, 7, u32::MAX), (2, 7, 1234), (4, 7, u32::MAX), (16, 7, u32::MAX)];
    let acl = haul_tests::acl::acl(&[&entries[..], &[(32, 0, u32::MAX)]].concat());
    haul_tests::acl::set_default(site, &acl);
    set_mode(site, 0o2775);
}

/// They take them away.
fn take(site: &Path) {
    rustix::fs::removexattr(site, "system.posix_acl_default").unwrap();
    let own = rustix::process::getegid().as_raw();
    std::os::unix::fs::chown(site, None, Some(own)).unwrap();
    set_mode(site, 0o755);
}

/// Group and ACL are taken from the present version while the next one is put together: a publish does not undo that.
#[test]
fn version_that_would_hand_down_more_than_the_present_one_is_not_published() {
    for durability in ["group", "none"] {
        let setting = Setting::start_with(&["--durability", durability]);
        let site = setting.site();
        fs::create_dir_all(&site).unwrap();
        give(&site);
        fs::write(site.join("old"), "old").unwrap();
        let mut peer = begin(&setting, "me", 0);
        assert_eq!(peer.ask(&put(1, "new", b"x"), b"x").unwrap()["ack"], 1);
        take(&site);
        let publish = |id: u64| json!({"cmd": "publish", "id": id});
        let answer = peer.ask(&publish(2), b"").unwrap();
        assert_eq!((&answer["code"], &answer["retry"]), (&json!("conflict"), &json!(false)));
        assert!(answer["message"].as_str().unwrap().contains("again"), "{answer}");
        assert!(site.join("old").exists() && !site.join("new").exists());
        // With the group back, the draft is right again. Its mode alone is no reason.
        give(&site);
        set_mode(&site, 0o2770);
        assert_eq!(peer.ask(&publish(3), b"").unwrap()["answer"], 3);
        assert!(site.join("new").exists());
    }
}

#[test]
fn draft_that_would_hand_down_more_than_the_present_version_is_begun_anew() {
    let own = rustix::process::getegid().as_raw();
    for durability in ["group", "none"] {
        let setting = Setting::start_with(&["--durability", durability]);
        let site = setting.site();
        fs::create_dir_all(&site).unwrap();
        give(&site);
        let mut left = begin(&setting, "me", 0);
        assert_eq!(left.ask(&put(1, "d0/f0", b"x"), b"x").unwrap()["ack"], 1);
        drop(left);
        take(&site);
        setting.version(1);
        setting.published(&[]);
        for entry in walkdir::WalkDir::new(&site) {
            let path = entry.unwrap().into_path();
            let found = path.symlink_metadata().unwrap();
            assert_eq!((found.gid(), found.mode() & 0o7000), (own, 0), "{}", path.display());
            if !found.is_symlink() {
                let acl = haul_tests::acl::found(&path, "system.posix_acl_access");
                assert!(acl.is_empty(), "{}", path.display());
            }
        }
        tree::compare(&setting.source(), &site).unwrap();
    }
}

/// haul tells its user so, and the same command succeeds.
#[test]
fn run_during_which_the_present_version_loses_its_group_is_told_to_come_again() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    give(&setting.site());
    setting.version(2);
    setting.write("large", &"0123456789abcdef".repeat(1_100_000));
    let held =
        setting.hold_publish(|| setting.versions().iter().any(|name| name.starts_with("next-")));
    take(&setting.site());
    let output = held.go_on();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("run the command again"), "{told}");
    setting.published(&[]);
    tree::compare(&setting.source(), &setting.site()).unwrap();
    assert_eq!(mode(setting.site().join("d0")) & 0o7000, 0);
}
