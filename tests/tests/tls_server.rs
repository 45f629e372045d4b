//! `hauld` over TLS, with a client that is not haul.

use haul_tests::prelude::*;

use crate::tls_peer::TlsPeer;

#[test]
fn file_comes_over_tls_byte_by_byte() {
    let server = server_with(&["--tls", "always"]);
    let mut peer = TlsPeer::hello(server.address());
    peer.put(1, "a", b"hello");
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"hello");
    let large = Large::new(7);
    let open = json!({
        "cmd": "open", "id": 2, "filename": "dir/large", "filesize": large.bytes.len(),
        "fingerprint": "f",
    });
    let token = peer.ask(&open, b"")["upload"].clone();
    for index in 0..3 {
        let (part, id) = (large.part(index), 3 + index);
        let header = json!({
            "cmd": "part", "id": id, "length": part.len(), "upload": token,
            "offset": index * PART, "cv": large.cvs[index],
        });
        assert_eq!(peer.ask(&header, part)["ack"], id);
    }
    let commit = json!({"cmd": "commit", "id": 6, "upload": token, "blake3": large.digest});
    assert_eq!(peer.ask(&commit, b"")["answer"], 6);
    assert!(fs::read(server.root().join("dir/large")).unwrap() == large.bytes);
    assert_eq!(peer.end().unwrap(), b"");
}
