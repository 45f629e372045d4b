//! Accounts by the library: a token that the program gives, and the account that it means.

use haul_client::{
    BuildError, Builder, ConnectionError, CredentialsError, Delete, Transfer, TransferError,
};
use haul_protocol::AccessToken;
use haul_tests::login::{Pair, TOKEN};
use haul_tests::prelude::*;

fn put(pair: &Pair, token: &str) -> Builder {
    let destination = pair.server.address().parse().unwrap();
    let source = pair.directory.path().join("s");
    let token: AccessToken = token.parse().unwrap();
    Transfer::builder(destination).token(token).put([source])
}

#[test]
fn program_gives_the_token_and_names_the_account() {
    let (pair, token) = Pair::start("writer", &[]);
    pair.write("s/f", "one");
    let report = put(&pair, &token).account("alice").build().unwrap().run(&mut ()).unwrap();
    assert_eq!(report.counts.files, 1);
    assert_eq!(fs::read(pair.server.root().join("alice/s/f")).unwrap(), b"one");
    let error = |builder: Builder| match builder.build().unwrap().run(&mut ()) {
        Err(TransferError::Connection { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let other = error(put(&pair, &token).account("bob"));
    assert!(
        matches!(&other, ConnectionError::OtherAccount(other) if other.found.as_deref() == Some("alice"))
    );
    let wrong = error(put(&pair, TOKEN));
    assert!(
        matches!(&wrong, ConnectionError::Unauthorized(wrong) if wrong.is_sent && !wrong.was_taken)
    );
    let lacking =
        error(put(&pair, &token).sync(pair.directory.path().join("s"), Some(Delete::default())));
    assert!(matches!(&lacking, ConnectionError::Lacking(lacking) if lacking.need == "--delete"));
}

#[test]
fn secret_is_in_no_debug_output_and_no_error() {
    let (pair, token) = Pair::start("writer", &[]);
    pair.write("s/f", "one");
    let secret = token.trim().splitn(3, '_').last().unwrap();
    let transfer = put(&pair, &token).account("bob");
    let mut shown = format!("{transfer:?}");
    let transfer = transfer.build().unwrap();
    shown += &format!("{transfer:?}");
    shown += &format!("{:?}", transfer.run(&mut ()));
    assert!(shown.contains("AccessToken(") && !shown.contains(&secret[..8]), "{shown}");
}

#[test]
fn account_without_a_token_is_an_error_before_anything_is_connected() {
    // A host that nobody has a token for.
    let destination = "alice@box.invalid:1".parse().unwrap();
    let built = Transfer::builder(destination).put(["."]).build();
    let missing = matches!(&built, Err(BuildError::Credentials(CredentialsError::Missing { .. })));
    assert!(missing, "{built:?}");
}
