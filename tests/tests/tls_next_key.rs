//! The key that a server will have next, which it announces before.

use std::sync::Arc;

use haul_tests::fake::hello_answer;
use haul_tests::listening::Listening;
use haul_tests::prelude::*;

use crate::tls_fake::{Identity, TlsFake, config, haul_in, trusting};

fn known(configuration: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(configuration.path().join("known_servers")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A server with several keys, one connection after the other.
struct Keys {
    listening: Arc<Listening>,
}

impl Keys {
    /// `haul mkdir`, if the server has this key and announces that one.
    fn mkdir(&self, configuration: &TempDir, now: &Identity, next: Option<&Identity>) -> Output {
        let mut fake = TlsFake::start(config(now));
        fake.listening = Arc::clone(&self.listening);
        let address = fake.address();
        let mut answer = hello_answer();
        if let Some(next) = next {
            answer["next_pin"] = next.pin().into();
        }
        let serving = thread::spawn(move || {
            let mut caller = fake.accept()?;
            caller.greet_with(&answer)?;
            caller.obey(&|_, _| ())
        });
        let place = format!("{address}/d");
        let output = haul_in(configuration.path(), &["mkdir", &place]).output();
        // The client closes when it has what it wants.
        let _ = serving.join();
        output
    }
}

#[test]
fn announced_key_is_noted_and_takes_the_place_of_the_one_before() {
    let keys = Keys { listening: Arc::new(Listening::start().unwrap()) };
    let address = keys.listening.address().unwrap();
    let [old, new, third] = [(); 3].map(|()| Identity::own());
    let configuration = trusting(&[(&address, &old.pin())]);
    let first = known(&configuration);
    let mkdir = |now, next| keys.mkdir(&configuration, now, next);
    assert!(mkdir(&old, None).status.success());
    assert_eq!(known(&configuration), first);
    assert!(mkdir(&old, Some(&new)).status.success());
    let noted = known(&configuration);
    assert_eq!((noted.len(), &noted[..1]), (2, &first[..]));
    assert!(noted[1].starts_with(&format!("{address} {} next=", new.pin())), "{noted:?}");
    // Another one in its place, none, and this one again.
    assert!(mkdir(&old, Some(&third)).status.success());
    assert!(known(&configuration)[1].contains(&third.pin()));
    assert!(mkdir(&old, None).status.success());
    assert_eq!(known(&configuration), first);
    assert_eq!(mkdir(&new, None).status.code(), Some(4));
    assert!(mkdir(&old, Some(&new)).status.success());
    assert_eq!(known(&configuration), noted);
    // The key is there, and the one before is trusted no more.
    assert!(mkdir(&new, None).status.success());
    let now = known(&configuration);
    assert!(now.len() == 1 && now[0].starts_with(&format!("{address} {} since=", new.pin())));
    assert_eq!(mkdir(&old, Some(&third)).status.code(), Some(4));
    assert_eq!(known(&configuration), now);
}
