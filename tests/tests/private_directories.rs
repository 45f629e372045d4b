//! A directory that is private at the source is never open at the server, whichever connection its entries go over.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::thread;

use haul_tests::fake::{Fake, hello_answer};
use haul_tests::prelude::*;

/// Connections of the client.
const CONNECTIONS: usize = 4;

/// Requests below a private directory that a connection sends before it has made that directory.
fn too_early(fake: &Fake, private: &[&str]) -> Vec<String> {
    let (found, made) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    thread::scope(|scope| {
        for slot in 0..CONNECTIONS {
            let (found, made) = (&found, &made);
            scope.spawn(move || {
                let (mut peer, _) = fake.greet().unwrap();
                let mut open = BTreeSet::new();
                while let Ok((request, _)) = peer.receive() {
                    let name = request["filename"].as_str().unwrap_or_default().to_owned();
                    let above =
                        private.iter().filter(|above| name.starts_with(&format!("{above}/")));
                    let early = above.filter(|above| !open.contains(**above));
                    found
                        .lock()
                        .unwrap()
                        .extend(early.map(|above| format!("{name} before {above}")));
                    if request["cmd"] == "mkdir" && request["mode"] == 0o700 {
                        open.insert(name.clone());
                        made.lock().unwrap().insert((slot, name));
                    }
                    peer.send(&json!({"ack": request["id"]}), b"").unwrap();
                }
            });
        }
    });
    let made = made.into_inner().unwrap();
    let slots: BTreeSet<_> = made.iter().map(|(slot, _)| slot).collect();
    assert!(slots.len() > 1, "all went over one connection: {made:?}");
    found.into_inner().unwrap()
}

/// Requests below a private directory `s/d` that a connection sends before it has made that directory, and before the server
/// has told any connection that it is made, when another connection is lost while its request to make the directory has no
/// answer. A connection may have four requests without an answer, so nearly all of the directory is left for the others.
fn too_early_after_a_loss(fake: &Fake) -> Vec<String> {
    let (found, below) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let (is_lost, is_told) = (AtomicBool::new(false), AtomicBool::new(false));
    // Whether it is the connection that is lost. The run may be over before another one comes, or has said hello.
    let serve = || -> io::Result<bool> {
        let mut peer = fake.accept()?;
        peer.receive()?;
        let mut hello = hello_answer();
        hello["limits"]["window_requests"] = 4.into();
        peer.send(&hello, b"")?;
        let mut is_made = false;
        while let Ok((request, _)) = peer.receive() {
            let name = request["filename"].as_str().unwrap_or_default();
            if name == "s/d" && request["cmd"] == "mkdir" {
                if !is_lost.swap(true, Ordering::SeqCst) {
                    return Ok(true);
                }
                is_made = true;
                is_told.store(true, Ordering::SeqCst);
            }
            if name.starts_with("s/d/") {
                below.fetch_add(1, Ordering::SeqCst);
                if !is_made && !is_told.load(Ordering::SeqCst) {
                    found.lock().unwrap().push(name.to_owned());
                }
            }
            peer.send(&json!({"ack": request["id"]}), b"")?;
        }
        Ok(false)
    };
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                if serve().is_ok_and(|is_lost| is_lost) {
                    eventually("others send what is left", || below.load(Ordering::SeqCst) > 0);
                    let _ = serve();
                }
            });
        }
    });
    assert!(is_lost.into_inner() && below.into_inner() > 0);
    found.into_inner().unwrap()
}

/// A home that only its owner may look into, with 40 directories of mail.
fn home(place: &Path) -> PathBuf {
    let source = place.join("home");
    for at in 0..40 {
        let directory = source.join(format!("open/mail/{at}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..40 {
            fs::write(directory.join(file.to_string()), b"secret").unwrap();
        }
        set_mode(&directory, 0o755);
    }
    for (path, mode) in [("", 0o700), ("open", 0o755), ("open/mail", 0o700)] {
        set_mode(source.join(path), mode);
    }
    source
}

/// Sends a home to a server that looks what comes too early.
fn send_home(source: &Path, words: &[&str], list: Vec<u8>) -> Vec<String> {
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| too_early(&fake, &["home", "home/open/mail"]));
        let mut command = haul();
        command.args(["put", "-q", "--connections", "4"]).args(words).arg(source).arg(&address);
        command.write_stdin(list).assert().success();
        server.join().unwrap()
    })
}

#[test]
fn every_connection_makes_a_private_directory_before_it_sends_anything_below_it() {
    let place = TempDir::new().unwrap();
    assert_eq!(send_home(&home(place.path()), &[], Vec::new()), [""; 0]);
}

#[test]
fn every_connection_makes_a_private_directory_of_a_list_before_it_sends_anything_below_it() {
    let place = TempDir::new().unwrap();
    let source = home(place.path());
    let mut list = String::from(".\nopen\nopen/mail\n");
    (0..40).for_each(|at| list.push_str(&format!("open/mail/{at}\n")));
    // As of a list that is sorted by another key: each name is in another directory than the one before.
    for file in 0..40 {
        (0..40).for_each(|at| list.push_str(&format!("open/mail/{at}/{file}\n")));
    }
    let early = send_home(&source, &["--files-from", "-"], list.into_bytes());
    assert_eq!(early, [""; 0]);
}

#[test]
fn private_directory_of_a_lost_connection_is_made_by_the_others_before_they_send_anything_below_it()
{
    let place = TempDir::new().unwrap();
    let source = place.path().join("s");
    fs::create_dir_all(source.join("d")).unwrap();
    for file in 0..400 {
        fs::write(source.join(format!("d/{file}")), b"secret").unwrap();
    }
    set_mode(source.join("d"), 0o700);
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    let early = thread::scope(|scope| {
        let server = scope.spawn(|| too_early_after_a_loss(&fake));
        let mut command = haul();
        command.args(["put", "-q", "--connections", "4"]).arg(&source).arg(&address);
        command.assert().success();
        fake.stop_waiting().unwrap();
        server.join().unwrap()
    });
    assert_eq!(early, [""; 0]);
}

#[test]
fn destination_that_a_list_names_gets_mode_and_mtime_of_the_source() {
    let setting = Setting::start();
    setting.write("f", "secret");
    set_mode(setting.source(), 0o700);
    let here = fs::metadata(setting.source()).unwrap();
    let send = |mode: &str, list: &'static str| {
        let to = setting.at("new");
        let words = [mode, "--files-from", "-", "s/", &to];
        setting.haul(&words).write_stdin(list).assert().success();
        fs::metadata(setting.server.root().join("new")).unwrap()
    };
    for mode in ["put", "sync"] {
        for list in [".\nf\n", "f\n.\n", "./\n"] {
            let there = send(mode, list);
            assert_eq!(there.mode() & 0o777, 0o700, "{mode} {list:?}");
            assert_eq!((there.mtime(), there.mtime_nsec()), (here.mtime(), here.mtime_nsec()));
            fs::remove_dir_all(setting.server.root().join("new")).unwrap();
        }
        // If the list does not name it, it is made as any directory is that is needed.
        assert_ne!(send(mode, "f\n").mode() & 0o777, 0o700, "{mode}");
        if mode == "put" {
            assert_ne!(send(mode, ".\nf\n").mode() & 0o777, 0o700, "put leaves one that is there");
        } else {
            assert_eq!(send(mode, ".\nf\n").mode() & 0o777, 0o700);
        }
        fs::remove_dir_all(setting.server.root().join("new")).unwrap();
    }
}
