//! `haul sync --delete` whose connection is lost while the server removes an entry.

use haul_tests::prelude::*;

/// A destination that is like its source.
fn setting() -> Setting {
    let setting = Setting::start();
    setting.write("kept", "x");
    setting.sync(&[]);
    setting
}

fn sync(setting: &Setting, lost: &Lost) -> Assert {
    haul()
        .args(["sync", "--delete", "--connections", "1", "--json"])
        .args([setting.source().to_str().unwrap(), lost.address()])
        .assert()
}

#[test]
fn removal_whose_answer_was_lost_counts_as_done_and_one_whose_request_was_lost_is_sent_again() {
    for name in ["x", "gone/x"] {
        let [answer, request] = [Lost::start, Lost::request];
        for lose in [answer as fn(&str, &'static str, fn()) -> std::io::Result<Lost>, request] {
            let setting = setting();
            setting.write_there(name, "old");
            let lost = lose(setting.server.address(), "remove", || ()).unwrap();
            let told = sync(&setting, &lost).success().get_output().stdout.clone();
            lost.end();
            assert_eq!(last(&told)["removed"], name.split('/').count());
            setting.same();
        }
    }
}

/// A new upload of the name is complete before the client has connected again. The directory that it is in stays as well.
#[test]
fn removal_whose_answer_was_lost_does_not_remove_a_newer_entry() {
    for (name, other) in [("x", "y"), ("gone/x", "gone/y")] {
        let setting = setting();
        setting.write_there(name, "old");
        setting.write_there(other, "old");
        let path = setting.target().join(name);
        let meanwhile = move || {
            let _ = fs::remove_file(&path);
            fs::write(path, "a new upload").unwrap();
        };
        let lost = Lost::start(setting.server.address(), "remove", meanwhile).unwrap();
        sync(&setting, &lost).code(1).stdout(contains("the connection was lost before"));
        lost.end();
        assert_eq!(fs::read(setting.target().join(name)).unwrap(), b"a new upload");
        assert!(!setting.there(other));
    }
}

/// The server has removed the directory, and somebody has made an empty one of another mode.
#[test]
fn removal_whose_answer_was_lost_does_not_remove_a_newer_directory_of_another_mode() {
    for (mode, stays) in [(0o750, true), (0o755, false)] {
        let setting = setting();
        let path = setting.target().join("gone");
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        let there = path.clone();
        let meanwhile = move || {
            assert!(!there.exists(), "the server has removed it");
            fs::create_dir(&there).unwrap();
            set_mode(&there, mode);
        };
        let lost = Lost::start(setting.server.address(), "remove", meanwhile).unwrap();
        let told = sync(&setting, &lost);
        lost.end();
        if stays {
            told.code(1).stdout(contains("the connection was lost before"));
        } else {
            told.success();
        }
        assert_eq!(path.exists(), stays, "{mode:o}");
    }
}
