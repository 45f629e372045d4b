//! Versions that are begun and not put together: they make room, and leave directories to others.

use haul_tests::prelude::*;

/// Versions that there may be at once, and those of one client.
const VERSIONS: usize = 64;
const A_CLIENT: usize = 8;

/// A connection of this client about the next version of a directory, and the answer to its hello.
fn begin(server: &Hauld, client: &str, directory: &str, tree: Option<&Value>) -> (Peer, Value) {
    static SLOT: AtomicUsize = AtomicUsize::new(0);
    let mut peer = Peer::connect(server.address()).unwrap();
    let slot = SLOT.fetch_add(1, Ordering::Relaxed);
    let mut hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": slot,
        "filename": directory, "must": ["publish"],
    });
    if let Some(tree) = tree {
        hello["upload"] = tree.clone();
    }
    let answer = peer.ask(&hello, b"").unwrap();
    (peer, answer)
}

/// What is there of versions.
fn homes(server: &Hauld) -> usize {
    fs::read_dir(server.root().join(".haul/trees")).unwrap().count()
}

/// A peer and the last id that it has used.
struct Pinging(Peer, u64);

impl Pinging {
    /// Pings; the answer, or what it was told instead.
    fn ping(&mut self) -> Value {
        self.1 += 1;
        self.0.ask(&json!({"cmd": "ping", "id": self.1}), b"").unwrap()
    }
}

#[test]
fn one_client_has_few_versions_at_once_and_leaves_the_others_to_others() {
    let server = server();
    let mut peers = Vec::new();
    for number in 0..A_CLIENT {
        let (peer, answer) = begin(&server, "greedy", &format!("g{number}"), None);
        assert_eq!(answer["hello"], 1, "{answer}");
        peers.push(peer);
    }
    let (_peer, answer) = begin(&server, "greedy", "one more", None);
    assert_eq!(answer["code"], "busy", "{answer}");
    let (_peer, answer) = begin(&server, "other", "site", None);
    assert_eq!(answer["hello"], 1, "{answer}");
    drop((peers, _peer));
    eventually("nothing is left of them", || homes(&server) == 0);
}

/// A ping is no sign of a version, as it is one of a connection.
#[test]
fn version_in_which_nothing_is_makes_room_though_its_client_pings_and_loses_nothing() {
    let server = server();
    let mut full = Pinging(begin(&server, "full", "full", None).0, 1);
    assert_eq!(full.0.ask(&put(1, "f", b"f"), b"f").unwrap()["ack"], 1);
    let mut trees = Vec::new();
    let mut empty: Vec<_> = (1..VERSIONS)
        .map(|number| {
            let client = format!("client {}", number / A_CLIENT);
            let (peer, answer) = begin(&server, &client, &format!("d{number}"), None);
            assert_eq!(answer["hello"], 1, "{answer}");
            trees.push(answer["upload"].clone());
            Pinging(peer, 0)
        })
        .collect();
    let mut others = Vec::new();
    eventually("there is room", || {
        for peer in &mut empty {
            // Nobody is ended before there is need.
            let word = peer.ping();
            assert_eq!(word["answer"], peer.1, "{word}");
        }
        let (peer, answer) = begin(&server, "other", "site", None);
        others.push(peer);
        answer["hello"] == 1
    });
    let mut ended = Vec::new();
    for (index, peer) in empty.iter_mut().enumerate() {
        let word = peer.ping();
        if word["answer"].is_null() {
            assert_eq!((&word["refused"], &word["code"]), (&json!(0), &json!("busy")), "{word}");
            ended.push(index);
        }
    }
    let [index] = ended[..] else { panic!("{ended:?} had to make room") };
    // What is in a version keeps it.
    assert_eq!(full.ping()["answer"], full.1);
    drop((others, empty));
    // Its client connects again and asks for its tree.
    let (client, directory) =
        (format!("client {}", (index + 1) / A_CLIENT), format!("d{}", index + 1));
    let mut answer = Value::Null;
    eventually("it goes on with the same tree", || {
        let (mut peer, hello) = begin(&server, &client, &directory, Some(&trees[index]));
        answer = hello;
        answer["hello"] == 1 && peer.ask(&put(1, "f", b"f"), b"f").unwrap()["ack"] == 1
    });
    assert_eq!(answer["upload"], trees[index], "{answer}");
}

#[test]
fn directory_that_an_empty_version_keeps_from_others_is_theirs_in_the_end() {
    let server = server_with(&["--body-timeout", "2s"]);
    let mut idle = Pinging(begin(&server, "idle", "site", None).0, 0);
    let mut other = server.peer();
    let mut id = 0;
    eventually("others may change the directory", || {
        idle.ping();
        id += 1;
        other.ask(&put(id, "site/f", b"x"), b"x").unwrap()["ack"] == id
    });
    assert_eq!(fs::read(server.root().join("site/f")).unwrap(), b"x");
    assert_eq!(homes(&server), 0);
}

/// Nothing is lost: the tree waits for the next run.
#[test]
fn version_for_which_nothing_is_done_for_long_leaves_its_directory_and_keeps_its_tree() {
    let server = server_with(&["--body-timeout", "1s"]);
    let mut peer = begin(&server, "idle", "site", None).0;
    assert_eq!(peer.ask(&put(1, "f", b"f"), b"f").unwrap()["ack"], 1);
    let mut idle = Pinging(peer, 1);
    let mut other = server.peer();
    let mut id = 0;
    eventually("others may change the directory", || {
        idle.ping();
        id += 1;
        other.ask(&put(id, "site/g", b"x"), b"x").unwrap()["ack"] == id
    });
    let again = begin(&server, "again", "site", None).1;
    assert_eq!(again["resumed"], true, "{again}");
}

/// A tree that never was, and a version before that never was.
#[test]
fn requests_about_versions_that_never_were_leave_nothing_behind() {
    let server = server();
    let (_peer, answer) = begin(&server, "me", "site", Some(&json!("0".repeat(32))));
    assert_eq!(answer["code"], "taken_over", "{answer}");
    fs::create_dir(server.root().join("site")).unwrap();
    let mut peer = server.peer();
    let rollback = json!({"cmd": "rollback", "id": 1, "filename": "site"});
    assert_eq!(peer.ask(&rollback, b"").unwrap()["code"], "not_found");
    assert_eq!(homes(&server), 0);
}

/// A connection that is lost before anything was sent costs the run nothing: it asks for its draft, as it would for any.
#[test]
fn empty_draft_whose_connection_is_lost_is_there_again_for_its_client_until_another_begins_one() {
    let server = server();
    let (peer, answer) = begin(&server, "me", "site", None);
    let tree = &answer["upload"];
    drop(peer);
    eventually("the draft is gone", || homes(&server) == 0);
    let (mut peer, again) = begin(&server, "me", "site", Some(tree));
    assert_eq!((&again["upload"], &again["resumed"]), (tree, &json!(false)), "{again}");
    assert_eq!(peer.ask(&put(1, "f", b"f"), b"f").unwrap()["ack"], 1);
    drop(peer);
    // Somebody else goes on with it, so it is not that of the run any more.
    let mut other = None;
    eventually("another run begins", || {
        let (peer, answer) = begin(&server, "other", "site", None);
        other = Some(peer);
        answer["hello"] == 1
    });
    drop(other);
    eventually("the first run learns that", || {
        begin(&server, "me", "site", Some(tree)).1["code"] == "taken_over"
    });
}

/// Neither the owner's requests nor its connection are hurt by those who ask for the directory.
#[test]
fn version_that_is_filled_for_long_does_not_make_room_however_many_ask_for_it() {
    let server = server_with(&["--body-timeout", "1s"]);
    let (mut owner, answer) = begin(&server, "owner", "site", None);
    assert_eq!(answer["hello"], 1, "{answer}");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for asker in ["one", "two"] {
            let (over, server) = (&over, &server);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let (_peer, answer) = begin(server, asker, "site", None);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    assert_eq!(answer["code"], "busy", "{answer}");
                }
            });
        }
        // Five times as long as a body may take.
        let (since, mut id) = (Instant::now(), 0);
        while since.elapsed() < Duration::from_secs(5) {
            id += 1;
            let name = format!("d/{}", id % 100);
            let answer = owner.ask(&put(id, &name, b"f"), b"f").unwrap();
            assert_eq!(answer["ack"], id, "{answer}");
        }
        over.store(true, Ordering::Relaxed);
        let answer = owner.ask(&json!({"cmd": "publish", "id": id + 1}), b"").unwrap();
        assert_eq!(answer["answer"], id + 1, "{answer}");
    });
    assert!(server.root().join("site/d/1").exists());
}

/// The note says that a draft was published. If the draft could not be moved to its name, the client of an older token would
/// be told of a version that never was.
#[test]
fn first_version_that_could_not_be_published_leaves_no_note_of_it() {
    for durability in ["group", "none"] {
        let user = User::new().unwrap();
        let (root, log) = (user.path().join("root"), user.path().join("log"));
        fs::create_dir_all(root.join("closed")).unwrap();
        user.own(&root).unwrap();
        File::create(&log).unwrap();
        let words = ["--durability", durability];
        let server = Hauld::start_at(&root, &log, user.command("hauld"), &words).unwrap();
        let (mut peer, hello) = begin(&server, "client", "closed/site", None);
        assert_eq!(hello["hello"], 1, "{hello}");
        refused(&peer.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap(), 1, "permission");
        let homes: Vec<_> = walkdir::WalkDir::new(root.join(".haul/trees"))
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert!(homes.iter().any(|name| name.starts_with("next-")), "{homes:?}");
        assert!(!homes.iter().any(|name| name.starts_with("done-")), "{homes:?}");
    }
}

/// Requests in one go: the server has the second before the first is flushed.
#[test]
fn change_that_comes_after_publish_is_not_part_of_the_version() {
    for durability in ["group", "none"] {
        let server = server_with(&["--durability", durability]);
        let (mut peer, hello) = begin(&server, "client", "site", None);
        assert_eq!(hello["hello"], 1, "{hello}");
        let page = peer.ask(&put(1, "page", b"page"), b"page").unwrap();
        assert_eq!(page["ack"], 1, "{page}");
        peer.send(&json!({"cmd": "publish", "id": 2}), b"").unwrap();
        peer.send(&put(3, "late", b"late"), b"late").unwrap();
        peer.send(&json!({"cmd": "mkdir", "id": 4, "filename": "later"}), b"").unwrap();
        let mut told: Vec<Value> = (0..3).map(|_| peer.receive().unwrap().0).collect();
        let at = told.iter().position(|answer| answer["answer"] == 2);
        told.remove(at.unwrap_or_else(|| panic!("{told:?}")));
        refused(&told[0], 3, "bad_request");
        refused(&told[1], 4, "bad_request");
        let there: Vec<_> = fs::read_dir(server.root().join("site")).unwrap().collect();
        assert_eq!(there.len(), 1, "{there:?}");
    }
}

/// Its draft is no more, and would refuse whatever the next run sends.
#[test]
fn directory_that_was_published_is_begun_anew_once_nobody_may_ask_for_the_answer_again() {
    let server = server();
    let (mut first, answer) = begin(&server, "client", "site", None);
    let tree = answer["upload"].clone();
    assert_eq!(first.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
    assert_eq!(first.ask(&json!({"cmd": "publish", "id": 2}), b"").unwrap()["answer"], 2);
    let (_, answer) = begin(&server, "client", "site", None);
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("busy"), &json!(true)), "{answer}");
    let (mut second, answer) = begin(&server, "client", "site", Some(&tree));
    assert_eq!(answer["upload"], tree, "{answer}");
    assert_eq!(second.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap()["answer"], 1);
    drop((first, second));
    let mut begun = None;
    eventually("a new draft is begun", || {
        let (peer, answer) = begin(&server, "client", "site", None);
        assert!(answer["hello"] == 1 || answer["code"] == "busy", "{answer}");
        begun = (answer["hello"] == 1).then_some((peer, answer));
        begun.is_some()
    });
    let (mut third, answer) = begun.unwrap();
    assert!(answer["upload"] != tree && answer["resumed"] == false, "{answer}");
    assert_eq!(third.ask(&put(1, "f", b"y"), b"y").unwrap()["ack"], 1);
}
