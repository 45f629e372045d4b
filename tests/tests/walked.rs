//! What changes in a source while haul runs, before the walk gets there, is not taken for removed.

use haul_tests::prelude::*;
use rustix::process::geteuid;

/// Together they have more in them than the client's queue takes for one connection.
const DIRECTORIES: usize = 100;

/// The walk waits in the first directories when the queue is full, and has not come to the last one then. All are at
/// the server, with more there.
fn sent() -> Setting {
    let setting = Setting::start();
    for directory in 0..DIRECTORIES {
        for index in 0..40 {
            setting.write(&format!("{directory}/{index}"), "x");
        }
        setting.write(&format!("{directory}/m/inside"), "x");
    }
    setting.sync(&[]);
    setting.write_there(&format!("{}/gone", name(&first(&setting))), "x");
    setting
}

/// In the order in which a directory is read.
fn directories(setting: &Setting) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(setting.source()).unwrap().map(|entry| entry.unwrap().path())
}

fn first(setting: &Setting) -> PathBuf {
    directories(setting).next().unwrap()
}

fn last(setting: &Setting) -> PathBuf {
    directories(setting).last().unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn command(setting: &Setting, words: &[&str]) -> Command {
    let mut command = haul_command();
    command.args(["sync", "--delete", "--quiet", "--connections=1"]).args(words);
    command.arg(setting.source()).arg(setting.server.address()).stderr(Stdio::piped());
    command
}

/// Does something to the source while haul runs, before the walk has come to the last directory.
fn meanwhile(setting: &Setting, words: &[&str], act: impl FnOnce()) -> (Option<i32>, String) {
    meanwhile_of(setting, command(setting, words), |_| act())
}

fn meanwhile_of(
    setting: &Setting,
    mut command: Command,
    act: impl FnOnce(&Child),
) -> (Option<i32>, String) {
    setting.server.signal(Signal::STOP).unwrap();
    let running = command.spawn().unwrap();
    eventually("the source is held", || is_held(&running, &setting.source()));
    act(&running);
    setting.server.signal(Signal::CONT).unwrap();
    let output = ended(running);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whether the client has a directory below this one open: then it has read which there are.
fn is_held(running: &Child, path: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    let is_below = |open: PathBuf| open.starts_with(path) && open != path;
    open.flatten().any(|open| fs::read_link(open.path()).is_ok_and(is_below))
}

/// The next run goes by what is there then.
fn next(setting: &Setting) {
    assert!(command(setting, &[]).status().unwrap().success());
    setting.same();
}

#[test]
fn what_is_moved_before_the_walk_gets_there_is_sent_before_it_is_removed_under_its_old_name() {
    for moved in ["m", "7"] {
        let setting = sent();
        let (first, last) = (first(&setting), last(&setting));
        let to = first.join("moved");
        let (code, told) = meanwhile(&setting, &[], || fs::rename(last.join(moved), to).unwrap());
        assert_eq!(code, Some(0), "{told}");
        setting.same();
    }
}

#[test]
fn what_is_removed_before_the_walk_gets_there_goes() {
    let setting = sent();
    let last = last(&setting);
    let (code, told) = meanwhile(&setting, &[], || fs::remove_file(last.join("7")).unwrap());
    assert_eq!(code, Some(0), "{told}");
    setting.same();
}

#[test]
fn directory_that_is_gone_when_the_walk_gets_there_loses_nothing_whatever_the_flags() {
    let setting = sent();
    let (first, last) = (first(&setting), last(&setting));
    let to = first.join("moved");
    let (code, told) = meanwhile(&setting, &["--force-delete"], || fs::rename(&last, to).unwrap());
    assert_eq!(code, Some(1), "{told}");
    assert!(setting.there(&format!("{}/m/inside", name(&last))), "{told}");
    // Nor does any other directory.
    assert!(setting.there(&format!("{}/gone", name(&first))), "{told}");
    next(&setting);
}

#[test]
fn what_was_removed_just_before_haul_started_goes() {
    let setting = sent();
    for index in 0..10 {
        fs::remove_file(setting.source().join(format!("1/{index}"))).unwrap();
        next(&setting);
    }
}

/// Runs haul where it can mount, after one script; another script runs there before the walk has come to `$M`.
fn with_mounts(setting: &Setting, before: &str, then: &str) -> (Option<i32>, String) {
    let place = setting.place.path();
    let m = last(setting).join("m");
    let user: &[&str] = if geteuid().is_root() { &[] } else { &["--user"] };
    let map: &[&str] = if geteuid().is_root() { &[] } else { &["--map-root-user"] };
    let mut command = Command::new("unshare");
    let script = format!("{before} && exec \"$@\"");
    command.arg("--mount").args(user).args(map).args(["sh", "-c", &script, "sh"]);
    command.arg(&binaries::get().haul);
    command.args(["sync", "--delete", "--force-delete", "--quiet", "--connections=1"]);
    command.arg(setting.source()).arg(setting.server.address());
    command.env("P", place).env("M", &m).stderr(Stdio::piped());
    meanwhile_of(setting, command, |running| {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", running.id())).arg("--mount").args(user);
        command.arg("--preserve-credentials").args(["sh", "-c", then]);
        assert!(command.env("P", place).env("M", &m).status().unwrap().success());
    })
}

#[test]
fn mount_that_goes_or_comes_before_the_walk_gets_there_removes_nothing() {
    for (before, then) in [
        ("mount --bind \"$P/a disk\" \"$M\"", "umount -l \"$M\""),
        (":", "mount --bind \"$P/empty\" \"$M\""),
    ] {
        let setting = sent();
        let (place, m) = (setting.place.path(), last(&setting).join("m"));
        fs::create_dir(place.join("a disk")).unwrap();
        fs::create_dir(place.join("empty")).unwrap();
        if before != ":" {
            fs::rename(m.join("inside"), place.join("a disk/inside")).unwrap();
        }
        let (code, told) = with_mounts(&setting, before, then);
        assert_eq!(code, Some(1), "{then}: {told}");
        assert!(told.contains(&format!("what is mounted at {}", m.display())), "{told}");
        assert!(setting.there(&format!("{}/m/inside", name(&last(&setting)))), "{told}");
        assert!(setting.there(&format!("{}/gone", name(&first(&setting)))), "{told}");
    }
}
