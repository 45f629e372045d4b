//! Symbolic links of a source: taken, followed, or left out.

use haul_tests::prelude::*;

fn linked() -> Setting {
    let setting = Setting::start();
    setting.write("d/file", "x");
    setting.write("large", &"0123456789abcdef".repeat(100_000));
    fs::create_dir(setting.place.path().join("outside")).unwrap();
    fs::write(setting.place.path().join("outside/o"), "outside").unwrap();
    symlink("../outside", setting.source().join("to directory")).unwrap();
    symlink("d/file", setting.source().join("to file")).unwrap();
    symlink("large", setting.source().join("to large")).unwrap();
    setting
}

#[test]
fn links_are_taken_followed_or_left_out() {
    let setting = linked();
    setting.sync(&[]);
    setting.same();
    let target = |name: &str| setting.target().join(name).symlink_metadata();
    // What they point to takes the place of the links, again and again without being sent twice.
    let followed = setting.sync(&["--links", "follow", "--delete"]);
    assert_eq!((&followed["files"], &followed["failed"]), (&3.into(), &0.into()), "{followed}");
    assert!(target("to directory").unwrap().is_dir());
    assert_eq!(fs::read(setting.target().join("to directory/o")).unwrap(), b"outside");
    assert_eq!(target("to large").unwrap().len(), 1_600_000);
    let again = setting.sync(&["--links", "follow", "--delete"]);
    assert_eq!((&again["files"], &again["unchanged"]), (&0.into(), &5.into()), "{again}");
    let compared = setting.command("verify", &["--links", "follow"]).assert().success();
    compared.stdout(contains("5 the same"));
    // Left out is not removed.
    let skipped = setting.sync(&["--links", "skip", "--delete"]);
    assert_eq!((&skipped["skipped"], &skipped["removed"]), (&3.into(), &0.into()), "{skipped}");
    assert!(target("to directory").unwrap().is_dir());
}

#[test]
fn links_that_lead_nowhere_or_round_are_named_when_followed() {
    let setting = linked();
    symlink("nowhere", setting.source().join("broken")).unwrap();
    symlink("..", setting.source().join("d/round")).unwrap();
    setting
        .command("put", &["--links", "follow"])
        .assert()
        .code(1)
        .stderr(contains("broken").and(contains("links lead back to a directory above")))
        .stdout(contains("2 failed"));
    assert!(setting.there("to directory/o"));
}

#[test]
fn server_that_takes_no_links_names_each() {
    let setting = Setting::start_with(&["--durability", "none", "--symlinks", "inside"]);
    setting.write("file", "x");
    symlink("file", setting.source().join("inside")).unwrap();
    symlink("/etc", setting.source().join("outside")).unwrap();
    setting
        .command("put", &[])
        .assert()
        .code(1)
        .stderr(contains("outside").and(contains("may lead out of the root (symlink)")))
        .stdout(contains("1 link").and(contains("1 failed")));
    assert!(setting.there("inside") && !setting.there("outside"));
}
