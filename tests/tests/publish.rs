//! `haul publish`: the whole tree or nothing.

use haul_tests::prelude::*;
use rustix::fs::{CWD, Mode, OFlags};

#[test]
fn next_version_is_the_source_and_only_what_changed_is_sent() {
    for words in [&["--durability", "none"][..], &[]] {
        let setting = Setting::start_with(words);
        setting.version(1);
        set_mode(setting.source(), 0o750);
        fs::create_dir(setting.source().join("empty")).unwrap();
        let first = setting.published(&[]);
        assert_eq!((&first["files"], &first["published"]), (&21.into(), &true.into()), "{first}");
        tree::compare(&setting.source(), &setting.site()).unwrap();
        setting.write("d1/new", "new");
        fs::remove_file(setting.source().join("d2/f2")).unwrap();
        fs::remove_dir_all(setting.source().join("d3")).unwrap();
        set_mode(setting.source().join("d0/f0"), 0o600);
        let second = setting.published(&[]);
        assert_eq!((&second["files"], &second["bytes_sent"]), (&1.into(), &3.into()), "{second}");
        tree::compare(&setting.source(), &setting.site()).unwrap();
        let again = setting.published(&[]);
        assert_eq!((&again["files"], &again["bytes_sent"]), (&0.into(), &0.into()), "{again}");
        tree::compare(&setting.source(), &setting.site()).unwrap();
        // One version is kept, and nothing else.
        eventually("the trash is emptied", || {
            fs::read_dir(setting.server.root().join(".haul/trash")).unwrap().count() == 0
        });
        let home = setting.versions();
        assert!(
            home.len() == 4 && home[0].starts_with("done-") && home[1] == "previous",
            "{home:?}"
        );
        assert!(home[2..].iter().all(|note| note.starts_with("version-")), "{home:?}");
        assert!(setting.server.staged().unwrap().is_empty());
    }
}

/// Their directories may be too many to be made in one turn.
#[test]
fn deep_entries_that_have_not_changed_are_taken_over() {
    let setting = Setting::start();
    setting.version(1);
    let mut directory = setting.source().join("deep");
    for level in 0..300 {
        fs::create_dir(&directory).unwrap();
        if level % 50 == 49 {
            fs::write(directory.join("file"), "text").unwrap();
            symlink("file", directory.join("link")).unwrap();
        }
        directory.push("d");
    }
    setting.published(&[]);
    for words in [&[][..], &["-c"]] {
        let again = setting.published(words);
        assert_eq!((&again["files"], &again["bytes_sent"]), (&0.into(), &0.into()), "{again}");
        tree::compare(&setting.source(), &setting.site()).unwrap();
    }
}

/// Reads all of a version through a handle on its directory; returns which it is.
fn read_by_handle(site: &Path) -> String {
    let directory =
        rustix::fs::openat(CWD, site, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut seen = Vec::new();
    for index in 0..20 {
        let name = format!("d{}/f{index}", index % 4);
        let file = rustix::fs::openat(&directory, &name, OFlags::RDONLY, Mode::empty());
        let mut text = String::new();
        File::from(file.unwrap_or_else(|error| panic!("{name}: {error}")))
            .read_to_string(&mut text)
            .unwrap();
        seen.push(text);
    }
    let link = rustix::fs::readlinkat(&directory, "link", Vec::new()).unwrap();
    seen.push(link.into_string().unwrap());
    seen.dedup();
    assert_eq!(seen.len(), 1, "a mixture: {seen:?}");
    seen.remove(0)
}

#[test]
fn reader_by_handle_sees_one_version_whatever_is_published_meanwhile() {
    let setting = Setting::start();
    setting.version(0);
    setting.published(&[]);
    let (over, read) = (AtomicBool::new(false), AtomicUsize::new(0));
    let site = setting.site();
    let versions = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut versions = std::collections::BTreeSet::new();
            while !over.load(Ordering::Acquire) {
                versions.insert(read_by_handle(&site));
                read.fetch_add(1, Ordering::AcqRel);
            }
            versions
        });
        for number in 1..=100 {
            for index in 0..20 {
                setting.write(&format!("d{}/f{index}", index % 4), &format!("version {number}"));
            }
            let link = setting.source().join("link");
            fs::remove_file(&link).unwrap();
            symlink(format!("version {number}"), link).unwrap();
            setting.published(&[]);
            assert_eq!(read_by_handle(&site), format!("version {number}"));
            // Whoever reads at the moment of a swap has until the next one but one.
            let before = read.load(Ordering::Acquire);
            eventually("a reader is done", || {
                reader.is_finished() || read.load(Ordering::Acquire) > before
            });
        }
        over.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert!(versions.len() > 50, "the reader has seen {} versions", versions.len());
}

#[test]
fn versions_share_files_and_neither_changes_the_other() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    setting.write("d1/f1", "version 2");
    setting.published(&[]);
    let previous = || {
        let trees = setting.server.root().join(".haul/trees");
        fs::read_dir(trees).unwrap().next().unwrap().unwrap().path().join("previous")
    };
    let copy = setting.place.path().join("copy");
    tree::copy(&previous(), &copy);
    // Whatever is put, synced or set in the present version.
    set_mode(setting.source().join("d0/f0"), 0o600);
    setting.write("d2/f2", "version 3");
    let mut source = setting.source().into_os_string();
    source.push("/");
    let mut command = haul();
    command.arg("sync").arg(source).arg(setting.at("www/site")).assert().success();
    tree::compare(&setting.source(), &setting.site()).unwrap();
    tree::compare(&copy, &previous()).unwrap();
}

#[test]
fn checksum_and_receipt_see_bytes() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    let rotten = setting.site().join("d0/f0");
    let time = fs::metadata(&rotten).unwrap().modified().unwrap();
    fs::write(&rotten, "versiom 1").unwrap();
    File::open(&rotten).unwrap().set_modified(time).unwrap();
    let receipt = setting.place.path().join("receipt");
    let words = ["--checksum", "--receipt", receipt.to_str().unwrap()];
    let summary = setting.published(&words);
    assert_eq!((&summary["files"], &summary["unchanged"]), (&1.into(), &21.into()), "{summary}");
    tree::compare(&setting.source(), &setting.site()).unwrap();
    let text = fs::read_to_string(&receipt).unwrap();
    assert_eq!(text.lines().count(), 21);
    assert!(text.lines().all(|line| line[64..].starts_with("  www/site/")), "{text}");
    // Touched, but the same: taken over with the new time.
    let touched = File::open(setting.source().join("large")).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(9)).unwrap();
    let summary = setting.published(&["--checksum"]);
    assert_eq!((&summary["files"], &summary["bytes_sent"]), (&0.into(), &0.into()), "{summary}");
    tree::compare(&setting.source(), &setting.site()).unwrap();
}

#[test]
fn rules_and_dry_run_are_those_of_sync() {
    let setting = Setting::start();
    setting.version(1);
    setting.write("d0/left.out", "x");
    setting.published(&["--exclude", "*.out"]);
    assert!(!setting.site().join("d0/left.out").exists());
    setting.write("d1/f1", "version 2");
    fs::remove_file(setting.source().join("d2/f2")).unwrap();
    setting.publish(&["-n", "--exclude", "*.out"]).assert().success().stdout(
        contains("would send www/site/d1/f1: ")
            .and(contains("would remove www/site/d2/f2: not in the source"))
            .and(contains("1 file,")),
    );
    // What is left out is in no version, also if it was in the one before.
    let words = ["--exclude", "/d3", "-n"];
    let told = setting.publish(&words).assert().success();
    told.stdout(contains("would remove www/site/d3/f3: not in the source"));
    setting.publish(&words[..2]).assert().success();
    assert!(!setting.site().join("d3").exists());
    setting.write("d1/f1", "version 1");
    setting.publish(&["-n"]).assert().success();
    assert_eq!(fs::read(setting.site().join("d1/f1")).unwrap(), b"version 2");
    setting.publish(&["--files-from", "-"]).assert().code(2);
}

#[test]
fn destination_that_can_have_no_versions_is_named() {
    let setting = Setting::start();
    setting.write("file", "x");
    let run = |destination: &str| {
        let mut command = haul();
        command.arg("publish").arg(setting.source()).arg(setting.at(destination)).assert()
    };
    run("").code(2).stderr(contains("HOST/DIR"));
    fs::write(setting.server.root().join("file"), "x").unwrap();
    fs::create_dir(setting.server.root().join("d")).unwrap();
    symlink("d", setting.server.root().join("link")).unwrap();
    let told =
        "haul: file: not published: refused by the server: `file` is not a directory (conflict)\n";
    run("file").code(1).stderr(told);
    run("link").code(1).stderr(contains("(escape)"));
    run("link/site").code(1).stderr(contains("(escape)"));
    run(".haul/site").code(2);
    assert_eq!(fs::read_dir(setting.server.root().join("d")).unwrap().count(), 0);
    setting.haul(&["publish", "s/file", &setting.at("x")]).assert().code(2);
}
