//! A day in the life of haul: all that one person does with it, on a terminal of 80 columns. Every line fits, and is true.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

const MIB: u64 = 1 << 20;

/// A command on the terminal; `$A` is the server's address. Returns the lines that it leaves.
#[track_caller]
fn types(setting: &Setting, line: &str, code: i32) -> Vec<String> {
    let output = output_of(&mut terminal(setting, 80, line));
    fit(&output.stdout, 80);
    let lines = left_in_the_end(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{line}: {lines:#?}");
    lines
}

/// The lines, folded ones as one.
fn told(lines: &[String]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The sources of this project, a large file, and products of a build that nobody wants to keep.
fn work(setting: &Setting) -> PathBuf {
    let work = setting.place.path().join("work");
    fs::create_dir(&work).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in ["protocol", "client", "docs"] {
        tree::copy(&project.join(name), &work.join(name));
    }
    let bytes = counted(20 << 20);
    fs::write(work.join("disk.img"), bytes).unwrap();
    symlink("docs", work.join("manual")).unwrap();
    setting.rests();
    work
}

#[test]
fn day_in_the_life() {
    let setting = Setting::start_with(&[]);
    let work = work(&setting);
    let kept = setting.place.path().join("kept");
    tree::copy(&work, &kept);
    fs::create_dir_all(work.join("client/target/debug")).unwrap();
    fs::write(work.join("client/target/debug/haul"), "a program").unwrap();
    fs::write(work.join("docs/build.log"), "a log").unwrap();
    for name in ["client", "docs"] {
        let as_kept = kept.join(name).metadata().unwrap().modified().unwrap();
        set_mtime(work.join(name), as_kept);
    }
    let backup = setting.server.root().join("backup");

    // The first night, over a line that breaks four times.
    let cuts: Vec<_> = (1..=4).map(|number| (number * 4 * MIB, Event::Cut)).collect();
    let relay = Relay::start(setting.server.address(), &cuts).unwrap();
    let sync = "sync --delete --exclude client/target/ --exclude '*.log' work/";
    let lines = types(&setting, &format!("$H {sync} {}/backup", relay.address()), 0);
    let there = tree::compare(&kept, &backup).unwrap();
    let counts = format!("{} files, 1 link, {} directories, ", there.files, there.directories);
    assert!(told(&lines).starts_with(&counts), "{lines:#?} instead of {counts}");
    assert!(!told(&lines).contains("failed") && told(&lines).contains("durability group"));
    drop(relay);

    // The second night: nothing has changed, and nothing is sent.
    let sync = format!("$H {sync} $A/backup");
    let lines = told(&types(&setting, &sync, 0));
    assert!(lines.starts_with("0 files, ") && !lines.contains(" sent"), "{lines}");
    assert!(lines.contains(&format!("{} unchanged", there.files + 1)), "{lines}");

    // An edit that keeps size and mtime is seen by those that read the bytes.
    let name = "docs/speed.md";
    let (path, mut bytes) = (work.join(name), fs::read(work.join(name)).unwrap());
    let mtime = path.metadata().unwrap().modified().unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    set_mtime(&path, mtime);
    assert!(told(&types(&setting, &sync, 0)).starts_with("0 files, "));
    let verify = "$H verify --exclude client/target/ --exclude '*.log' work/ $A/backup";
    let lines = told(&types(&setting, verify, 1));
    assert!(lines.starts_with(&format!("differs backup/{name}: bytes differ ")), "{lines}");
    assert!(told(&types(&setting, &format!("{sync} --checksum"), 0)).starts_with("1 file, "));
    let lines = told(&types(&setting, verify, 0));
    assert!(lines.starts_with(&format!("{} the same, ", there.files + 1)), "{lines}");

    // A mistake, and back. Once more "to be sure" undoes nothing.
    types(&setting, "$H publish kept $A/www/site", 0);
    let bad = setting.place.path().join("bad");
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join("index.html"), "not what was meant").unwrap();
    assert!(told(&types(&setting, "$H publish bad $A/www/site", 0)).contains("published"));
    let lines = told(&types(&setting, "$H publish --rollback $A/www/site", 0));
    let back = format!("({} files) is back", there.files + there.links);
    assert!(lines.starts_with("www/site: the version that was published at "), "{lines}");
    assert!(lines.ends_with(&back), "{lines}");
    tree::compare(&kept, &setting.server.root().join("www/site")).unwrap();
    let lines = told(&types(&setting, "$H publish --rollback $A/www/site", 1));
    assert!(lines.contains("was a rollback") && lines.contains("--again"), "{lines}");
    tree::compare(&kept, &setting.server.root().join("www/site")).unwrap();

    // A move to another server, and the old backup goes.
    let other = server();
    let line = format!("$H put --remove-source kept/ {}/archive", other.address());
    let lines = told(&types(&setting, &line, 0));
    assert!(lines.starts_with(&format!("{} files, ", there.files)), "{lines}");
    assert_eq!(tree::names(&kept), Vec::<String>::new(), "all have moved");
    tree::compare_bytes(&setting.server.root().join("www/site"), &other.root().join("archive"))
        .unwrap();
    let lines = types(&setting, "$H rm $A/backup", 1);
    assert!(told(&lines).contains("haul rm -r"), "{lines:#?}");
    assert_eq!(types(&setting, "$H rm -r $A/backup && $H ls $A", 0), ["www/"]);
    assert!(!backup.exists());
}
