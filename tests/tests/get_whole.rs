//! `haul get` of a file of which the server knows the digest: parts come without a chaining value of the server's, and the file
//! gets its name only if all of them together have that digest.

use std::sync::{Arc, Mutex};

use haul_tests::bytes::{counted, repeated};
use haul_tests::prelude::*;
use haul_tests::scripted::{Answer, Scripted, file, finished, page, part};

const MIB: usize = 1 << 20;

/// Size of the file of a scripted server: five parts.
const SIZE: usize = 5 * MIB;

/// The requests for parts of a scripted server: each offset, and whether the digest of the whole file would do.
type Asked = Arc<Mutex<Vec<(u64, bool)>>>;

/// A server that keeps digests, whose answers the test changes.
fn knowing(change: impl Fn(&Value, &mut Answer) + Send + Sync + 'static) -> (Scripted, Asked) {
    let (bytes, asked) = (counted(SIZE), Asked::default());
    let noted = Arc::clone(&asked);
    let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("large", SIZE as u64)]),
        _ => {
            let is_whole = request["whole"] == true;
            noted.lock().unwrap().push((request["offset"].as_u64().unwrap(), is_whole));
            let mut answer = known(&bytes, request);
            change(request, &mut answer);
            answer
        }
    });
    (server, asked)
}

/// The right answer of a server that knows the digest of the file.
fn known(bytes: &[u8], request: &Value) -> Answer {
    let (mut header, body) = part(bytes, request);
    header["blake3"] = json!(blake3::hash(bytes).to_string());
    if request["whole"] == true {
        header.as_object_mut().unwrap().remove("cv");
    }
    (header, body)
}

/// How often the first of these parts was asked for in all, and how often without `whole`.
fn times(asked: &Asked) -> Vec<(usize, usize)> {
    let asked = asked.lock().unwrap();
    let count = |at: usize, only: bool| {
        let is_one =
            |(offset, whole): &&(u64, bool)| *offset == (at * MIB) as u64 && (!only || !whole);
        asked.iter().filter(is_one).count()
    };
    (0..SIZE / MIB).map(|at| (count(at, false), count(at, true))).collect()
}

#[test]
fn parts_without_chaining_values_make_the_file() {
    let (server, asked) = knowing(|_, _| {});
    let (code, told) = server.run(&["get", &server.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(fs::read(server.place.path().join("d/large")).unwrap() == counted(SIZE));
    assert_eq!(times(&asked), [(1, 0); 5]);
}

/// What `cat` has written can't be taken back.
#[test]
fn cat_has_each_part_compared_before_it_is_written() {
    let (server, asked) = knowing(|_, _| {});
    let (code, told) = server.run(&["cat", &format!("{}/large", server.address)]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(times(&asked), [(1, 1); 5]);
}

#[test]
fn wrong_byte_without_a_chaining_value_has_the_file_come_once_more_with_them() {
    for wrong in [0, 3] {
        let (server, asked) = knowing(move |request, answer| {
            if request["whole"] == true && request["offset"] == wrong * MIB {
                answer.1[7] ^= 1;
            }
        });
        let (code, told) = server.run(&["get", "--json", &server.address, "d"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(fs::read(server.place.path().join("d/large")).unwrap() == counted(SIZE));
        assert_eq!(times(&asked), [(2, 1); 5], "{wrong}");
    }
}

#[test]
fn file_that_does_not_have_its_digest_is_told_once_and_comes_twice_at_most() {
    // All parts are right, and the file is not the one that once came; then also a server that lies about the parts.
    let rotten = |request: &Value, answer: &mut Answer| {
        if request["offset"] == 2 * MIB {
            let mut bytes = counted(SIZE);
            bytes[2 * MIB + 7] ^= 1;
            let (header, body) = part(&bytes, request);
            if request["whole"] != true {
                answer.0["cv"] = header["cv"].clone();
            }
            answer.1 = body;
        }
    };
    let other = |_: &Value, answer: &mut Answer| answer.0["blake3"] = json!("ab".repeat(32));
    let changes: [fn(&Value, &mut Answer); 2] = [rotten, other];
    for change in changes {
        let (server, asked) = knowing(change);
        let told = server.fails(&[]);
        assert_eq!(told.matches("d/large: ").count(), 1, "{told}");
        assert!(told.contains("not those"), "{told}");
        assert_eq!(times(&asked), [(2, 1); 5]);
        let place = server.place.path().join("d");
        assert!(!place.exists() || fs::read_dir(place).unwrap().count() == 0);
    }
}

#[test]
fn answer_that_tells_too_little_ends_the_run() {
    let changes: [fn(&Value, &mut Answer); 4] = [
        // Neither.
        |_, answer| answer.0["blake3"] = Value::Null,
        |request, answer| {
            if request["offset"] != 0 {
                answer.0.as_object_mut().unwrap().remove("blake3");
            }
        },
        // Another digest in the same state.
        |request, answer| {
            if request["offset"] != 0 {
                answer.0["blake3"] = json!("ab".repeat(32));
            }
        },
        // No chaining value even though the whole was wrong.
        |_, answer| {
            answer.0.as_object_mut().unwrap().remove("cv");
            answer.1[7] ^= 1;
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let told = knowing(change).0.fails(&[]);
        assert!(!told.is_empty(), "{number}");
    }
}

/// The part that is asked for again after a loss, which may be the fault of the server's disk.
#[test]
fn part_over_which_a_connection_was_lost_is_read_by_the_server_before_it_answers() {
    for lost in [0, 3 * MIB] {
        let (bytes, refused) = (counted(SIZE), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&refused);
        let server = Scripted::breaking(move |request, _| {
            let is_lost = request["cmd"] == "get" && request["offset"] == lost;
            match request["cmd"].as_str() {
                Some("list") => Some(page(&[file("large", SIZE as u64)])),
                _ if is_lost && request["whole"] == true => None,
                _ if is_lost => {
                    counts.fetch_add(1, Ordering::Relaxed);
                    Some((haul_tests::fake::refusal(&json!(0), "io", false), Vec::new()))
                }
                _ => Some(known(&bytes, request)),
            }
        });
        let told = server.fails(&[]);
        assert!(told.contains("d/large: "), "{told}");
        assert_eq!(refused.load(Ordering::Relaxed), 1, "{lost} {told}");
    }
}

/// The first run ends after it has taken wrong bytes that nobody could compare; then the server knows no digests any more.
#[test]
fn digest_that_an_earlier_run_was_told_holds_for_the_parts_that_it_has_left() {
    let (bytes, is_first) = (counted(SIZE), Arc::new(AtomicBool::new(true)));
    let first = Arc::clone(&is_first);
    let server = Scripted::breaking(move |request, _| {
        let is_first = first.load(Ordering::Relaxed);
        match request["cmd"].as_str() {
            Some("list") => Some(page(&[file("large", SIZE as u64)])),
            // Until the client has had enough.
            _ if is_first && request["offset"] == 4 * MIB => {
                Some((haul_tests::fake::refusal(&json!(0), "io", false), Vec::new()))
            }
            _ if is_first => {
                let mut answer = known(&bytes, request);
                if request["whole"] == true && request["offset"] == MIB {
                    answer.1[7] ^= 1;
                }
                Some(answer)
            }
            _ => Some(part(&bytes, request)),
        }
    });
    let told = server.fails(&[]);
    assert!(told.contains("d/large"), "{told}");
    assert_eq!(fs::read_dir(server.place.path().join("d")).unwrap().count(), 1);
    is_first.store(false, Ordering::Relaxed);
    let (code, told) = server.run(&["get", &server.address, "d"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(fs::read(server.place.path().join("d/large")).unwrap() == counted(SIZE));
    assert_eq!(finished(&server.place.path().join("d")), ["large"]);
}

/// Size of the files of a real server.
const LARGE: usize = 48 * MIB;

/// A server that has `s/large`, and keeps the digest of it.
fn kept(words: &[&str]) -> Setting {
    let setting = Setting::start_with(words);
    let path = setting.source().join("large");
    fs::write(&path, counted(LARGE)).unwrap();
    set_mtime(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000));
    setting.sync(&[]);
    setting
}

/// A `haul get` that has some parts, and is stopped.
fn begun(setting: &Setting) -> Child {
    let place = setting.place.path().join("d");
    loop {
        let mut command = haul_command();
        command.current_dir(setting.place.path()).args(["get", "--json", "--limit-rate", "6MiB"]);
        command.arg(setting.at("s/large")).arg("d");
        let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("some parts are there", || {
            let entries = fs::read_dir(&place).into_iter().flatten().flatten();
            let blocks = |entry: fs::DirEntry| entry.metadata().map_or(0, |found| found.blocks());
            entries.map(blocks).max().unwrap_or(0) * 512 > 4 * MIB as u64
        });
        signal(&client, Signal::STOP);
        if !place.join("large").exists() {
            return client;
        }
        // On a busy machine it can be done before anybody stops it.
        signal(&client, Signal::CONT);
        drop(ended(client));
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn run_after_one_that_was_killed_goes_on_with_parts_that_nobody_has_compared() {
    let setting = kept(&[]);
    let mut client = begun(&setting);
    client.kill().unwrap();
    drop(ended(client));
    let output = setting.haul(&["get", "--json", &setting.at("s/large"), "d"]).assert().success();
    let summary = last(&output.get_output().stdout);
    assert!(summary["bytes_resumed"].as_u64() >= Some(2 * MIB as u64), "{summary}");
    assert!(summary["bytes_received"].as_u64() < Some(LARGE as u64), "{summary}");
    let place = setting.place.path().join("d");
    tree::compare(&setting.target().join("large"), &place.join("large")).unwrap();
    assert_eq!(tree::names(&place), ["large"]);
}

/// Trap `early_eof_is_not_success`. Bytes that change, whatever the times are set to then, are in no file here.
#[test]
fn file_that_changes_while_it_is_sent_is_never_mixed() {
    for how in ["in place", "rots", "shorter", "replaced"] {
        let setting = kept(&[]);
        let client = begun(&setting);
        let path = setting.target().join("large");
        let mtime = path.metadata().unwrap().modified().unwrap();
        let new = match how {
            "shorter" => counted(3 * MIB + 5),
            "replaced" => repeated(b"another file", LARGE),
            _ => [&repeated(b"other", LARGE - MIB)[..], &counted(LARGE)[LARGE - MIB..]].concat(),
        };
        // The client is stopped: a busy machine may take longer to write the file than the client has patience with one that goes
        // on changing.
        match how {
            "replaced" => {
                fs::write(path.with_file_name("new"), &new).unwrap();
                fs::rename(path.with_file_name("new"), &path).unwrap();
            }
            "shorter" => File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(3 * MIB as u64 + 5)
                .unwrap(),
            _ => fs::write(&path, &new).unwrap(),
        }
        if how == "rots" {
            set_mtime(&path, mtime);
        }
        signal(&client, Signal::CONT);
        let output = ended(client);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let place = setting.place.path().join("d/large");
        if how == "rots" {
            // Its digest seems to be the kept one still.
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(!place.exists());
        } else {
            assert!(output.status.success(), "{how}: {told}");
            let here = fs::read(&place).unwrap();
            assert!(here == new, "{how}, as before: {}", here == counted(LARGE));
        }
    }
}
