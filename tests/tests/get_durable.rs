//! `haul get --durability`: flushes of the client, seen by strace, which also lets them fail or last.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;
use haul_tests::traced::Traced;

/// The calls that flush, and those that give names.
const CALLS: &str = "trace=fsync,fdatasync,syncfs,linkat,renameat,renameat2";

/// A server with small files, one of which is in a directory, and a large one.
fn setting() -> Setting {
    let setting = Setting::start();
    for name in ["a", "b", "in/c"] {
        setting.write_there(name, "new");
    }
    fs::write(setting.target().join("large"), counted(5 << 20)).unwrap();
    setting
}

/// Gets `s/` into `d`, where older files are; returns the output and the calls.
fn get(setting: &Setting, inject: &[&str], words: &[&str]) -> (Output, Vec<String>) {
    let place = setting.place.path().join("d");
    fs::create_dir_all(place.join("in")).unwrap();
    for name in ["a", "in/c", "large"] {
        fs::write(place.join(name), "old").unwrap();
    }
    let traced = Traced::new(&[&["-e", CALLS], inject].concat());
    let mut command = traced.haul();
    command.current_dir(setting.place.path()).args(["get", "--connections", "1"]).args(words);
    let output = output_of(command.args([&setting.at("s/"), "d"]));
    (output, traced.calls())
}

/// Whether a call gives an entry of `d` its final name.
fn names_an_entry(call: &str) -> bool {
    let gives = call.starts_with("linkat(") || call.starts_with("rename");
    let last = call.rsplit('"').nth(1).unwrap_or_default();
    gives && Traced::result(call) == Some(0) && !last.starts_with(".haul-")
}

fn is_flush(call: &str) -> bool {
    call.starts_with("fsync(") || call.starts_with("fdatasync(")
}

#[test]
fn each_file_is_flushed_before_it_has_its_name_and_the_file_system_in_the_end() {
    let setting = setting();
    let (output, calls) = get(&setting, &[], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut flushed, mut named) = (0, 0);
    for call in &calls {
        flushed += usize::from(is_flush(call) && Traced::result(call) == Some(0));
        named += usize::from(names_an_entry(call));
        assert!(named <= flushed, "{calls:#?}");
    }
    assert_eq!(named, 4, "{calls:#?}");
    let last_name = calls.iter().rposition(|call| names_an_entry(call)).unwrap();
    let flush = calls.iter().rposition(|call| call.starts_with("syncfs("));
    assert!(flush > Some(last_name), "{calls:#?}");
    tree::compare_bytes(&setting.target(), &setting.place.path().join("d")).unwrap();
}

#[test]
fn nothing_is_flushed_with_durability_none() {
    let setting = setting();
    let (output, calls) = get(&setting, &[], &["--durability", "none"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(calls.iter().filter(|call| names_an_entry(call)).count(), 4, "{calls:#?}");
    assert!(!calls.iter().any(|call| is_flush(call) || call.starts_with("syncfs(")), "{calls:#?}");
}

/// Trap `close_or_fsync_error_dropped`: a file that could not be flushed has not come, and the old one is still there.
#[test]
fn close_or_fsync_error_dropped_by_nobody() {
    let setting = setting();
    let inject = ["-e", "inject=fsync,fdatasync:error=EIO"];
    let (output, _) = get(&setting, &inject, &["--receipt", "r"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let place = setting.place.path().join("d");
    for name in ["a", "b", "in/c", "large"] {
        assert!(told.contains(&format!("haul: d/{name}: could not flush it")), "{told}");
    }
    assert_eq!(tree::names(&place), ["a", "in/c", "large"]);
    for name in ["a", "in/c", "large"] {
        assert_eq!(fs::read_to_string(place.join(name)).unwrap(), "old");
    }
    let receipt = fs::read_to_string(setting.place.path().join("r")).unwrap_or_default();
    assert_eq!(receipt, "");
}

/// Names and directories may not be on the disk then.
#[test]
fn file_system_that_can_not_be_flushed_is_a_failure() {
    let setting = setting();
    let inject = ["-e", "inject=syncfs:error=EIO"];
    let (output, _) = get(&setting, &inject, &["--receipt", "r"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("haul: d: could not") && told.contains("may not be durable"), "{told}");
    assert!(!setting.place.path().join("r").exists());
}

/// Trap `slow_flush_times_out`: each flush takes longer than either side waits for the other.
#[test]
fn slow_flush_times_out_on_neither_side() {
    let setting = Setting::start_with(&["--durability", "none", "--body-timeout", "1s"]);
    for name in ["a", "b"] {
        setting.write_there(name, "new");
    }
    fs::write(setting.target().join("large"), counted(40 << 20)).unwrap();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    let traced = Traced::new(&["-e", CALLS, "-e", "inject=fsync,fdatasync:delay_enter=3000000"]);
    let mut command = traced.haul();
    command.current_dir(setting.place.path());
    command.args(["get", "--connections", "1", "--timeout", "2s"]);
    let output = output_of(command.args([&format!("{}/s/", relay.address()), "d"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(relay.accepted(), 1);
    tree::compare_bytes(&setting.target(), &setting.place.path().join("d")).unwrap();
}

/// Trap `staging_on_other_file_system`: another one is mounted in the target, into which files, parts and symlinks come.
#[test]
fn staging_on_other_file_system_is_never_needed_and_both_are_flushed() {
    let setting = setting();
    symlink("c", setting.target().join("in/link")).unwrap();
    tree::copy(&setting.target().join("large"), &setting.target().join("in/large"));
    fs::create_dir_all(setting.place.path().join("d/in")).unwrap();
    let script = "
        set -e
        mount -t tmpfs none d/in
        strace -f -y -qq -e trace=syncfs -o calls $H get $A/s/ d
        diff -r --no-dereference d $A_ROOT/s
        test -z \"$(find d -name '.haul*')\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", script]).current_dir(setting.place.path());
    command.env("H", &binaries::get().haul).env("A", setting.server.address());
    let output = output_of(command.env("A_ROOT", setting.server.root()).env("HAUL_CONFIG", ""));
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(setting.place.path().join("calls")).unwrap();
    for path in ["/d>", "/d/in>"] {
        assert!(calls.contains(path), "{path} is not flushed: {calls}");
    }
}
