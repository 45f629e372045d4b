//! The client over TLS: what it sends, and to whom.

use std::sync::Mutex;

use haul_tests::prelude::*;

use crate::tls_fake::{Identity, Tls, config, haul_in, trusting};

#[test]
fn files_arrive_over_tls_at_a_pinned_server() {
    let identity = Identity::own();
    let pin = identity.pin();
    let server = Tls::start(config(&identity));
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&seen);
    let address = server.serve(move |header, body| {
        let name = header["filename"].as_str().unwrap_or_default().to_owned();
        noted.lock().unwrap().push((name, body.to_vec()));
    });
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("s")).unwrap();
    let large: Vec<u8> = (0..225_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(source.path().join("s/large"), &large).unwrap();
    fs::write(source.path().join("s/small"), "x").unwrap();
    let configuration = trusting(&[(&address, &pin)]);
    let path = source.path().join("s");
    haul_in(configuration.path(), &["put", path.to_str().unwrap(), &address]).assert().success();
    let seen = seen.lock().unwrap();
    assert!(
        seen.contains(&("s/large".into(), large))
            && seen.contains(&("s/small".into(), b"x".to_vec()))
    );
}
