//! Lists and rules that were written on Windows: lines end with a carriage return as well, and the first one may begin with
//! a byte order mark.

use haul_tests::prelude::*;

#[test]
fn list_with_carriage_returns_and_a_byte_order_mark_names_the_same_files() {
    let setting = Setting::start();
    for name in ["first", "d/second", "last", "not"] {
        setting.write(name, name);
    }
    let list = b"\xef\xbb\xbffirst\r\n\r\nd/second\r\nlast\r";
    let mut command = setting.haul(&["put", "--files-from", "-", "s", setting.server.address()]);
    let done = command.write_stdin(&list[..]).assert().success();
    done.stdout(contains("3 files,").and(contains("failed").not()));
    for (name, there) in [("first", true), ("d/second", true), ("last", true), ("not", false)] {
        assert_eq!(setting.there(name), there, "{name}");
    }
}

#[test]
fn name_that_ends_with_a_carriage_return_is_sent_from_a_list_with_nul_bytes() {
    let setting = Setting::start();
    setting.write("odd\r", "x");
    setting.write("\u{feff}odd", "x");
    let words = ["put", "--files-from", "-", "s", setting.server.address()];
    let lines = setting.haul(&words).write_stdin("odd\r\n").assert().code(1);
    lines.stderr(contains("odd: could not look at"));
    let list = "odd\r\0\u{feff}odd\0";
    setting.haul(&words).arg("-0").write_stdin(list).assert().success();
    assert!(setting.there("odd\r") && setting.there("\u{feff}odd"));
}

#[test]
fn rules_with_carriage_returns_and_a_byte_order_mark_leave_out_the_same_files() {
    let setting = Setting::start();
    for name in ["a.log", "a.tmp", "kept"] {
        setting.write(name, name);
    }
    fs::write(setting.place.path().join("rules"), b"\xef\xbb\xbf*.log\r\n\r\n*.tmp\r\n").unwrap();
    let words = ["put", "--exclude-from", "rules", "s", setting.server.address()];
    setting.haul(&words).assert().success();
    assert!(setting.there("kept") && !setting.there("a.log") && !setting.there("a.tmp"));
}
