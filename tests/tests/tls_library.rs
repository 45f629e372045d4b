//! The library over TLS: a program gives pins, a directory, or a question of its own.

use std::sync::{Arc, Mutex};

use haul_client::{Answer, ConnectionError, Report, Transfer, TransferError, Trust, TrustError};
use haul_protocol::Pin;
use haul_tests::prelude::*;

use crate::tls_fake::{Identity, TlsFake, config};

/// Puts a file by these rules.
fn put(address: &str, trust: Trust) -> Result<Report, TrustError> {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "x").unwrap();
    let transfer = Transfer::builder(address.parse().unwrap())
        .put([source.path().join("f")])
        .trust(trust)
        .build()
        .unwrap();
    match transfer.run(&mut ()) {
        Ok(report) => Ok(report),
        Err(TransferError::Connection { source: ConnectionError::Untrusted(error), .. }) => {
            Err(error)
        }
        Err(other) => panic!("{other}"),
    }
}

/// The address and pin of a server that takes only TLS.
fn server() -> (String, Pin) {
    let identity = Identity::own();
    let pin = identity.pin().parse().unwrap();
    (TlsFake::start(config(&identity)).serve(|_, _| ()), pin)
}

#[test]
fn program_gives_the_pins_and_no_other_key_is_trusted() {
    let ((address, pin), (_, other)) = (server(), server());
    assert_eq!(put(&address, Trust::pins([other, pin])).unwrap().counts.files, 1);
    let error = put(&address, Trust::pins([other])).unwrap_err();
    assert!(matches!(error, TrustError::Changed { found, .. } if found == pin), "{error}");
    let error = put(&address, Trust::pins([])).unwrap_err();
    assert!(matches!(error, TrustError::Unknown { pin: found, .. } if found == pin), "{error}");
}

#[test]
fn program_asks_its_user_once_a_run_and_the_answer_is_kept_where_the_pins_are() {
    let (address, pin) = server();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asking = |trust: Trust, answer: Answer| {
        let asked = Arc::clone(&asked);
        trust.ask(move |stranger| {
            asked.lock().unwrap().push((stranger.server.clone(), stranger.pin));
            answer
        })
    };
    let kept = TempDir::new().unwrap();
    let in_directory = || Trust::in_directory(kept.path().join("keys"));
    let error = put(&address, asking(in_directory(), Answer::No)).unwrap_err();
    assert!(matches!(error, TrustError::Declined { .. }), "{error}");
    assert!(!kept.path().join("keys").exists());
    put(&address, asking(in_directory(), Answer::Key(pin))).unwrap();
    assert_eq!(*asked.lock().unwrap(), [(address.clone(), pin), (address.clone(), pin)]);
    // It is known now.
    put(&address, asking(in_directory(), Answer::No)).unwrap();
    put(&address, in_directory()).unwrap();
    // Without a file it is known to this value and its clones only.
    let in_memory = asking(Trust::pins([]), Answer::Yes);
    put(&address, in_memory.clone()).unwrap();
    put(&address, in_memory).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert!(put(&address, Trust::pins([])).is_err());
}
