//! Which directory becomes the root, and that nothing leads out of that of the command line.

use std::os::unix::ffi::OsStrExt;

use haul_tests::prelude::*;
use haul_tests::stdio::{Stdio, is_left};

/// A place with `inside`, the root of the command line, and things beside it.
struct Place {
    place: TempDir,
    inside: PathBuf,
}

impl Place {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        let inside = place.path().join("inside");
        fs::create_dir_all(inside.join("dir/deep")).unwrap();
        fs::create_dir_all(inside.join(".haul/partials")).unwrap();
        fs::create_dir(place.path().join("outside")).unwrap();
        fs::write(inside.join("file"), "x").unwrap();
        symlink(place.path().join("outside"), inside.join("out")).unwrap();
        symlink("../outside", inside.join("relative")).unwrap();
        symlink("dir", inside.join("within")).unwrap();
        symlink(".haul", inside.join("own")).unwrap();
        Self { place, inside }
    }

    /// The answer to a forced command's client, and the process.
    fn forced(&self, wishes: &Value) -> (Value, Stdio) {
        let mut stdio = Stdio::start(&["--root", self.inside.to_str().unwrap()]);
        (stdio.greet(wishes), stdio)
    }
}

#[test]
fn forced_command_serves_nothing_outside_of_its_root() {
    let place = Place::new();
    let outside = place.place.path().join("outside");
    for (root, expected) in [
        ("dir", Ok("dir")),
        ("/dir", Ok("dir")),
        ("//dir//deep/", Ok("dir/deep")),
        ("~/dir", Ok("dir")),
        ("~", Ok("")),
        ("/", Ok("")),
        (".", Ok("")),
        ("./dir/.", Ok("dir")),
        ("", Err("malformed")),
        ("..", Err("denied")),
        ("../outside", Err("denied")),
        ("dir/../dir", Err("denied")),
        ("dir/../../outside", Err("denied")),
        ("out", Err("denied")),
        ("/out", Err("denied")),
        ("relative", Err("denied")),
        ("within", Err("denied")),
        (".haul", Err("denied")),
        (".HAUL/partials", Err("denied")),
        ("own", Err("denied")),
        ("own/partials", Err("denied")),
        ("dir\0x", Err("denied")),
        (outside.to_str().unwrap(), Err("not_found")),
        ("/etc", Err("not_found")),
        ("file", Err("not_a_directory")),
        ("file/x", Err("not_a_directory")),
        ("missing/dir", Err("not_found")),
    ] {
        let (answer, stdio) = place.forced(&json!({"root": root}));
        match expected {
            Ok(name) => {
                let path = place.inside.join(name);
                let path = if name.is_empty() { place.inside.clone() } else { path };
                assert_eq!(answer["root"], json!(path), "{root:?}: {answer}");
                stdio.end().is_well();
            }
            Err(code) => {
                assert_eq!(answer["error"]["code"], code, "{root:?}: {answer}");
                assert_eq!(stdio.end().code, Some(2));
            }
        }
    }
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn forced_command_makes_missing_directories_beneath_its_root_only() {
    let place = Place::new();
    let (answer, mut stdio) = place.forced(&json!({"root": "/new/and/deep", "make": true}));
    assert_eq!(answer["root"], json!(place.inside.join("new/and/deep")), "{answer}");
    stdio.hello("one");
    stdio.put(1, "file", b"x");
    stdio.end().is_well();
    assert_eq!(fs::read(place.inside.join("new/and/deep/file")).unwrap(), b"x");
    is_left(&place.inside.join("new/and/deep"));
    for root in ["../new", "out/new", "relative/new", "dir/../../new", "own/new"] {
        let (answer, _stdio) = place.forced(&json!({"root": root, "make": true}));
        assert_eq!(answer["error"]["code"], "denied", "{root}: {answer}");
    }
    assert_eq!(fs::read_dir(place.place.path().join("outside")).unwrap().count(), 0);
    assert!(!place.place.path().join("new").exists());
    let name = "x".repeat(300);
    let (answer, _stdio) = place.forced(&json!({"root": name, "make": true}));
    assert_eq!(answer["error"]["code"], "io", "{answer}");
}

/// A client may have any directory in its root served as well. No server of `--stdio` lets it change what the server of such a
/// directory keeps in there, nor see it.
#[test]
fn forced_command_names_no_directory_of_another_server() {
    let place = Place::new();
    let deep = place.inside.join("dir");
    let _inner = Stdio::serving(&deep, "inner");
    let (answer, mut outer) = place.forced(&json!({"root": "/"}));
    assert_eq!(answer["root"], json!(place.inside), "{answer}");
    outer.hello("outer");
    let answer = outer.ask(&json!({"cmd": "remove", "id": 1, "filename": "dir/.haul/socket"}), b"");
    refused(&answer, 1, "bad_name");
    let link = json!({"cmd": "symlink", "id": 2, "filename": "dir/.haul/link", "target": "/"});
    refused(&outer.ask(&link, b""), 2, "bad_name");
    let answer = outer.ask(&put(3, "dir/.Haul/new", b"x"), b"x");
    refused(&answer, 3, "bad_name");
    let (_, body) = outer.asks(&json!({"cmd": "list", "id": 4, "filename": "dir"}), b"");
    let listed = String::from_utf8_lossy(&body).into_owned();
    assert!(listed.contains("deep") && !listed.contains("haul"), "{listed}");
    outer.put(5, "dir/file", b"x");
    outer.end().is_well();
    assert!(deep.join(".haul/socket").exists());
}

#[test]
fn forced_command_that_only_reads_makes_nothing() {
    let place = Place::new();
    let root = place.inside.to_str().unwrap();
    let mut stdio = Stdio::start(&["--root", root, "--read-only"]);
    let answer = stdio.greet(&json!({"root": "new/dir", "make": true}));
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    let (answer, _stdio) = place.forced(&json!({"root": "new", "make": true, "change": false}));
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    let missing = place.place.path().join("missing");
    let mut stdio = Stdio::start(&["--root", missing.to_str().unwrap(), "--read-only"]);
    let answer = stdio.greet(&json!({"root": missing, "make": true}));
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    assert!(!place.inside.join("new").exists() && !missing.exists());
}

#[test]
fn name_that_is_not_utf8_comes_as_base64() {
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let (answer, mut stdio) = place.forced(&json!({"root_b64": "Y2Fm6Q==", "make": true}));
    assert!(answer["root"].as_str().unwrap().contains("caf"), "{answer}");
    stdio.hello("one");
    stdio.put(1, "file", b"x");
    stdio.end().is_well();
    assert_eq!(fs::read(place.inside.join(name).join("file")).unwrap(), b"x");
}

#[test]
fn same_text_as_on_the_command_line_is_that_root() {
    let place = Place::new();
    fs::remove_dir_all(place.inside.join(".haul")).unwrap();
    for (words, root) in [
        (["--root", "inside"], "inside"),
        (["--root", "inside"], "dir"),
        (["--root", "out/side"], "out/side"),
    ] {
        let mut command = hauld_command();
        command.current_dir(place.place.path());
        let mut stdio = Stdio::of(command, &words);
        let answer = stdio.greet(&json!({"root": root, "make": root == "out/side"}));
        let expected = if root == "dir" { "inside/dir" } else { root };
        assert_eq!(answer["root"], json!(place.place.path().join(expected)), "{answer}");
        stdio.end().is_well();
    }
}

#[test]
fn without_a_root_on_the_command_line_any_directory_is_served() {
    let place = Place::new();
    for (root, make, expected) in [
        ("inside/dir", false, Ok("inside/dir")),
        ("inside/../outside", false, Ok("outside")),
        ("inside/out", false, Ok("outside")),
        ("new/one", true, Ok("new/one")),
        ("missing", false, Err("not_found")),
        ("inside/file", false, Err("not_a_directory")),
        ("inside/file", true, Err("not_a_directory")),
        ("inside/file/x", true, Err("not_a_directory")),
    ] {
        let mut command = hauld_command();
        command.current_dir(place.place.path());
        let mut stdio = Stdio::of(command, &[]);
        let answer = stdio.greet(&json!({"root": root, "make": make}));
        match expected {
            Ok(name) => {
                assert_eq!(answer["root"], json!(place.place.path().join(name)), "{answer}")
            }
            Err(code) => assert_eq!(answer["error"]["code"], code, "{root}: {answer}"),
        }
        assert_eq!(stdio.end().code, Some(if expected.is_ok() { 0 } else { 2 }));
    }
}
