//! `haul cat`: files of a server on standard output.

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

const MIB: usize = 1 << 20;

#[test]
fn files_come_one_behind_the_other() {
    let setting = Setting::start();
    setting.write_there("empty", "");
    setting.write_there("small", "small\n");
    let large = counted(9 * MIB + 1);
    fs::write(setting.target().join("large"), &large).unwrap();
    fs::write(setting.target().join("even"), &large[..2 * MIB]).unwrap();
    let at = |name: &str| setting.at(&format!("s/{name}"));
    let words = ["cat", &at("small"), &at("large"), &at("empty"), &at("even"), &at("small")];
    let output = setting.haul(&words).assert().success().stderr("");
    let expected = [b"small\n", &large[..], &large[..2 * MIB], b"small\n"].concat();
    assert!(output.get_output().stdout == expected);
    let dash = setting.haul(&["get", &at("large"), "-"]).assert().success();
    assert!(dash.get_output().stdout == large);
}

#[test]
fn file_that_its_reader_does_not_take_whole_is_a_failure_without_a_word() {
    let setting = Setting::start();
    fs::write(setting.server.root().join("large"), counted(64 * MIB)).unwrap();
    let script = "set -o pipefail; $H cat $A/large | head -c 1 | wc -c";
    setting.script(script).assert().code(1).stdout("1\n").stderr("");
}

#[test]
fn output_that_can_not_be_written_is_a_failure() {
    let setting = Setting::start();
    setting.write_there("file", "x");
    let told = setting.script("$H cat $A/s/file >/dev/full").assert().failure();
    told.stderr(contains("could not write to standard output"));
}

#[test]
fn files_that_do_not_come_are_told_and_the_others_come() {
    let setting = Setting::start();
    setting.write_there("in/file", "file");
    symlink("file", setting.target().join("in/link")).unwrap();
    let at = |name: &str| setting.at(&format!("s/in/{name}"));
    let words = ["cat", &at("none"), &at("file"), &at("link"), &setting.at("s/in"), &at("file")];
    let told = setting.haul(&words).assert().code(1).stdout("filefile");
    told.stderr(
        contains("haul: s/in/none: ")
            .and(contains("haul: s/in/link: "))
            .and(contains("haul: s/in: ")),
    );
    for directory in [setting.at("s/"), setting.server.address().to_owned()] {
        let told = setting.haul(&["cat", &directory]).assert().code(1).stdout("");
        told.stderr(contains("a directory, not a file"));
    }
    setting.haul(&["cat", "./file"]).assert().code(2).stderr(contains("on this machine"));
    setting.haul(&["cat", &at("file"), "127.0.0.1:1/x"]).assert().code(2);
}

/// In parts as small as those that `cat` asks for first, it would have too many.
#[test]
fn begin_of_a_file_of_hundreds_of_gigabytes_comes() {
    let setting = Setting::start();
    let file = File::create(setting.server.root().join("huge")).unwrap();
    file.set_len(200 << 30).unwrap();
    let script = "set -o pipefail; $H cat $A/huge | head -c 20000000 | wc -c";
    setting.script(script).assert().code(1).stdout("20000000\n").stderr("");
}

#[test]
fn no_byte_comes_twice_if_the_server_is_killed_and_started_again() {
    let mut setting = Setting::start();
    let bytes = counted(40 * MIB);
    fs::write(setting.server.root().join("large"), &bytes).unwrap();
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    let mut command = haul_command();
    command.arg("cat").arg(format!("{}/large", relay.address()));
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = client.stdout.take().unwrap();
    let mut came = vec![0; 5 * MIB / 2];
    out.read_exact(&mut came).unwrap();
    let (root, log) = (setting.server.root().to_owned(), setting.server.log.clone());
    setting.server.signal(Signal::KILL).unwrap();
    setting.server.wait().unwrap();
    relay.now(Event::Cut);
    let next = Hauld::start_at(&root, &log, hauld_command(), &["--durability", "none"]).unwrap();
    setting.server.becomes(next);
    relay.lead_to(setting.server.address());
    out.read_to_end(&mut came).unwrap();
    let output = ended(client);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(came == bytes, "{} bytes", came.len());
}

#[test]
fn file_that_changes_after_its_first_part_ends_the_command() {
    let setting = Setting::start();
    let path = setting.server.root().join("large");
    fs::write(&path, counted(40 * MIB)).unwrap();
    let mut command = haul_command();
    command.args(["cat", &setting.at("large"), &setting.at("large")]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = client.stdout.take().unwrap();
    let mut came = vec![0; MIB];
    out.read_exact(&mut came).unwrap();
    fs::write(&path, vec![7; 40 * MIB]).unwrap();
    out.read_to_end(&mut came).unwrap();
    let output = ended(client);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("changed while it was read"), "{told}");
    assert!(came == counted(40 * MIB)[..came.len()], "bytes of two states are mixed");
}
