//! A directory that is private at the source is never open at the server, whichever connection its entries go over.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use haul_tests::fake::Fake;
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

#[test]
fn every_connection_makes_a_private_directory_before_it_sends_anything_below_it() {
    let place = TempDir::new().unwrap();
    let source = place.path().join("home");
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
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    let early = thread::scope(|scope| {
        let server = scope.spawn(|| too_early(&fake, &["home", "home/open/mail"]));
        haul()
            .args(["put", "-q", "--connections", "4"])
            .arg(&source)
            .arg(&address)
            .assert()
            .success();
        server.join().unwrap()
    });
    assert_eq!(early, [""; 0]);
}
