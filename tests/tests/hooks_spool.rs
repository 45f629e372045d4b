//! The spool of the hook `on-commit` never has more bytes than its owner allows.

use haul_tests::hook::Hook;
use haul_tests::prelude::*;

/// `--hook-spool`.
const MOST: u64 = 64 << 10;

/// Bytes in the files of the spool.
fn spooled(server: &Hauld) -> u64 {
    let files = fs::read_dir(server.root().join(".haul/hooks")).unwrap().map(Result::unwrap);
    // One that is delivered may go meanwhile.
    let lens = files.filter(|file| file.file_name() != "delivered").map(|file| file.metadata());
    lens.map(|found| found.map_or(0, |found| found.len())).sum()
}

/// Asks for many changes before the first of them is done, until all are answered: of files below this directory, which is new
/// if `is_made`.
fn ask_for_many(server: &Hauld, directory: &str, is_made: bool) {
    let mut peer = server.peer();
    let mut bytes = Vec::new();
    let mut id = 0;
    if is_made {
        id = 1;
        let mkdir = json!({"cmd": "mkdir", "id": 1, "filename": directory});
        bytes.extend(frame(&mkdir, b""));
    }
    for _ in 0..1500 {
        id += 1;
        // JSON has six letters for each of these.
        let name = format!("{directory}/{}{id}", "\u{1}".repeat(20));
        bytes.extend(frame(&put(id, &name, b""), b""));
    }
    peer.stream.write_all(&bytes).unwrap();
    drop(peer.end());
}

#[test]
fn spool_never_has_more_than_its_owner_allows_however_many_changes_are_under_way() {
    for durability in ["none", "group"] {
        for is_made in [false, true] {
            let hook = Hook::new("exit 1");
            let own = hook.words("--on-commit");
            let most = MOST.to_string();
            let words = [&own[0], &own[1], "--durability", durability, "--hook-spool", &most];
            let server = server_with(&words);
            fs::create_dir(server.root().join("old")).unwrap();
            let directory = if is_made { "new" } else { "old" };
            thread::scope(|scope| {
                for slot in 0..3 {
                    let directory = format!("{directory}/{slot}");
                    let server = &server;
                    if !is_made {
                        fs::create_dir(server.root().join(&directory)).unwrap();
                    }
                    scope.spawn(move || ask_for_many(server, &directory, is_made));
                }
            });
            let bytes = spooled(&server);
            assert!(bytes <= MOST, "{durability}, {directory}: {bytes}");
            assert!(bytes > MOST / 4, "{durability}, {directory}: {bytes}");
            // Each change that was made is told.
            let files = tree::names(server.root()).into_iter();
            let files = files.filter(|name| name.starts_with(directory) && name.contains('\u{1}'));
            let mut files: Vec<_> = files.collect();
            files.sort();
            assert!(!files.is_empty());
            hook.becomes("cat >> told");
            let told = || {
                let told = hook.told();
                let of_files = told.iter().filter(|event| event["event"] == "file");
                let mut names: Vec<_> =
                    of_files.map(|event| event["name"].as_str().unwrap().to_owned()).collect();
                names.sort();
                names
            };
            eventually("all changes are told", || told().len() >= files.len());
            assert_eq!(told(), files);
            // There is room again.
            let mut peer = server.peer();
            let mut id = 0;
            eventually("a change comes", || {
                id += 1;
                peer.ask(&put(id, "last", b"x"), b"x").unwrap()["ack"] == id
            });
        }
    }
}

/// Its record alone is most of what the spool may have.
#[test]
fn change_with_the_longest_names_comes_when_the_hook_has_taken_all_others() {
    for durability in ["none", "group"] {
        let hook = Hook::taking();
        let own = hook.words("--on-commit");
        let most = MOST.to_string();
        let words = [&own[0], &own[1], "--durability", durability, "--hook-spool", &most];
        let server = server_with(&words);
        let mut peer = server.peer();
        let mut id = 0;
        let mut takes = |request: &dyn Fn(u64) -> Value| {
            id += 1;
            peer.ask(&request(id), b"").unwrap()["ack"] == id
        };
        // A file of the spool that is not full stays.
        for at in 0..30 {
            assert!(takes(&|id| put(id, &format!("f{at}"), b"")));
        }
        let component = "\u{1}".repeat(255);
        let name = [&*component; 15].join("/");
        let to = name.clone() + "/x";
        let name = name + "/y";
        eventually("the file comes", || takes(&|id| put(id, &name, b"")));
        eventually("it is renamed", || {
            takes(&|id| json!({"cmd": "rename", "id": id, "filename": name, "to": to}))
        });
        eventually("it is told", || hook.told().iter().any(|event| event["event"] == "rename"));
    }
}
