//! A dry run of a list tells what the run itself does, in whatever order the list has its names.

use haul_tests::prelude::*;

/// The exit code and the counts of files and failures of a run with a list.
fn ends(setting: &Setting, words: &[&str], list: &str) -> (Option<i32>, Value, Value) {
    let words = [words, &["--json", "--files-from", "-", "s/"]].concat();
    let output = setting.haul(&words).arg(setting.at("x")).write_stdin(list).output();
    let summary = last(&output.stdout);
    (output.status.code(), summary["files"].clone(), summary["failed"].clone())
}

#[test]
fn dry_run_of_a_list_fails_below_a_file_of_the_server_as_the_run_does() {
    // The lists and the failures of `put` and of `sync`, which lets a directory that the list names take the place of the file.
    for (list, put, sync) in [
        ("d/e/f\n", 1, 1),
        ("d/e/f\nd/e\nd\n", 3, 2),
        ("d\nd/e\nd/e/f\n", 3, 0),
        ("d/e/f\ng\n", 1, 1),
    ] {
        for (verb, failed) in [("put", put), ("sync", sync)] {
            let setting = Setting::start();
            setting.write("d/e/f", "x");
            setting.write("g", "x");
            fs::create_dir(setting.server.root().join("x")).unwrap();
            fs::write(setting.server.root().join("x/d"), "old").unwrap();
            let dry = ends(&setting, &[verb, "-n"], list);
            let run = ends(&setting, &[verb], list);
            assert_eq!(dry, run, "{verb} {list:?}");
            assert_eq!(run.2, json!(failed), "{verb} {list:?}");
        }
    }
}
