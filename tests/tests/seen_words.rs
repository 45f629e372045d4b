//! The words of `haul` as a person sees them on 80 columns: each message names the entry, the cause, and what to do.

use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

/// The lines that stay on a terminal of 80 columns.
#[track_caller]
fn lines(setting: &Setting, line: &str) -> Vec<String> {
    let output = output_of(&mut terminal(setting, 80, line)).stdout;
    fit(&output, 80);
    left_in_the_end(&output)
}

/// The source has no entry of that name, so the server's name is told.
#[test]
fn entry_that_stays_because_of_max_delete_is_named_as_the_server_does() {
    let setting = Setting::start();
    setting.write("a", "x");
    setting.haul(&["sync", "s", &setting.at("box")]).assert().success();
    fs::write(setting.server.root().join("box/s/old"), "x").unwrap();
    let told = "haul: --max-delete: the server keeps box/s/old, and all else that the source lacks";
    for dry in ["-n", ""] {
        let line = format!("$H sync {dry} --delete --max-delete 0 s $A/box");
        let lines = lines(&setting, &line).join(" ").replace("  ", "");
        assert!(lines.starts_with(told), "{lines}");
    }
}

#[test]
fn large_file_that_the_server_has_already_is_unchanged() {
    let setting = Setting::start();
    let holes = File::create(setting.source().join("holes")).unwrap();
    holes.set_len(20 << 20).unwrap();
    let summary = || lines(&setting, "$H put s/holes $A").pop().unwrap();
    assert!(summary().starts_with("1 file, 20 MiB in "), "the first time");
    assert_eq!(summary(), "0 files, 0 B in T s, 1 unchanged; durability none");
    // The parts of a file that has another mtime are not taken for the file itself.
    holes.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(summary().starts_with("1 file, 20 MiB"));
}

/// All fail for the same reason, so the reason is told once.
#[test]
fn full_disk_is_told_in_a_sentence_once() {
    let setting = Setting::start_with(&["--durability", "none", "--keep-free", "1TiB"]);
    for name in ["a", "b", "c"] {
        setting.write(name, "x");
    }
    let lines = lines(&setting, "$H put --connections 1 s/a s/b s/c $A");
    let [first, second, more, _] = &lines[..] else { panic!("{lines:#?}") };
    assert!(first.starts_with("haul: s/"), "{lines:#?}");
    let told = [&first["haul: s/a: ".len()..], second.trim_start()].join(" ");
    assert!(told.starts_with("refused by the server: no room on its disk: "), "{told}");
    assert!(told.ends_with(" KiB needed, 0 B left, 1 TiB kept free (no_space)"), "{told}");
    assert_eq!(more, "haul: 2 more failed: no room at the server (no_space)");
    for words in ["-v", "--json"] {
        let output = setting.script(&format!("$H put {words} s/a s/b s/c $A 2>&1")).output().stdout;
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.matches("kept free").count(), 3, "{words}: {text}");
    }
}

#[test]
fn pattern_that_begins_with_the_path_of_the_source_is_told() {
    let setting = Setting::start();
    setting.write("in/sub/a", "x");
    let whole = setting.source().join("in").display().to_string();
    for (pattern, source, right) in [
        ("/in/sub", "s/in", "/sub"),
        ("/s/in/sub/", "s/in", "/sub/"),
        (&format!("{whole}/sub/*.o"), "s/in/", "/sub/*.o"),
    ] {
        let told = format!(
            "haul: --exclude `{pattern}` fits nothing: `/` is SRC itself there; write `{right}`"
        );
        let mut command =
            setting.script(&format!("$H sync --exclude '{pattern}' {source} $A 2>&1"));
        let text = String::from_utf8(command.output().stdout).unwrap();
        assert!(text.contains(&told), "{told}: {text}");
    }
    let lines = lines(&setting, "$H put --exclude /in/sub s/in $A");
    assert_eq!(
        lines[0],
        "haul: --exclude `/in/sub` fits nothing: `/` is SRC itself there; write `/sub`"
    );
    // It may fit, or is none of the source's paths.
    for (pattern, source) in [("/in/sub", "s"), ("/sub", "s/in"), ("in/none", "s/in"), ("/*", "s")]
    {
        let mut command =
            setting.script(&format!("$H sync --exclude '{pattern}' {source} $A 2>&1"));
        let text = String::from_utf8(command.output().stdout).unwrap();
        assert!(!text.contains("fits nothing"), "{pattern}: {text}");
    }
}

#[test]
fn source_that_can_not_be_read_is_told_in_a_line_and_survives_40_columns() {
    let setting = Setting::start();
    symlink("loop", setting.place.path().join("loop")).unwrap();
    for (source, told) in [
        ("nosuch", "haul: nosuch: could not read: No such file or directory"),
        ("loop/", "haul: loop/: could not read: Too many levels of symbolic links"),
    ] {
        assert_eq!(lines(&setting, &format!("$H put {source} $A"))[0], told);
    }
    let lines = lines(&setting, "$H publish nosuch $A/p");
    assert_eq!(lines, ["haul: there is no directory nosuch, of which to publish the contents"]);
    let long = "a-directory-with-a-name/and-a-file-with-quite-a-long-name-that-fits-no-line.txt";
    for source in ["nosuch", "loop/", long, "-"] {
        let line = format!("$H put {source} $A");
        fit(&output_of(&mut terminal(&setting, 40, &line)).stdout, 40);
    }
}
