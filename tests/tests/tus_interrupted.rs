//! Resumable uploads over HTTP that are cut off, taken over or refused, and go on.

use haul_tests::http::{HttpPeer, ask};
use haul_tests::prelude::*;
use haul_tests::tus::{BYTES, TUS, metadata};

use crate::tus::{begin, head, offset, patch, some};

/// A request that announces more bytes than it sends.
fn half(server: &Hauld, at: &str, offset: usize, bytes: &[u8]) -> HttpPeer {
    let mut peer = HttpPeer::connect(server.address());
    let left = 20_000_000 - offset;
    let fields = format!("{BYTES}Upload-Offset: {offset}\r\nContent-Length: {left}\r\n");
    peer.ask(&format!("PATCH {at}"), &fields, bytes);
    peer
}

/// The bytes of the only partial.
pub(crate) fn partial_len(server: &Hauld) -> u64 {
    let all = fs::read_dir(server.root().join(".haul/partials")).unwrap().flatten();
    let partials = all.filter(|entry| entry.path().extension().is_none());
    partials.map(|entry| entry.metadata().unwrap().len()).sum()
}

fn restarted(server: &mut Hauld, args: &[&str]) {
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let (root, log) = (server.root().to_owned(), server.log.clone());
    let next = Hauld::start_at(&root, &log, hauld_command(), args).unwrap();
    server.becomes(next);
}

#[test]
fn bytes_of_a_request_that_is_cut_off_count_and_the_file_is_right() {
    let server = server();
    let bytes = some(20_000_000);
    let at = begin(&server, "a", bytes.len());
    let mut sent = 0;
    for end in [1, 5_000_000, 8_388_608, 12_345_678, 19_999_999] {
        // The server has read all of them before it finds that the client has ended.
        half(&server, &at, sent, &bytes[sent..end]).end();
        assert_eq!(offset(&server, &at), end);
        sent = end;
    }
    assert_eq!(patch(&server, &at, sent, &bytes[sent..], "").status, 204);
    assert!(fs::read(server.root().join("a")).unwrap() == bytes);
}

/// The files of all uploads, journals too.
fn files_of_uploads(server: &Hauld) -> Vec<PathBuf> {
    let all = fs::read_dir(server.root().join(".haul/partials")).unwrap();
    all.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn upload_to_which_nobody_comes_back_goes_and_a_younger_one_stays() {
    let args = ["--keep-partials", "7d"];
    let mut server = server_with(&args);
    let (old, young) = (begin(&server, "old", 6), begin(&server, "young", 6));
    let id = |at: &str| at.rsplit('/').next().unwrap().to_owned();
    let is_of = |path: &Path, at: &str| path.to_string_lossy().contains(&id(at));
    for at in [&old, &young] {
        let reply = patch(&server, at, 0, b"abc", "");
        assert!(reply.status == 204 && reply.field("Upload-Expires").ends_with(" GMT"));
    }
    let ago = |days: u64| SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    let set = |server: &Hauld, at: &str, days: u64| {
        for path in files_of_uploads(server).iter().filter(|path| is_of(path, at)) {
            File::open(path).unwrap().set_modified(ago(days)).unwrap();
        }
    };
    set(&server, &old, 8);
    set(&server, &young, 6);
    restarted(&mut server, &args);
    eventually("the sweeper has removed the old one", || {
        !files_of_uploads(&server).iter().any(|path| is_of(path, &old))
    });
    assert_eq!(head(&server, &old).status, 404);
    assert_eq!(patch(&server, &old, 3, b"def", "").status, 404);
    assert_eq!(offset(&server, &young), 3);
    // A byte more, and it is young again.
    set(&server, &young, 6);
    assert_eq!(patch(&server, &young, 3, b"de", "").status, 204);
    let journal = files_of_uploads(&server)
        .into_iter()
        .find(|path| is_of(path, &young) && path.extension().is_some_and(|kind| kind == "journal"));
    assert!(fs::metadata(journal.unwrap()).unwrap().modified().unwrap() > ago(1));
    assert_eq!(patch(&server, &young, 5, b"f", "").status, 204);
    assert_eq!(fs::read(server.root().join("young")).unwrap(), b"abcdef");
}

#[test]
fn server_that_is_killed_never_forgets_an_offset_that_it_has_told() {
    for args in [&["--durability", "group"][..], &["--durability", "none"]] {
        let mut server = server_with(args);
        let bytes = some(20_000_000);
        let at = begin(&server, "a", bytes.len());
        let (mut told, mut more) = (0, 0);
        for end in [1000, 8_388_608, 9_000_000, 15_000_000] {
            let reply = patch(&server, &at, told, &bytes[told..end], "");
            assert_eq!((reply.status, reply.field("Upload-Offset")), (204, &*end.to_string()));
            told = end;
            // Killed while more comes.
            more = (told + 4_000_000).min(bytes.len() - 1);
            let peer = half(&server, &at, told, &bytes[told..more]);
            eventually("bytes are written", || partial_len(&server) > end as u64);
            restarted(&mut server, args);
            drop(peer);
            let now = offset(&server, &at);
            assert!((told..=more).contains(&now), "{now}, but {told} were told");
            told = now;
        }
        assert!(more > told || told > 15_000_000);
        assert_eq!(patch(&server, &at, told, &bytes[told..], "").status, 204);
        assert!(fs::read(server.root().join("a")).unwrap() == bytes);
        assert_eq!(offset(&server, &at), bytes.len());
    }
}

#[test]
fn newer_request_takes_the_upload_over_and_the_older_ends() {
    let server = server();
    let bytes = some(20_000_000);
    let at = begin(&server, "a", bytes.len());
    let mut older = half(&server, &at, 0, &bytes[..1_000_000]);
    eventually("bytes are written", || partial_len(&server) > 900_000);
    // While the older one waits for more, whoever asks has the upload.
    let now = offset(&server, &at);
    assert!((900_000..=1_000_000).contains(&now), "{now}");
    let reply = older.receive();
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert_eq!(older.rest(), b"");
    let mut older = half(&server, &at, now, &bytes[now..now + 16_384]);
    eventually("bytes are written", || partial_len(&server) > now as u64);
    let now = usize::try_from(partial_len(&server)).unwrap();
    assert_eq!(patch(&server, &at, now, &bytes[now..], "").status, 204);
    assert_eq!(older.receive().status, 409);
    assert!(fs::read(server.root().join("a")).unwrap() == bytes);
}

/// Two clients that send the same upload at once hinder each other, and the file is right.
#[test]
fn two_clients_of_one_upload_end_with_the_right_file() {
    let server = server();
    let bytes = some(600_000);
    for name in ["a", "b", "c", "d", "e"] {
        let at = begin(&server, name, bytes.len());
        let file = server.root().join(name);
        let send = || {
            while !file.exists() {
                let reply = head(&server, &at);
                assert!(matches!(reply.status, 200 | 404 | 409), "{}", reply.head);
                let Ok(now) = reply.field("Upload-Offset").parse::<usize>() else { continue };
                let end = (now + 60_000).min(bytes.len());
                let status = patch(&server, &at, now, &bytes[now..end], "").status;
                assert!(matches!(status, 204 | 409 | 404), "{status}");
            }
        };
        thread::scope(|scope| {
            scope.spawn(send);
            send();
        });
        assert!(fs::read(&file).unwrap() == bytes);
    }
}

/// The last bytes came, but the file could not become visible: asking tries again, and never says that it is whole before.
#[test]
fn file_that_could_not_be_committed_is_committed_when_its_client_asks() {
    let server = server();
    let at = begin(&server, "d/a", 3);
    fs::write(server.root().join("d"), "in the way").unwrap();
    let reply = patch(&server, &at, 0, b"abc", "");
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert_eq!(head(&server, &at).status, 409);
    fs::remove_file(server.root().join("d")).unwrap();
    assert_eq!(offset(&server, &at), 3);
    assert_eq!(fs::read(server.root().join("d/a")).unwrap(), b"abc");
}

#[test]
fn file_that_can_not_fit_is_refused_before_its_first_byte() {
    let server = server_with(&["--keep-free", "1TiB"]);
    let fields = format!("{TUS}Upload-Length: 100\r\n{}", metadata(&[("filename", "a")]));
    let reply = ask(server.address(), "POST /.haul/tus/", &fields, b"");
    assert_eq!(reply.status, 507, "{}", reply.text());
    assert!(server.partials().unwrap().is_empty());
}

/// Its client does not know where it is, so nobody could go on with it.
#[test]
fn upload_that_is_refused_within_its_first_bytes_leaves_nothing() {
    let server = server();
    let mut peer = HttpPeer::connect(server.address());
    let fields = format!(
        "{BYTES}Upload-Length: 3\r\nTransfer-Encoding: chunked\r\n{}",
        metadata(&[("filename", "a")])
    );
    peer.ask("POST /.haul/tus/", &fields, b"2\r\nab\r\n");
    eventually("bytes are written", || partial_len(&server) == 2);
    peer.send("2\r\ncd\r\n");
    let reply = peer.receive();
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert!(server.partials().unwrap().is_empty(), "{:?}", server.partials());
}

#[test]
fn upload_of_one_account_is_unknown_to_another() {
    let all = "--rights put,replace,delete,list,get";
    let accounts = Accounts::start(&[
        &format!("alice {all}"),
        &format!("bob {all}"),
        "carol --rights list,get",
    ]);
    let address = accounts.server.address();
    let of = |name: &str, first: &str, fields: &str, body: &[u8]| {
        let fields = format!("Authorization: Bearer {}\r\n{fields}", accounts.token(name));
        ask(address, first, &fields, body)
    };
    let fields = format!("{TUS}Upload-Length: 6\r\n{}", metadata(&[("filename", "a")]));
    assert_eq!(ask(address, "POST /.haul/tus/", &fields, b"").status, 401);
    assert_eq!(of("carol", "POST /.haul/tus/", &fields, b"").status, 403);
    let reply = of("alice", "POST /.haul/tus/", &fields, b"");
    assert_eq!(reply.status, 201, "{}", reply.text());
    let at = reply.field("Location").to_owned();
    let append = |offset: usize, len: usize| {
        format!("{BYTES}Upload-Offset: {offset}\r\nContent-Length: {len}\r\n")
    };
    assert_eq!(of("alice", &format!("PATCH {at}"), &append(0, 2), b"ab").status, 204);
    for (first, fields) in
        [("HEAD", TUS.to_owned()), ("PATCH", append(2, 0)), ("DELETE", TUS.to_owned())]
    {
        assert_eq!(of("bob", &format!("{first} {at}"), &fields, b"").status, 404, "{first}");
    }
    // Neither does a stranger's request end one that is under way.
    let mut peer = HttpPeer::connect(address);
    let token = format!("Authorization: Bearer {}\r\n", accounts.token("alice"));
    peer.ask(&format!("PATCH {at}"), &format!("{token}{}", append(2, 4)), b"c");
    eventually("the byte is written", || partial_len(&accounts.server) == 3);
    assert_eq!(of("bob", &format!("HEAD {at}"), TUS, b"").status, 404);
    peer.send(b"def");
    assert_eq!(peer.receive().status, 204);
    assert_eq!(accounts.text("alice/a"), "abcdef");
}

/// It began by rights that are no more: its file would replace what the account may not replace.
#[test]
fn upload_is_unknown_once_the_account_has_other_rights() {
    let accounts = Accounts::start(&["alice --rights put,replace,list"]);
    let of = |accounts: &Accounts, first: &str, fields: &str, body: &[u8]| {
        let fields = format!("Authorization: Bearer {}\r\n{fields}", accounts.token("alice"));
        ask(accounts.server.address(), first, &fields, body)
    };
    let fields = format!("{TUS}Upload-Length: 3\r\n{}", metadata(&[("filename", "a")]));
    let reply = of(&accounts, "POST /.haul/tus/", &fields, b"");
    assert_eq!(reply.status, 201, "{}", reply.text());
    let at = reply.field("Location").to_owned();
    fs::write(accounts.at("a"), "there").unwrap();
    let users = accounts.users();
    let readings = accounts.readings();
    accounts.set_users(&users.replace("\"replace\", ", ""));
    assert_ne!(accounts.users(), users);
    accounts.are_read_after(readings);
    let append = format!("{BYTES}Upload-Offset: 0\r\nContent-Length: 3\r\n");
    for (method, fields, body) in
        [("HEAD", TUS, &b""[..]), ("PATCH", &append, b"abc"), ("DELETE", TUS, b"")]
    {
        let reply = of(&accounts, &format!("{method} {at}"), fields, body);
        assert_eq!(reply.status, 404, "{method}");
    }
    assert_eq!(accounts.text("a"), "there");
}

#[test]
fn quota_counts_an_upload_before_its_bytes_come() {
    let accounts =
        Accounts::start(&["alice --rights put,replace,delete,list,get --quota-bytes 1000000"]);
    let of = |first: &str, fields: &str, body: &[u8]| {
        let fields = format!("Authorization: Bearer {}\r\n{fields}", accounts.token("alice"));
        ask(accounts.server.address(), first, &fields, body)
    };
    let create = |length: &str, name: &str| {
        let fields = format!("{TUS}{length}\r\n{}", metadata(&[("filename", name)]));
        of("POST /.haul/tus/", &fields, b"")
    };
    // Not before the files of the account are counted.
    eventually("the quota is known", || create("Upload-Length: 2000000", "a").status == 507);
    let reply = create("Upload-Defer-Length: 1", "a");
    assert_eq!(reply.status, 201, "{}", reply.text());
    let at = reply.field("Location").to_owned();
    let fields = format!("{BYTES}Upload-Offset: 0\r\nContent-Length: 2000000\r\n");
    assert_eq!(of(&format!("PATCH {at}"), &fields, &some(10)).status, 507);
    let fields =
        format!("{BYTES}Upload-Offset: 0\r\nContent-Length: 300000\r\nUpload-Length: 300000\r\n");
    assert_eq!(of(&format!("PATCH {at}"), &fields, &some(300_000)).status, 204);
    assert_eq!(fs::metadata(accounts.at("alice/a")).unwrap().len(), 300_000);
}
