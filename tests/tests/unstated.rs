//! What a request does not state stays as it is: the mode of what stands there.

use haul_tests::prelude::*;

fn server(durability: &str) -> Hauld {
    server_with(&["--durability", durability])
}

fn make(path: &Path, mode: u32) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "before").unwrap();
    set_mode(path, mode);
}

/// The request of a bundle with one file without a mode.
fn bundle(id: u64, name: &str) -> (Value, Vec<u8>) {
    let body = format!("{}\nx", json!({"kind": "file", "filename": name, "filesize": 1}));
    let digest = blake3::hash(body.as_bytes()).to_hex();
    let header = json!({
        "cmd": "bundle", "id": id, "count": 1, "length": body.len(), "blake3": digest.as_str(),
    });
    (header, body.into_bytes())
}

/// Sends a large file as `dir/large` with or without a mode, parts that are held left out, and commits it.
fn upload(server: &Hauld, large: &Large, mode: Option<u32>) {
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.say_hello(&peer.unique(), 0, Some("somebody")).unwrap();
    let mut open = json!({
        "cmd": "open", "id": 1, "filename": "dir/large", "filesize": large.bytes.len(),
        "mtime": {"s": 5, "ns": 9}, "fingerprint": large.fingerprint,
    });
    if let Some(mode) = mode {
        open["mode"] = mode.into();
    }
    peer.send(&open, b"").unwrap();
    let (answer, bitmap) = peer.receive().unwrap();
    let token = answer["upload"].as_str().unwrap().to_owned();
    let mut upload = Upload { peer, token, held: Vec::new(), id: 1 };
    for part in 0..large.cvs.len() {
        if bitmap.is_empty() || bitmap[0] >> part & 1 == 0 {
            upload.good(large, part).unwrap();
        }
    }
    let answer = upload.commit(&large.digest).unwrap();
    assert_eq!(answer["answer"], upload.id, "{answer}");
}

/// A database dump stays readable for its owner only, by whichever request it is replaced.
#[test]
fn file_that_is_replaced_without_a_stated_mode_keeps_its_mode() {
    for durability in ["group", "none"] {
        let server = server(durability);
        let path = |name: &str| server.root().join(name);
        let mut peer = server.peer();
        let long = vec![7; 400_000];
        let mut id = 0;
        for wanted in [0o600, 0o444, 0o755, 0o666, 0o000, 0o644] {
            for (name, bytes) in [("small", &b"x"[..]), ("dir/streamed", &long)] {
                make(&path(name), wanted);
                id += 1;
                assert_eq!(peer.ask(&put(id, name, bytes), bytes).unwrap()["ack"], id);
                assert_eq!(mode(path(name)), wanted, "{name}, {durability}");
                assert_eq!(fs::metadata(path(name)).unwrap().len(), bytes.len() as u64);
            }
            make(&path("bundled"), wanted);
            id += 1;
            let (header, body) = bundle(id, "bundled");
            assert_eq!(peer.ask(&header, &body).unwrap()["ack"], id);
            assert_eq!(mode(path("bundled")), wanted, "bundled, {durability}");

            make(&path("classic"), wanted);
            let mut old = Peer::connect(server.address()).unwrap();
            old.stream.write_all(&classic("classic", b"x")).unwrap();
            haul_tests::eventually("the classic put", || {
                fs::metadata(path("classic")).unwrap().len() == 1
            });
            assert_eq!(mode(path("classic")), wanted, "classic, {durability}");

            make(&path("dir/large"), wanted);
            let large = Large::new(u8::try_from(wanted & 0xff).unwrap());
            upload(&server, &large, None);
            assert_eq!(mode(path("dir/large")), wanted, "large, {durability}");
        }
        // What is stated counts, and where no file stands the umask does.
        let mut stated = put(id + 1, "small", b"x");
        stated["mode"] = json!(0o640);
        assert_eq!(peer.ask(&stated, b"x").unwrap()["ack"], id + 1);
        assert_eq!(mode(path("small")), 0o640);
        symlink("small", path("link")).unwrap();
        for (at, name) in (id + 2..).zip(["link", "new", "dir/new"]) {
            assert_eq!(peer.ask(&put(at, name, b"x"), b"x").unwrap()["ack"], at);
            assert_eq!(mode(path(name)), 0o644, "{name}");
        }
    }
}

/// What the requests before have left counts, though they are not carried out when the next one comes.
#[test]
fn mode_that_is_kept_is_the_one_that_stands_when_the_file_appears() {
    for durability in ["group", "none"] {
        let server = server(durability);
        let path = |name: &str| server.root().join(name);
        make(&path("gone"), 0o666);
        let mut peer = server.peer();
        let mut first = put(1, "file", b"x");
        first["mode"] = json!(0o600);
        let remove = json!({"cmd": "remove", "id": 3, "filename": "gone"});
        let made = json!({"cmd": "mkdir", "id": 5, "filename": "d"});
        let mut inner = put(6, "d/file", b"x");
        inner["mode"] = json!(0o600);
        let frames = [
            frame(&first, b"x"),
            frame(&put(2, "file", b"xy"), b"xy"),
            frame(&remove, b""),
            frame(&put(4, "gone", b"x"), b"x"),
            frame(&made, b""),
            frame(&inner, b"x"),
            frame(&put(7, "d/file", b"xy"), b"xy"),
        ];
        peer.stream.write_all(&frames.concat()).unwrap();
        while peer.receive().unwrap().0["ack"] != 7 {}
        assert_eq!(fs::read(path("file")).unwrap(), b"xy");
        assert_eq!(fs::read(path("d/file")).unwrap(), b"xy");
        let modes = ["file", "gone", "d/file"].map(|name| mode(path(name)));
        assert_eq!(modes, [0o600, 0o644, 0o600], "{durability}");
    }
}

#[test]
fn file_without_a_stated_mode_is_never_wider_for_a_moment() {
    let server = server("none");
    let path = server.root().join("file");
    make(&path, 0o600);
    let mut peer = server.peer();
    let (over, looks) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(mode(&path), 0o600);
                looks.store(true, Ordering::Relaxed);
            }
        });
        haul_tests::eventually("somebody looks", || looks.load(Ordering::Relaxed));
        for id in 1..500 {
            assert_eq!(peer.ask(&put(id, "file", b"x"), b"x").unwrap()["ack"], id);
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// The answer to a commit was lost; when the client asks again, it states what it wants by then.
#[test]
fn large_file_that_is_committed_again_gets_the_mode_that_is_stated_by_then() {
    for durability in ["group", "none"] {
        let server = server(durability);
        let (path, large) = (server.root().join("dir/large"), Large::new(1));
        upload(&server, &large, Some(0o640));
        let inode = fs::metadata(&path).unwrap().ino();
        for (stated, expected) in [(Some(0o600), 0o600), (None, 0o600), (Some(0o644), 0o644)] {
            upload(&server, &large, stated);
            let found = fs::metadata(&path).unwrap();
            assert_eq!(found.ino(), inode, "it was sent anew");
            assert_eq!((found.mode() & 0o7777, found.mtime()), (expected, 5), "{durability}");
        }
    }
}

fn publish(server: &Hauld, name: &str, mode: Option<u32>) {
    let mut peer = None;
    // The server may not have noticed yet that the connection before has ended.
    haul_tests::eventually("the next version is begun", || {
        let mut new = Peer::connect(server.address()).unwrap();
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": new.unique(), "slot": 0,
            "must": [], "filename": name,
        });
        let begun = new.ask(&hello, b"").unwrap()["hello"] == 1;
        peer = begun.then_some(new);
        begun
    });
    let mut peer = peer.unwrap();
    assert_eq!(peer.ask(&put(1, "file", b"x"), b"x").unwrap()["ack"], 1);
    let mut publish = json!({"cmd": "publish", "id": 2});
    if let Some(mode) = mode {
        publish["mode"] = mode.into();
    }
    assert_eq!(peer.ask(&publish, b"").unwrap()["answer"], 2);
}

#[test]
fn version_that_is_published_without_a_mode_keeps_that_of_the_version_before() {
    for durability in ["group", "none"] {
        let server = server(durability);
        let site: PathBuf = server.root().join("site");
        publish(&server, "site", None);
        assert_eq!(mode(&site), 0o700);
        for wanted in [0o755, 0o555, 0o2750] {
            set_mode(&site, wanted);
            publish(&server, "site", None);
            assert_eq!(mode(&site), wanted, "{durability}");
        }
        publish(&server, "site", Some(0o711));
        assert_eq!(mode(&site) & 0o777, 0o711);
    }
}
