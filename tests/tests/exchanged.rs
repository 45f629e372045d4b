//! Another directory at a path of the source for a while: the client takes no file from it.

use std::sync::Mutex;

use haul_tests::prelude::*;
use rustix::process::geteuid;

const DIRECTORIES: usize = 10;
const FILES: usize = 60;

/// Bytes of a file; all together are far more than [`BACK`] and what the client has read ahead.
const SIZE: usize = 32 * 1024;

/// Bytes that the client has sent when another directory comes to the path, and when it goes again.
const THERE: u64 = 2 << 20;
const BACK: u64 = 8 << 20;

/// A source below `above`, and beside it something of the same names with other bytes.
fn source(setting: &Setting) -> [PathBuf; 2] {
    let places = ["above", "other"].map(|name| setting.place.path().join(name));
    for place in &places {
        let text = place.file_name().unwrap().to_str().unwrap().repeat(SIZE / 5);
        for directory in 0..DIRECTORIES {
            let directory = place.join(format!("s/m/{directory}"));
            fs::create_dir_all(&directory).unwrap();
            for file in 0..FILES {
                fs::write(directory.join(format!("{file}")), &text).unwrap();
            }
            std::os::unix::fs::symlink(&text[..5], directory.join("symlink")).unwrap();
        }
    }
    places
}

/// Runs haul with the source. `come` happens when [`THERE`] bytes have passed; `go` when [`BACK`] bytes have, or as soon as
/// haul has noticed. Returns haul's exit code and what it told.
fn run(
    setting: &Setting,
    mut command: Command,
    verb: &str,
    come: impl FnOnce(&Child),
    go: impl FnOnce(&Child),
) -> (Option<i32>, String) {
    let relay = Relay::start(setting.server.address(), &[(THERE, Event::Stall)]).unwrap();
    let site = if verb == "publish" { "/s" } else { "" };
    command.args([verb, "--connections=1"]);
    if verb == "sync" {
        command.arg("--delete");
    }
    command.arg(setting.place.path().join("above/s")).arg(format!("{}{site}", relay.address()));
    let mut running = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let told = Mutex::new(String::new());
    let look = || told.lock().unwrap().clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            lines.for_each(|line| told.lock().unwrap().push_str(&(line.unwrap() + "\n")))
        });
        eventually("the other directory may come", || relay.passed() >= THERE);
        come(&running);
        relay.now(Event::Resume);
        let noticed = || ["gone", "another", "once more"].iter().any(|word| look().contains(word));
        eventually("the other directory may go", || relay.passed() >= BACK || noticed());
        go(&running);
    });
    (running.wait().unwrap().code(), look())
}

/// It was published as it is, or haul says why it was not.
fn is_published_or_told(setting: &Setting, code: Option<i32>, told: &str) {
    if code == Some(0) {
        let source = setting.place.path().join("above/s");
        tree::compare_bytes(&source, &setting.target()).unwrap();
    } else {
        assert_eq!(code, Some(1), "{told}");
        assert!(!setting.target().exists(), "{told}");
        assert!(told.contains("since this began") || told.contains("changed each"), "{told}");
    }
}

fn exchange(one: &Path, other: &Path) {
    let (flags, here) = (rustix::fs::RenameFlags::EXCHANGE, rustix::fs::CWD);
    rustix::fs::renameat_with(here, one, here, other, flags).unwrap();
}

#[test]
fn directory_above_the_source_is_exchanged_for_a_while_and_nothing_of_the_other_is_published() {
    let setting = Setting::start();
    let [above, other] = source(&setting);
    let haul = haul_command();
    let swap = |_: &Child| exchange(&above, &other);
    let (code, told) = run(&setting, haul, "publish", swap, swap);
    is_published_or_told(&setting, code, &told);
}

/// Files that are not there are told, and sent by the next run.
#[test]
fn directory_above_the_source_is_exchanged_for_a_while_and_nothing_of_the_other_is_sent() {
    let setting = Setting::start();
    let [above, other] = source(&setting);
    setting.write_there("kept", "x");
    let haul = haul_command();
    let swap = |_: &Child| exchange(&above, &other);
    let (code, told) = run(&setting, haul, "sync", swap, swap);
    assert_eq!(code, Some(1), "{told}");
    assert!(setting.there("kept"), "{told}");
    for entry in walkdir::WalkDir::new(setting.target()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() && entry.file_name() != "kept" {
            assert!(fs::read(entry.path()).unwrap().starts_with(b"above"), "{entry:?}");
        }
    }
    let mut again = haul_command();
    again.args(["sync", "--delete"]).arg(above.join("s")).arg(setting.server.address());
    assert!(again.status().unwrap().success());
    tree::compare_bytes(&above.join("s"), &setting.target()).unwrap();
}

#[test]
fn something_is_mounted_on_a_directory_of_the_source_for_a_while_and_nothing_of_it_is_published() {
    let setting = Setting::start();
    let [above, other] = source(&setting);
    let user: &[&str] = if geteuid().is_root() { &[] } else { &["--user"] };
    let map: &[&str] = if geteuid().is_root() { &[] } else { &["--map-root-user"] };
    let mut haul = Command::new("unshare");
    haul.arg("--mount").args(user).args(map).arg(&binaries::get().haul);
    let inside = |running: &Child| {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--target={}", running.id())).arg("--mount").args(user);
        inside.arg("--preserve-credentials");
        inside
    };
    let (from, to) = (other.join("s/m"), above.join("s/m"));
    let come = |running: &Child| {
        let mount = inside(running).args(["mount", "--bind"]).arg(&from).arg(&to).status();
        assert!(mount.unwrap().success());
    };
    let go = |running: &Child| {
        // If haul has ended, its mounts have gone with it.
        let _ = inside(running).args(["umount", "-l"]).arg(&to).stderr(Stdio::null()).status();
    };
    let (code, told) = run(&setting, haul, "publish", come, go);
    is_published_or_told(&setting, code, &told);
}
