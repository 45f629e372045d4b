//! Options of rsync, scp and curl: accepted if haul does that anyway, or told with what to use instead.

use haul_tests::prelude::*;

#[test]
fn options_that_ask_for_what_haul_does_anyway_are_accepted_in_silence() {
    let setting = Setting::start();
    setting.write("d/f", "x");
    set_mode(setting.source().join("d/f"), 0o640);
    let plain = setting.haul(&["put", "-q", "s", &setting.at("plain")]).assert().success();
    plain.stdout("").stderr("");
    for words in [
        &["put", "-aqP"][..],
        &["put", "-rlptDq", "--progress", "--partial", "--info=progress2", "--numeric-ids"],
        &["put", "-q", "--archive", "--recursive", "--times", "--perms", "--human-readable", "-h"],
        &["sync", "-aqh", "--delete-after", "--partial-dir=.p", "--no-owner"],
        &["publish", "-aq", "--delete"],
    ] {
        let to = setting.at(&format!("{}{}", words[0], words.len()));
        let done = setting.haul(&[words, &["s/", &to]].concat()).assert().success();
        done.stdout("").stderr("");
    }
    setting.haul(&["verify", "-avnc", "s/", &setting.at("publish3")]).assert().success();
    setting.haul(&["put", "-vv", "s", &setting.at("v")]).assert().success();
}

/// The server may be one without durability, so the option is no promise that haul can keep.
#[test]
fn fsync_is_not_accepted_in_silence() {
    let setting = Setting::start();
    setting.write("f", "x");
    let mut haul = setting.haul(&["sync", "--fsync", "s", &setting.at("to")]);
    haul.assert().code(2).stderr(contains("--fsync: the server decides: hauld --durability"));
}

#[test]
fn option_that_haul_has_no_use_for_is_told_with_what_to_use() {
    let setting = Setting::start();
    setting.write("f", "x");
    let address = setting.server.address().to_owned();
    for (words, told) in [
        (
            &["put", "-avzP", "s"][..],
            "haul: -z (--compress): haul does not compress: leave it out\n",
        ),
        (
            &["put", "-a", "--delete", "s"],
            "haul: --delete: `haul put` removes nothing at the server: use `haul sync\n  --delete`\n",
        ),
        (
            &["sync", "-auz", "s"],
            "haul: -z (--compress): haul does not compress: leave it out\n\
             haul: -u (--update): haul does not ask which file is newer: `haul sync` sends\n  \
             files that differ, --ignore-existing only those that are missing\n",
        ),
        (
            &["put", "-T", "s/f"],
            "haul: -T (--temp-dir): for curl's -T write the file as SRC; for rsync's: the\n  \
             server stages files by itself\n",
        ),
        (
            &["sync", "--info=name", "s"],
            "haul: --info: use -v to name each file, and --stats for all counts\n",
        ),
        (
            &["put", "--inplace", "s"],
            "haul: --inplace: each file appears whole, and none is written in place: leave it\n  out\n",
        ),
        (
            &["sync", "-aHAX", "s"],
            "haul: -A (--acls): haul carries no ACLs and extended attributes: leave it out\n\
             haul: -X (--xattrs): haul carries no ACLs and extended attributes: leave it out\n\
             haul: -H (--hard-links): each name becomes a file of its own: leave it out\n",
        ),
    ] {
        let wrong = setting.haul(&[words, &[&address]].concat()).assert().code(2);
        wrong.stdout("").stderr(told);
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    }
    assert!(!setting.there("f"), "nothing is sent with wrong usage");
    for word in [
        "--update",
        "--rsync-path=x",
        "--compress",
        "-k",
        "-C",
        "-o",
        "-g",
        "-R",
        "-L",
        "-i",
        "-b",
        "-F",
        "-W4",
        "--append",
        "--link-dest=x",
        "--size-only",
        "--chmod=u+w",
        "--max-size=1M",
        "--list-only",
        "--port=99",
        "--backup",
        "--log-file=x",
        "--include-from=x",
        "-s",
    ] {
        let wrong = setting.haul(&["put", word, "s", &address]).output();
        let told = String::from_utf8(wrong.stderr).unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{word}: {told}");
        assert!(told.starts_with("haul: -") && !told.contains("unexpected"), "{word}: {told}");
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    }
}

#[test]
fn short_h_is_the_help_if_nothing_is_to_be_sent() {
    let setting = Setting::start();
    setting.haul(&["put", "-h"]).assert().success().stdout(contains("Usage: haul put"));
    setting.haul(&["put", "--help"]).assert().success().stdout(contains("Usage: haul put"));
    setting.write("f", "x");
    setting.haul(&["put", "-avh", "s", setting.server.address()]).assert().success();
    assert!(setting.there("f"));
}

#[test]
fn bwlimit_bounds_the_rate_in_the_units_of_rsync() {
    let setting = Setting::start();
    setting.write("f", &"x".repeat(300_000));
    let began = Instant::now();
    // 300,000 bytes at 256 KiB a second, of which the first tenth of a second or so comes at once.
    let mut command = setting.haul(&["put", "--bwlimit=256", "s", setting.server.address()]);
    command.assert().success();
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    let wrong = setting.haul(&["put", "--bwlimit=fast", "s", setting.server.address()]);
    { wrong }.assert().code(2).stderr(contains("'--bwlimit <RATE>'"));
}

#[test]
fn shell_takes_the_same_options() {
    let setting = Setting::start();
    setting.write("f", "x");
    let mut shell = setting.haul(&["shell", setting.server.address()]);
    let wrong = shell.write_stdin("put -avz s\nput -av s\n").assert().code(1);
    wrong.stderr(contains("-z (--compress): haul does not compress: leave it out"));
    assert!(setting.there("f"));
}
