//! `haul get`, and `haul sync` from a server, while somebody moves, removes or covers directories of the target.

use std::io::ErrorKind;

use haul_tests::mounts::haul_after;
use haul_tests::prelude::*;

/// Files of `k`: all are small, so the first of them have their names when most are still to come.
const FILES: u64 = 1024;

/// Words of each run: one connection, which [`Held`] needs, and no wait for the disk.
const PLAIN: [&str; 4] = ["--connections", "1", "--durability", "none"];

/// A server with the large directory `s/k` and the small one `s/m`, and `here/m` with an entry that the server lacks.
fn setting() -> Setting {
    let setting = Setting::start();
    let text = "x".repeat(usize::try_from(LARGE / FILES).unwrap());
    for number in 0..FILES {
        setting.write_there(&format!("k/{number}"), &text);
    }
    setting.write_there("m/file", "file");
    for name in ["here/m", "other"] {
        fs::create_dir_all(setting.place.path().join(name)).unwrap();
    }
    fs::write(here(&setting).join("m/extra"), "extra").unwrap();
    fs::write(setting.place.path().join("other/precious"), "precious").unwrap();
    set_mode(setting.place.path().join("other"), 0o750);
    setting
}

fn here(setting: &Setting) -> PathBuf {
    setting.place.path().join("here")
}

/// Whether a file of `k` is in a directory.
fn has_begun(directory: &Path) -> bool {
    fs::read_dir(directory.join("k")).is_ok_and(|mut entries| entries.next().is_some())
}

/// Runs `haul` with these words from `s/` into `here`, does something when files have come, and returns the code and standard
/// error.
fn during(setting: &Setting, words: &[&str], act: impl FnOnce(&Path)) -> (Option<i32>, String) {
    let command = |address: &str| {
        let mut command = haul_command();
        command.current_dir(setting.place.path()).args(words).args(PLAIN);
        command.arg(format!("haul://{address}/s/")).arg("here");
        command
    };
    let held = Held::start_get(&setting.server, command, || has_begun(&here(setting)));
    act(setting.place.path());
    let output = held.go_on();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn directory_that_took_the_place_of_one_of_the_target_loses_nothing_and_keeps_its_mode() {
    let setting = setting();
    let (code, told) = during(&setting, &["sync", "--delete", "--force-delete"], |place| {
        fs::rename(place.join("here/m"), place.join("old")).unwrap();
        fs::rename(place.join("other"), place.join("here/m")).unwrap();
    });
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("here/m: another directory is here now"), "{told}");
    assert_eq!(tree::names(&here(&setting).join("m")), ["precious"]);
    assert_eq!(mode(here(&setting).join("m")), 0o750);
    assert_eq!(told.matches("here/m").count(), 1, "{told}");
}

#[test]
fn file_that_took_the_place_of_a_directory_of_the_target_is_a_failure() {
    let setting = setting();
    let (code, told) = during(&setting, &["sync", "--delete"], |place| {
        fs::rename(place.join("here/m"), place.join("old")).unwrap();
        fs::write(place.join("here/m"), "file").unwrap();
    });
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("here/m: another entry is here now"), "{told}");
    assert_eq!(fs::read(here(&setting).join("m")).unwrap(), b"file");
}

#[test]
fn directory_that_was_moved_away_while_files_came_into_it_is_a_failure_of_a_get() {
    let setting = setting();
    let (code, told) = during(&setting, &["get"], |place| {
        fs::rename(place.join("here/k"), place.join("old")).unwrap();
    });
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("here/k: it was removed or moved away"), "{told}");
    assert_eq!(fs::read_dir(setting.place.path().join("old")).unwrap().count() as u64, FILES);
}

#[test]
fn target_that_was_moved_away_while_files_came_is_a_failure_and_gives_no_receipt() {
    for words in [&["get", "--receipt", "receipt"][..], &["sync", "--delete"]] {
        let setting = setting();
        let (code, told) = during(&setting, words, |place| {
            fs::rename(place.join("here"), place.join("old")).unwrap();
            fs::create_dir_all(place.join("here/m")).unwrap();
            fs::write(place.join("here/m/precious"), "precious").unwrap();
        });
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("here: another directory is here now"), "{told}");
        assert_eq!(tree::names(&here(&setting)), ["m/precious"]);
        assert!(setting.place.path().join("old/m/extra").exists());
        assert!(!setting.place.path().join("receipt").exists(), "{told}");
    }
}

#[test]
fn directory_that_was_removed_while_files_came_into_it_is_told() {
    let setting = setting();
    let (code, told) = during(&setting, &["get"], |place| {
        let gone = place.join("gone");
        fs::rename(place.join("here"), &gone).unwrap();
        // Files come meanwhile, also into the directory that was just emptied.
        eventually("the directory is removed", || match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => false,
            removed => removed.map(|()| true).unwrap(),
        });
    });
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("its directory was removed while files came"), "{told}");
    assert!(told.contains("here: it was removed or moved away"), "{told}");
    assert!(!told.contains("not permitted"), "{told}");
}

/// A program in the namespaces of a client, with these words.
fn inside(client: &mut Child, words: &[&str], path: &Path) {
    let id = client.id().to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &id, "-U", "-m", "--preserve-credentials"]).args(words).arg(path);
    assert!(command.status().unwrap().success());
}

/// `haul` in a mount namespace of its own, which first runs `setup` in a shell; for [`Held`].
fn apart(setting: &Setting, setup: &str, verb: &[&str], address: &str) -> Command {
    let mut command = haul_after(setup, setting.place.path());
    command.current_dir(setting.place.path()).args(verb).args(PLAIN);
    command.arg(format!("haul://{address}/s/")).arg("here");
    command
}

#[test]
fn what_is_mounted_on_a_directory_of_the_target_meanwhile_loses_nothing() {
    let setting = setting();
    let place = setting.place.path();
    let command = |address: &str| apart(&setting, "true", &["sync", "--delete"], address);
    let mut held = Held::start_get(&setting.server, command, || has_begun(&here(&setting)));
    let other = place.join("other");
    let words = ["mount", "--bind", other.to_str().unwrap()];
    inside(held.client(), &words, &place.join("here/m"));
    let output = held.go_on();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("here/m: another directory is here now"), "{told}");
    assert!(place.join("other/precious").exists());
    assert!(place.join("here/m/extra").exists());
}

#[test]
fn target_whose_file_system_is_unmounted_meanwhile_is_a_failure() {
    let setting = setting();
    let place = setting.place.path();
    let setup = "mount -t tmpfs none \"$PLACE/here\"; echo $$ >\"$PLACE/id\"";
    let command = |address: &str| apart(&setting, setup, &["get"], address);
    let has_begun_inside = || {
        let id = fs::read_to_string(place.join("id")).unwrap_or_default();
        let root = PathBuf::from(format!("/proc/{}/root", id.trim()));
        has_begun(&root.join(here(&setting).strip_prefix("/").unwrap()))
    };
    let mut held = Held::start_get(&setting.server, command, has_begun_inside);
    inside(held.client(), &["umount", "-l"], &here(&setting));
    let output = held.go_on();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("here: another directory is here now"), "{told}");
}
