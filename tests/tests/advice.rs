//! The words for a newcomer whose command can't be carried out as it stands.

use haul_tests::fake::nobody;
use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

#[test]
fn server_that_refuses_the_connection_is_told_with_advice_in_one_line() {
    let setting = Setting::start();
    setting.write("f", "x");
    let (_port, address) = nobody().unwrap();
    let told =
        format!("haul: could not reach {address}: Connection refused; does hauld run there?");
    let line = format!("$H put s {address}");
    let output = output_of(&mut terminal(&setting, 80, &line));
    fit(&output.stdout, 80);
    assert_eq!(left_in_the_end(&output.stdout), [told.as_str(), "0 files, 0 B in T s"]);
    for words in [
        &["ls"][..],
        &["rm"],
        &["mkdir"],
        &["publish", "--rollback"],
        &["publish", "-q", "s"],
        &["sync", "-q", "s"],
    ] {
        let mut command = setting.haul(&[words, &[&format!("{address}/x")]].concat());
        command.assert().code(3).stdout("").stderr(format!("{told}\n"));
    }
    // There is no hauld to be started.
    let mut command = setting.haul(&["put", "--classic", "s/f", &address]);
    command.assert().code(3).stderr(contains("hauld").not());
}

#[test]
fn destination_that_looks_like_a_name_for_the_file_is_told_to_be_a_directory() {
    let setting = Setting::start();
    setting.write("a.txt", "x");
    fs::create_dir(setting.source().join("d.txt")).unwrap();
    let output = output_of(&mut terminal(&setting, 80, "$H put s/a.txt $A/d/b.txt"));
    assert_eq!(
        left_in_the_end(&output.stdout),
        [
            "haul: goes into a directory, as d/b.txt/a.txt; to name it so: HOST/d --as b.txt",
            "1 file, 1 B in T s; durability none",
        ]
    );
    assert!(setting.server.root().join("d/b.txt/a.txt").exists());
    let put = |words: &[&str], path: &str| {
        setting.haul(&[&["put"], words, &[&setting.at(path)]].concat()).assert().success()
    };
    put(&["s/a.txt"], "a.txt")
        .stderr("haul: goes into a directory, as a.txt/a.txt; to name it so: HOST --as a.txt\n");
    let json = put(&["--json", "s/a.txt"], "e.txt").stderr("").get_output().stdout.clone();
    assert!(contains("\"note\"").eval(&String::from_utf8(json).unwrap()));
    for words in [&["--as", "x.txt", "s/a.txt"][..], &["-q", "s/a.txt"], &["s/d.txt"]] {
        put(words, "f.txt").stderr("");
    }
    put(&["s/a.txt"], "inbox").stderr("");
}

#[test]
fn directory_here_that_looks_like_a_name_for_the_file_is_told_to_be_one() {
    let setting = Setting::start();
    setting.write_there("a.txt", "x");
    let from = format!("haul://{}", setting.at("s/a.txt"));
    let get = |words: &[&str]| setting.haul(&[&["get"], words].concat()).assert().success();
    get(&[&from, "b.txt"]).stderr(
        "haul: goes into a directory, as b.txt/a.txt; to name it so: haul get … . --as b.txt\n",
    );
    assert!(setting.place.path().join("b.txt/a.txt").exists());
    // It is there by now.
    get(&[&from, "b.txt"]).stderr("");
    get(&[&from, "d/c.txt"]).stderr(contains("haul get … d --as c.txt"));
    for words in [&[&from, "d"][..], &[&from, "d", "--as", "e.txt"], &["-q", &from, "e.txt"]] {
        get(words).stderr("");
    }
}

#[test]
fn move_between_this_machine_and_a_server_is_told_with_what_does_it() {
    let setting = Setting::start();
    setting.write("f", "x");
    let there = setting.at("x");
    let up = |path: &str| {
        format!(
            "haul: `{path}` is on this machine, and haul mv renames at a server:\n  \
             haul put --remove-source {path} DEST moves files from here to a server\n"
        )
    };
    for path in ["s", "s/f", "./s/f"] {
        setting.haul(&["mv", path, &there]).assert().code(2).stderr(up(path)).stdout("");
    }
    setting.haul(&["mv", &there, "./f"]).assert().code(2).stderr(
        "haul: `./f` is a path on this machine, and haul mv renames at a server; to bring\n  it here, write haul get\n",
    );
}

#[test]
fn options_may_stand_between_the_source_and_the_destination() {
    let setting = Setting::start();
    setting.write("a", "x");
    let to = setting.at("d");
    for words in [
        &["put", "s/a", "--as", "b", &to][..],
        &["put", "s", "-q", "s/a", "--exclude", "x", &to],
        &["sync", "s", "-n", &to],
        &["publish", "s", "-c", &setting.at("p")],
    ] {
        setting.haul(words).assert().success().stderr("");
    }
    assert!(setting.server.root().join("d/b").exists());
}

#[test]
fn wrong_words_are_told_with_what_to_write() {
    let setting = Setting::start();
    setting.write("f", "x");
    let to = setting.at("d");
    for (words, told) in [
        (
            &["cp", "s/f", &to][..],
            "haul: `cp`: to send files, write haul put SRC HOST/DIR; to bring files here,\n  \
             haul get HOST/PATH DIR\n",
        ),
        (
            &["download", &to, "."][..],
            "haul: `download`: to bring files here, write haul get HOST/PATH DIR\n",
        ),
        (
            &["put", "s/f", &to, "--receipt", "-"],
            "haul: --receipt -: for standard output write --receipt /dev/stdout --quiet, for\n  \
             a file of that name ./-\n",
        ),
        (
            &["put", "s/f", &to, "--as", "../z"],
            "haul: --as ../z: name has a component `.` or `..`\n",
        ),
    ] {
        setting.haul(words).assert().code(2).stdout("").stderr(told);
    }
    assert!(!setting.place.path().join("-").exists());
    let mut command = setting.haul(&["put", "-q", "--files-from", "-", "s", &to]);
    command
        .write_stdin("f\0g\0")
        .assert()
        .code(1)
        .stderr("haul: --files-from: there are NUL bytes in it; if they end its names, add -0\n");
}

#[test]
fn wrong_usage_with_json_ends_with_an_error_and_a_summary() {
    let setting = Setting::start();
    for words in [
        &["put", "--json"][..],
        &["put", "--json", "--delete", "s", "box"],
        &["sync", "s", "box::in", "--json"],
        &["verify", "--teleport", "--json", "s", "box"],
    ] {
        let wrong =
            setting.haul(words).assert().code(2).stderr(contains("-").or(contains("rsync")));
        let stdout = &wrong.get_output().stdout;
        let lines: Vec<Value> = String::from_utf8_lossy(stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [error, summary] = &lines[..] else { panic!("{words:?}: {lines:?}") };
        assert_eq!(error["event"], "error");
        assert!(error["error"].as_str().is_some_and(|text| !text.contains('\n')), "{error}");
        assert_eq!((&summary["exit"], &summary["reason"]), (&2.into(), &"usage".into()));
    }
    let help = setting.haul(&["put", "--json", "--help"]).assert().success();
    help.stdout(contains("Usage").and(contains("event\":").not()));
}

#[test]
fn removal_with_f_takes_an_entry_that_is_not_there_for_removed() {
    let setting = Setting::start();
    setting.write_there("d/f", "x");
    let run = |words: &[&str]| setting.haul(&[&["rm"], words].concat()).assert();
    run(&["-rf", &setting.at("none"), &setting.at("s/none/below")]).success().stderr("");
    run(&[&setting.at("none")]).code(1);
    run(&["-f", &setting.at("s/d")]).code(1).stderr(contains("is a directory"));
    run(&["-rf", &setting.at("s/d")]).success().stderr("");
    assert!(!setting.there("d"));
}

#[test]
fn list_that_can_not_be_written_is_told_and_a_closed_pipe_is_not() {
    let setting = Setting::start();
    setting.write_there("f", "x");
    let full = setting.script("\"$H\" ls \"$A\" >/dev/full").assert().code(1);
    full.stderr(contains(
        "haul: could not write to standard output, so the list is not complete: No space",
    ));
    let mut ls = haul_command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = ls.args(["ls", setting.server.address()]).stdout(writer).stderr(Stdio::piped());
    let done = done.output().unwrap();
    assert!(done.status.code() == Some(1) && done.stderr.is_empty(), "{done:?}");
}
