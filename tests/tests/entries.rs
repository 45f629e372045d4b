//! `haul mkdir`, and the rules of all commands that change entries at a server.

use haul_tests::prelude::*;

/// `haul` with these words; `@` at the beginning of one stands for the server and a slash.
pub(crate) fn run(server: &Hauld, words: &[&str]) -> Assert {
    at(server.address(), words)
}

/// The same at another address than the server's own.
pub(crate) fn at(address: &str, words: &[&str]) -> Assert {
    let words = words.iter().map(|word| match word.strip_prefix('@') {
        Some(path) => format!("{address}/{path}"),
        None => (*word).to_owned(),
    });
    haul().args(words).assert()
}

/// Both durabilities.
pub(crate) const SERVERS: [&[&str]; 2] = [&["--durability", "none"], &[]];

/// Writes a file below the server's root.
pub(crate) fn write(server: &Hauld, path: &str, text: &str) {
    let path = server.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The text of a file below the server's root.
pub(crate) fn read(server: &Hauld, path: &str) -> Option<String> {
    fs::read_to_string(server.root().join(path)).ok()
}

#[test]
fn directories_are_made_with_their_parents_and_one_that_is_there_is_no_failure() {
    let server = server();
    run(&server, &["mkdir", "@a/b/c", "@d"]).success().stdout("").stderr("");
    assert!(server.root().join("a/b/c").is_dir() && server.root().join("d").is_dir());
    run(&server, &["mkdir", "-p", "@a/b/c"]).success();
    write(&server, "file", "x");
    run(&server, &["mkdir", "@file", "@e", "@file/x"])
        .code(1)
        .stderr(contains("file: refused by the server").and(contains("file/x")));
    assert!(server.root().join("e").is_dir() && read(&server, "file").unwrap() == "x");
    run(&server, &["mkdir", "@"]).code(2).stderr(contains("HOST/DIR"));
    run(&server, &["mkdir", "@.haul/x"]).code(2);
}

#[test]
fn shell_has_them_too() {
    let server = server();
    for file in ["base/f", "base/d/x", "base/e/y"] {
        write(&server, file, file);
    }
    let lines =
        "mkdir new\nmv f new/\nmv new/f g\nrm -r d\nrm e\nrm g\nmv e 'two words'\nrm none\n";
    haul()
        .args(["shell", &format!("{}/base", server.address())])
        .write_stdin(lines)
        .assert()
        .code(1)
        .stderr(contains("base/e: is a directory").and(contains("base/none")));
    assert_eq!(read(&server, "base/two words/y").as_deref(), Some("base/e/y"));
    assert!(!server.root().join("base/d").exists() && read(&server, "base/g").is_none());
    assert!(server.root().join("base/new").is_dir());
}
