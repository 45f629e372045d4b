//! A directory of the source that is replaced while haul runs, by a symlink to a directory outside of the source for
//! example: the client takes and removes nothing in the other directory.

use haul_tests::meanwhile::Held;
use haul_tests::prelude::*;

const DIRECTORIES: usize = 10;
const FILES: usize = 60;

/// Bytes of a file; all together are far more than a client that is held has sent.
const SIZE: usize = 32 * 1024;

/// Fills `s`, and `outside` beside it with files of the same names.
fn setting() -> Setting {
    let setting = Setting::start_with(&["--durability", "group"]);
    for (place, text) in [("s", "own "), ("outside", "private ")] {
        for directory in 0..DIRECTORIES {
            let directory = setting.place.path().join(format!("{place}/{directory}"));
            fs::create_dir_all(&directory).unwrap();
            for file in 0..FILES {
                fs::write(directory.join(format!("{file}")), text.repeat(SIZE / text.len()))
                    .unwrap();
            }
            symlink(text, directory.join("symlink")).unwrap();
        }
    }
    setting.rests();
    setting
}

/// Something that comes in the place of a directory of the source.
#[derive(Debug, Clone, Copy)]
enum Other {
    /// A symlink to the directory of that name outside of the source.
    Symlink,
    /// That directory itself.
    Directory,
}

impl Other {
    fn replace(self, setting: &Setting, directory: &str) {
        let place = setting.place.path();
        let (path, moved) = (setting.source().join(directory), place.join("moved").join(directory));
        fs::create_dir_all(moved.parent().unwrap()).unwrap();
        fs::rename(&path, moved).unwrap();
        let outside = place.join("outside").join(directory);
        match self {
            Self::Symlink => symlink(outside, path).unwrap(),
            Self::Directory => fs::rename(outside, path).unwrap(),
        }
    }
}

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The first bytes have been sent.
    Early,
    /// The walk has found everything, and most is to be sent.
    Walked,
}

/// Runs haul with the source, and does something then. Returns haul's exit code, and what it told.
fn meanwhile(
    setting: &Setting,
    words: &[&str],
    when: When,
    act: impl FnOnce(),
) -> (Option<i32>, String) {
    let out = setting.place.path().join("out");
    let command = |address: &str| {
        let site = if words[0] == "publish" { "/www/site" } else { "" };
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" >\"$0\""]).arg(&out).arg(&binaries::get().haul);
        command.args(words).args(["--connections=1", "--json"]).arg(setting.source());
        command.arg(format!("{address}{site}"));
        command
    };
    let is_walked = |line: &str| {
        serde_json::from_str(line).is_ok_and(|line: Value| line["files_total"].is_u64())
    };
    let held = Held::start(&setting.server, command, || {
        if when == When::Walked {
            // The client is held meanwhile.
            eventually("the walk is over", || {
                fs::read_to_string(&out).unwrap().lines().any(is_walked)
            });
        }
        true
    });
    act();
    let output = held.go_on();
    let told = String::from_utf8(output.stderr).unwrap() + &fs::read_to_string(out).unwrap();
    (output.status.code(), told)
}

/// Files and symlinks of the other directories that are at the server.
fn private(setting: &Setting) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(setting.server.root()).into_iter().flatten();
    let paths = entries.map(walkdir::DirEntry::into_path);
    let is_private = |path: &PathBuf| match path.read_link() {
        Ok(target) => target.as_os_str() == "private ",
        Err(_) => fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"private")),
    };
    paths.filter(is_private).collect()
}

/// Files and symlinks below a directory beside the source.
fn count(setting: &Setting, place: &str) -> usize {
    let entries = walkdir::WalkDir::new(setting.place.path().join(place)).follow_root_links(true);
    entries.into_iter().flatten().filter(|entry| !entry.file_type().is_dir()).count()
}

fn nothing_of_another_is_sent(words: &[&str], other: Other) {
    let setting = setting();
    let (code, told) = meanwhile(&setting, words, When::Walked, || {
        (0..DIRECTORIES).for_each(|directory| other.replace(&setting, &directory.to_string()));
    });
    assert_eq!(private(&setting), Vec::<PathBuf>::new(), "{words:?} {other:?}: {told}");
    let in_source = if matches!(other, Other::Symlink) { DIRECTORIES } else { 0 };
    let left = count(&setting, "outside") + count(&setting, "s") - in_source;
    assert_eq!(left, DIRECTORIES * (FILES + 1), "{words:?} {other:?}: {told}");
    assert_eq!(code, Some(1), "{words:?} {other:?}: {told}");
    assert!(told.contains("its directory was replaced"), "{words:?} {other:?}: {told}");
}

#[test]
fn nothing_of_another_directory_is_put() {
    for other in [Other::Symlink, Other::Directory] {
        nothing_of_another_is_sent(&["put"], other);
        nothing_of_another_is_sent(&["put", "--links=follow"], other);
    }
}

#[test]
fn nothing_in_another_directory_is_removed_here() {
    for other in [Other::Symlink, Other::Directory] {
        nothing_of_another_is_sent(&["put", "--remove-source"], other);
    }
}

#[test]
fn nothing_of_another_directory_is_synced() {
    for other in [Other::Symlink, Other::Directory] {
        nothing_of_another_is_sent(&["sync"], other);
        nothing_of_another_is_sent(&["sync", "--delete"], other);
    }
}

/// A version is of what is there in the end, and of symlinks if these are.
#[test]
fn nothing_outside_of_the_source_is_published() {
    let setting = setting();
    let (code, told) = meanwhile(&setting, &["publish"], When::Early, || {
        (0..DIRECTORIES)
            .for_each(|directory| Other::Symlink.replace(&setting, &directory.to_string()));
    });
    assert_eq!(private(&setting), Vec::<PathBuf>::new(), "{told}");
    if code == Some(0) {
        tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
    }
}

/// All names are in the list; their directories are not.
#[test]
fn nothing_of_another_directory_is_put_from_a_list() {
    let setting = setting();
    let names = (0..DIRECTORIES)
        .flat_map(|directory| (0..FILES).map(move |file| format!("{directory}/{file}\n")));
    let list = setting.place.path().join("list");
    fs::write(&list, names.collect::<String>()).unwrap();
    let words = ["put", "--remove-source", "--files-from", list.to_str().unwrap()];
    let (code, told) = meanwhile(&setting, &words, When::Walked, || {
        (0..DIRECTORIES)
            .for_each(|directory| Other::Symlink.replace(&setting, &directory.to_string()));
    });
    assert_eq!(private(&setting), Vec::<PathBuf>::new(), "{told}");
    assert_eq!(count(&setting, "outside"), DIRECTORIES * (FILES + 1), "{told}");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("its directory was replaced"), "{told}");
}

/// The walk comes to it later, and has read the directory above before.
#[test]
fn nothing_below_a_symlink_that_has_come_above_is_sent() {
    let setting = Setting::start();
    // More entries than the client finds ahead of what it sends.
    for directory in 0..30 {
        for file in 0..700 {
            setting.write(&format!("{directory}/d/{file}"), &"own".repeat(200));
        }
    }
    setting.rests();
    let found = fs::read_dir(setting.source()).unwrap().map(|entry| entry.unwrap().file_name());
    let last = found.last().unwrap();
    let outside = setting.place.path().join("outside").join(&last).join("d");
    fs::create_dir_all(&outside).unwrap();
    (0..700).for_each(|file| fs::write(outside.join(file.to_string()), "private").unwrap());
    let (code, told) = meanwhile(&setting, &["put"], When::Early, || {
        Other::Symlink.replace(&setting, last.to_str().unwrap());
    });
    assert_eq!(private(&setting), Vec::<PathBuf>::new(), "{told}");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("its directory was replaced"), "{told}");
}

/// A file that is sent has another name outside of the source.
#[test]
fn name_in_another_directory_is_not_removed_here_even_if_it_is_the_same_file() {
    let setting = setting();
    let outside = setting.place.path().join("outside");
    fs::remove_dir_all(&outside).unwrap();
    for directory in 0..DIRECTORIES {
        fs::create_dir_all(outside.join(directory.to_string())).unwrap();
        for file in 0..FILES {
            let name = format!("{directory}/{file}");
            fs::hard_link(setting.source().join(&name), outside.join(&name)).unwrap();
        }
    }
    setting.rests();
    let (_, told) = meanwhile(&setting, &["put", "--remove-source"], When::Early, || {
        (0..DIRECTORIES)
            .for_each(|directory| Other::Symlink.replace(&setting, &directory.to_string()));
    });
    assert_eq!(count(&setting, "outside"), DIRECTORIES * FILES, "{told}");
}
