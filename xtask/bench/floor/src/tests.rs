//! Both directions, with a real server.

use std::fs::{self, File, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use haul_tests::tree;

use super::*;

/// Starts a server of a directory, which ends with the tests.
fn served(root: &Path) -> SocketAddr {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (address, root) = (listener.local_addr().unwrap(), root.to_owned());
    thread::spawn(move || serve(&listener, &root));
    address
}

/// Everything that the floor carries: directories in directories, more files than one batch has room for, a file of several
/// pieces, empty ones, links, and modes and mtimes of all of them.
fn filled(source: &Path) {
    let deep = source.join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    for index in 0..40 {
        let directory = source.join(format!("many{index}"));
        fs::create_dir(&directory).unwrap();
        for file in 0..20_u8 {
            fs::write(directory.join(format!("{file}")), vec![index; 997 * usize::from(file)])
                .unwrap();
        }
    }
    let large: Vec<u8> =
        (0..3_000_001_u32).flat_map(|number| number.to_le_bytes()).take(3_000_001).collect();
    fs::write(deep.join("large"), large).unwrap();
    fs::write(deep.join("empty"), "").unwrap();
    fs::create_dir(source.join("empty")).unwrap();
    symlink("../large", deep.join("link")).unwrap();
    fs::set_permissions(deep.join("empty"), Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(source.join("many7"), Permissions::from_mode(0o555)).unwrap();
    let earlier = SystemTime::now() - Duration::new(3600, 12_345);
    for path in [source.join("a"), deep.join("large"), source.join("many1/2"), source.join("empty")]
    {
        File::open(path).unwrap().set_modified(earlier).unwrap();
    }
}

#[test]
fn trees_and_files_arrive_with_all_attributes_in_both_directions() {
    rustix::process::umask(Mode::empty());
    let directory = tempfile::tempdir().unwrap();
    let [source, there, here] = ["source", "there", "here"].map(|name| directory.path().join(name));
    filled(&source);
    for root in [&there, &here] {
        fs::create_dir(root).unwrap();
    }
    let file = source.join("a/b/c/large");
    let (target, origin) = (served(&there), served(directory.path()));
    for (sent, name) in [(&source, "source"), (&file, "source/a/b/c/large")] {
        send::all(sent, connect(target, &Request::Put).unwrap()).unwrap();
        let request = Request::Get(name.as_bytes().to_vec());
        receive::all(&here, connect(origin, &request).unwrap()).unwrap();
        for root in [&there, &here] {
            let arrived = root.join(sent.file_name().unwrap());
            tree::compare(sent, &arrived).unwrap();
        }
    }
    // Nothing is left beside them.
    for root in [&there, &here] {
        let left = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["large", "source"]);
    }
    fs::set_permissions(source.join("many7"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn batch_whose_bytes_have_another_digest_is_refused() {
    use std::io::Write;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (receiver, _) = listener.accept().unwrap();
    let mut pages = wire::Pages::new();
    wire::send_batch(&mut sender, wire::Kind::Piece(5), b"bytes").unwrap();
    let received = wire::receive_batch(&receiver, &mut pages).unwrap();
    assert_eq!(received, Some((wire::Kind::Piece(5), &b"bytes"[..])));
    let mut head = [0; 48];
    head[4] = 1;
    sender.write_all(&head).unwrap();
    sender.write_all(b"x").unwrap();
    let refused = wire::receive_batch(&receiver, &mut pages).unwrap_err();
    assert!(refused.to_string().contains("digest"), "{refused}");
}
