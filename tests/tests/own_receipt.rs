//! A receipt that is a part of the run itself.

use haul_tests::prelude::*;

#[test]
fn receipt_in_a_source_is_complete_and_stays_and_is_not_sent() {
    let setting = Setting::start_with(&[]);
    let receipt = setting.source().join("r");
    let words: [&[&str]; 4] = [
        &["put", "s"],
        &["put", "--remove-source", "s"],
        &["sync", "--delete", "s"],
        &["sync", "s"],
    ];
    for words in words {
        setting.write("f", words[0]);
        let words = [words, &[setting.server.address(), "--receipt", "s/r"]].concat();
        setting.haul(&words).assert().success().stderr(contains("s/r: the receipt"));
        assert!(!setting.there("r"));
        let text = fs::read_to_string(&receipt).unwrap();
        assert!(text.ends_with("  s/f\n"), "{words:?}: {text}");
        fs::remove_file(&receipt).unwrap();
    }
    setting.write("f", "x");
    let listed = ["put", "--files-from", "-", "--receipt", "s/r", "s", setting.server.address()];
    setting.haul(&listed).write_stdin("f\nr\n").assert().success();
    assert!(!setting.there("r") && fs::read_to_string(&receipt).unwrap().ends_with("  s/f\n"));
    let words = ["publish", "s", &setting.at("v"), "--receipt", "s/r"];
    for text in ["one", "another"] {
        setting.write("f", text);
        setting.haul(&words).assert().success();
        assert!(fs::read_to_string(&receipt).unwrap().ends_with("  v/f\n"));
        assert!(!setting.server.root().join("v/r").exists());
    }
}

#[test]
fn receipt_that_the_run_needs_as_it_is_is_refused_before_it_is_emptied() {
    let setting = Setting::start();
    setting.write("f", "x");
    setting.write("rules", "*.o\n");
    setting.write(".haulignore", "*.o\n");
    fs::hard_link(setting.source().join("f"), setting.source().join("hard")).unwrap();
    symlink("f", setting.source().join("soft")).unwrap();
    setting.write("sub/r.json", "x");
    let cases: [(&[&str], &str, &str); 8] = [
        (&["put", "s"], "s/sub/r.json", "a file in SRC, and no receipt"),
        (&["put", "s/f"], "s/f", "SRC"),
        (&["sync", "s/f"], "s/hard", "SRC"),
        (&["put", "s/rules", "s/f"], "s/soft", "SRC"),
        (&["put", "--exclude-from", "s/rules", "s"], "s/rules", "a file of rules"),
        (&["put", "--files-from", "s/rules", "s"], "s/rules", "the list of --files-from"),
        (&["put", "s"], "s/.haulignore", "a file of rules"),
        (&["put", "--links", "follow", "s/soft"], "s/f", "SRC"),
    ];
    for (words, receipt, told) in cases {
        let words = [words, &[setting.server.address(), "--receipt", receipt]].concat();
        setting.haul(&words).assert().code(2).stderr(contains(format!("it is {told}")));
        for (name, text) in
            [("f", "x"), ("sub/r.json", "x"), ("rules", "*.o\n"), (".haulignore", "*.o\n")]
        {
            assert_eq!(fs::read_to_string(setting.source().join(name)).unwrap(), text, "{words:?}");
        }
    }
}
