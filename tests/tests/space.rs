//! `--keep-free`: so much stays free, whatever is sent by how many at once.

use blake3::hazmat::HasherExt;
use haul_tests::prelude::*;

const KEPT: u64 = 4 << 20;

/// A server whose root is a small file system in a mount namespace of its own.
struct Small {
    server: Hauld,
}

impl Small {
    fn start(words: &[&str]) -> Self {
        Self::of(12, words)
    }

    /// With so many MiB.
    fn of(size: u64, words: &[&str]) -> Self {
        let directory = place::in_memory().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut command = Command::new("unshare");
        let script =
            "set -e; mount -t tmpfs -o size=$SIZE,nr_inodes=0 tmpfs $ROOT; exec \"$HAULD\" \"$@\"";
        command.args(["-rm", "sh", "-c", script, "sh"]);
        command.env("ROOT", &root).env("HAULD", &binaries::get().hauld);
        command.env("SIZE", format!("{size}m"));
        let words = [&["--keep-free", "4MiB"], words].concat();
        Self { server: Hauld::start_in(directory, command, &words).unwrap() }
    }

    fn root(&self) -> PathBuf {
        let root = self.server.root().display().to_string();
        Path::new(&format!("/proc/{}/root{root}", self.server.pid())).to_owned()
    }

    /// Bytes that are free now.
    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.root()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// All that may be used is, and not more.
    #[track_caller]
    fn assert_kept(&self, what: &str) {
        let free = self.free();
        assert!(free >= KEPT, "{what}: only {free} bytes are free");
        assert!(free < KEPT + (1 << 20), "{what}: {free} bytes are free, room is not used");
    }

    /// Files that are open and have no name yet.
    fn under_way(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().flatten();
        let places = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        places
            .filter(|place| {
                place.to_string_lossy().contains("/.haul/staged/")
                    && place.to_string_lossy().ends_with("(deleted)")
            })
            .count()
    }

    fn peer(&self) -> Peer {
        self.server.peer()
    }
}

/// Asks for one entry after the other until one is refused for lack of room.
fn fill(peer: &mut Peer, mut next: impl FnMut(u64) -> (Value, Vec<u8>)) -> u64 {
    for id in 1.. {
        assert!(id < 50_000, "it never ends");
        let (header, body) = next(id);
        let answer = peer.ask(&header, &body).unwrap();
        if answer["ack"] == id {
            continue;
        }
        assert_eq!(answer["code"], "no_space", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("kept free"), "{answer}");
        return id - 1;
    }
    0
}

#[test]
fn files_of_one_byte_over_many_connections_leave_free_what_is_to_be_kept() {
    for durability in ["group", "none"] {
        let small = Small::start(&["--durability", durability]);
        let stored = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (small, stored) = (&small, &stored);
                scope.spawn(move || {
                    let mut peer = small.peer();
                    let count = fill(&mut peer, |id| {
                        (put(id, &format!("d{thread}/{id}"), b"x"), b"x".to_vec())
                    });
                    stored.fetch_add(usize::try_from(count).unwrap(), Ordering::Relaxed);
                });
            }
        });
        small.assert_kept(durability);
        assert!(stored.into_inner() > 1500);
        // What takes no room still goes, and what gives room back makes room.
        let mut peer = small.peer();
        let mkdir = json!({"cmd": "mkdir", "id": 1, "filename": "d0"});
        assert_eq!(peer.ask(&mkdir, b"").unwrap()["ack"], 1);
        for id in 2..12 {
            let remove = json!({"cmd": "remove", "id": id, "filename": format!("d0/{id}")});
            assert_eq!(peer.ask(&remove, b"").unwrap()["ack"], id);
        }
        assert_eq!(peer.ask(&put(12, "new", b"x"), b"x").unwrap()["ack"], 12);
        small.assert_kept(durability);
    }
}

#[test]
fn symlinks_and_files_of_a_block_and_a_byte_count_as_what_they_take() {
    let small = Small::start(&["--durability", "none"]);
    let target = "x".repeat(3000);
    let links = fill(&mut small.peer(), |id| {
        let name = format!("l/{id}");
        (json!({"cmd": "symlink", "id": id, "filename": name, "target": target}), Vec::new())
    });
    assert!(links > 1500, "{links}");
    small.assert_kept("symlinks");
    let small = Small::start(&["--durability", "none"]);
    let bytes = vec![7; 4097];
    fill(&mut small.peer(), |id| (put(id, &format!("f/{id}"), &bytes), bytes.clone()));
    small.assert_kept("files");
}

/// Staged trees and bundles, as a client sends them.
#[test]
fn tree_of_thousands_of_small_files_leaves_free_what_is_to_be_kept() {
    for durability in ["group", "none"] {
        let small = Small::start(&["--durability", durability]);
        let source = place::in_memory().unwrap();
        for directory in 0..40 {
            let directory = source.path().join(directory.to_string());
            fs::create_dir(&directory).unwrap();
            for file in 0..100 {
                fs::write(directory.join(file.to_string()), "x").unwrap();
            }
        }
        haul()
            .args(["put", "--connections", "4"])
            .arg(source.path().join("."))
            .arg(small.server.address())
            .assert()
            .code(1)
            .stderr(contains("kept free"));
        small.assert_kept(durability);
    }
}

/// Bytes that others have announced and not sent yet are not free.
#[test]
fn files_under_way_on_other_connections_have_their_room() {
    let small = Small::start(&["--durability", "none"]);
    let body = vec![7; 3 << 20];
    let mut waiting = Vec::new();
    for index in 0..2 {
        let mut peer = small.peer();
        let header = put(1, &format!("large{index}"), &body);
        let bytes = haul_tests::peer::frame(&header, &body);
        let (sent, rest) = bytes.split_at(200_000);
        peer.stream.write_all(sent).unwrap();
        waiting.push((peer, rest.to_vec()));
    }
    haul_tests::eventually("both are under way", || small.under_way() == 2);
    fill(&mut small.peer(), |id| (put(id, &format!("s/{id}"), b"x"), b"x".to_vec()));
    for (mut peer, rest) in waiting {
        peer.stream.write_all(&rest).unwrap();
        assert_eq!(peer.receive().unwrap().0["ack"], 1);
    }
    let free = small.free();
    assert!(free >= KEPT, "only {free} bytes are free");
}

/// Each part has its own room, though all of them come before the first one is over.
#[test]
fn parts_of_one_file_that_come_at_once_have_their_room_each() {
    let small = Small::start(&["--durability", "none"]);
    let (bytes, parts) = (vec![7; PART], 7);
    let mut opener = small.peer();
    let open = json!({
        "cmd": "open", "id": 1, "filename": "large", "filesize": parts * PART, "fingerprint": "f",
    });
    let opened = opener.ask(&open, b"").unwrap();
    assert_eq!(opened["part_size"], PART, "{opened}");
    let before = small.free();
    let begin = |index: usize| {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset((index * PART) as u64).update(&bytes);
        let cv = blake3::Hash::from_bytes(hasher.finalize_non_root()).to_string();
        let header = json!({
            "cmd": "part", "id": 1, "length": PART, "upload": opened["upload"],
            "offset": index * PART, "cv": cv,
        });
        let (mut peer, frame) = (small.peer(), haul_tests::peer::frame(&header, &bytes));
        let (sent, rest) = frame.split_at(100_000);
        peer.stream.write_all(sent).unwrap();
        (peer, rest.to_vec())
    };
    let waiting: Vec<_> = (0..parts).map(begin).collect();
    let begun = (parts * 80_000) as u64;
    haul_tests::eventually("all are under way", || small.free() + begun < before);
    fill(&mut small.peer(), |id| (put(id, &format!("s/{id}"), b"x"), b"x".to_vec()));
    for (mut peer, rest) in waiting {
        peer.stream.write_all(&rest).unwrap();
        assert_eq!(peer.receive().unwrap().0["ack"], 1);
    }
    small.assert_kept("parts");
}

/// Few peers that open large files and send nothing must not keep the disk from all others.
#[test]
fn open_without_a_byte_keeps_no_more_than_an_advance_from_others() {
    let small = Small::start(&["--durability", "none"]);
    let mut idle = small.peer();
    let open = json!({
        "cmd": "open", "id": 1, "filename": "idle", "filesize": 7 << 20, "fingerprint": "f",
    });
    assert!(idle.ask(&open, b"").unwrap()["code"].is_null());
    let bytes = vec![1; 3 << 20];
    let answer = small.peer().ask(&put(1, "other", &bytes), &bytes).unwrap();
    assert_eq!(answer["ack"], 1, "{answer}");
    assert!(small.free() >= KEPT);
}

/// Nor peers that send the header of a file and nothing of its body, in either dialect.
#[test]
fn header_without_a_body_keeps_no_room_from_others() {
    let small = Small::start(&["--durability", "none", "--workers", "1"]);
    let large = vec![1; 7 << 20];
    let mut idle = small.peer();
    idle.stream.write_all(&frame(&put(1, "idle", &large), b"")).unwrap();
    let mut classic = Peer::connect(small.server.address()).unwrap();
    let header = json!({"cmd": "put", "filename": "classic", "filesize": 7 << 20});
    classic.stream.write_all(&frame(&header, b"x")).unwrap();
    // Answered when all that came before it has been read.
    small.peer().ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap();
    let bytes = vec![1; 6 << 20];
    let answer = small.peer().ask(&put(1, "other", &bytes), &bytes).unwrap();
    assert_eq!(answer["ack"], 1, "{answer}");
    // Its bytes come when there is no room for them any more.
    idle.stream.write_all(&large).unwrap();
    assert_eq!(idle.receive().unwrap().0["code"], "no_space");
    assert!(small.free() >= KEPT);
}

/// One source each of small files, directories, directories in each other, symlinks, and large files.
fn sources() -> Vec<TempDir> {
    let sources: Vec<_> = (0..5).map(|_| place::in_memory().unwrap()).collect();
    for group in 0..90 {
        let (files, links) = (sources[0].path(), sources[3].path());
        let (files, links) = (files.join(format!("f{group}")), links.join(format!("l{group}")));
        fs::create_dir(&files).unwrap();
        fs::create_dir(&links).unwrap();
        for entry in 0..100 {
            fs::write(files.join(entry.to_string()), "x".repeat(entry * 20)).unwrap();
            let target = "t".repeat(1 + entry * 5);
            std::os::unix::fs::symlink(target, links.join(entry.to_string())).unwrap();
        }
    }
    for group in 0..100 {
        for entry in 0..120 {
            let path = sources[1].path().join(format!("d{group}/{entry}"));
            fs::create_dir_all(path).unwrap();
        }
    }
    let mut deep = sources[2].path().join("deep");
    for level in 0..400 {
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        deep.push((level % 10).to_string());
    }
    for file in 0..3 {
        fs::write(sources[4].path().join(format!("large{file}")), vec![file; 40_000_000]).unwrap();
    }
    sources
}

#[test]
fn five_clients_that_send_all_kinds_at_once_leave_free_what_is_to_be_kept() {
    let sources = sources();
    for round in 0..4 {
        let durability = if round % 2 == 0 { "group" } else { "none" };
        let small = Small::of(48, &["--durability", durability]);
        let clients: Vec<_> = sources
            .iter()
            .map(|source| {
                let mut client = haul_command();
                client.args(["put", "--connections", "4"]).arg(source.path().join("."));
                client.arg(small.server.address()).stderr(std::process::Stdio::null());
                client.spawn().unwrap()
            })
            .collect();
        let refused = clients
            .into_iter()
            .filter_map(|mut client| (!client.wait().unwrap().success()).then_some(()))
            .count();
        assert!(refused > 0, "all of it has room");
        small.assert_kept(&format!("round {round}, {durability}"));
    }
}

/// However many there are, and however often they are opened.
#[test]
fn uploads_of_which_nothing_comes_keep_no_room_from_others() {
    let small = Small::of(40, &["--durability", "none"]);
    let mut idle = small.peer();
    let bytes = vec![1; 6 << 20];
    let (mut peer, mut ids) = (small.peer(), 1..);
    for turn in 1..=3 {
        for name in 1..=8 {
            let open = json!({
                "cmd": "open", "id": ids.next(), "filename": format!("{name}"),
                "filesize": 7 << 20, "fingerprint": "f",
            });
            assert!(idle.ask(&open, b"").unwrap()["code"].is_null());
        }
        let answer = peer.ask(&put(turn, "other", &bytes), &bytes).unwrap();
        assert_eq!(answer["ack"], turn, "{answer}");
    }
}
