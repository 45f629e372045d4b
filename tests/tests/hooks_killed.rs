//! The hook `on-commit` and servers that are killed at any moment: every file that was acknowledged is told, and none that is not
//! there.

use std::collections::{BTreeMap, BTreeSet};

use haul_tests::hook::Hook;
use haul_tests::prelude::*;
use haul_tests::random::Random;

/// Puts files until the server is gone; tells which of them were acknowledged.
fn put_until_the_end(
    address: &str,
    run: usize,
    acknowledged: &AtomicUsize,
) -> BTreeMap<String, String> {
    let mut done = BTreeMap::new();
    let Ok(mut peer) = Peer::hello(address) else { return done };
    for id in 1.. {
        // Some are new, some replace one of an earlier run.
        let name =
            if id % 3 == 0 { format!("again/{}", id % 17) } else { format!("run-{run}/{id}") };
        let bytes = format!("{run}-{id}").into_bytes();
        match peer.ask(&put(id, &name, &bytes), &bytes) {
            Ok(answer) if answer["ack"] == id => {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                done.insert(blake3::hash(&bytes).to_string(), name);
            }
            Ok(answer) => panic!("{answer}"),
            Err(_) => break,
        }
    }
    done
}

fn loses_nothing(durability: &str) {
    let hook = Hook::taking_whole_runs();
    let own = hook.words("--on-commit");
    let words = [own[0].as_str(), &own[1], "--durability", durability];
    let mut server = server_with(&words);
    let root = server.root().to_owned();
    let mut done = BTreeMap::new();
    let mut random = Random::new(7, 0);
    for run in 0..8 {
        let (address, acknowledged) = (server.address().to_owned(), AtomicUsize::new(0));
        let enough = 1 + usize::try_from(random.below(60)).unwrap();
        thread::scope(|scope| {
            let putting = scope.spawn(|| put_until_the_end(&address, run, &acknowledged));
            eventually("files are put", || acknowledged.load(Ordering::Relaxed) >= enough);
            server.signal(Signal::KILL).unwrap();
            server.wait().unwrap();
            done.extend(putting.join().unwrap());
        });
        let next = Hauld::start_at(&root, &server.log, hauld_command(), &words).unwrap();
        server.becomes(next);
    }
    let digests = || {
        let told = hook.taken();
        let files = told.into_iter().filter(|event| event["event"] == "file");
        files.map(|event| event["digest"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    eventually("every file that was acknowledged is told", || {
        let digests = digests();
        done.keys().all(|digest| digests.contains(digest))
    });
    // A file that was not acknowledged may be told after those that were.
    let last = || {
        let told = hook.taken().into_iter().filter(|event| event["event"] == "file");
        let last =
            told.map(|event| (event["name"].as_str().unwrap().to_owned(), event["digest"].clone()));
        last.collect::<BTreeMap<_, _>>()
    };
    let there = |(name, digest): (&String, &Value)| {
        let bytes = fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        *digest == blake3::hash(&bytes).to_string()
    };
    eventually("of each name the last event is that of the file that is there", || {
        last().iter().all(there)
    });
    assert!(last().len() > 8);
}

#[test]
fn no_file_is_missed_when_servers_are_killed() {
    loses_nothing("group");
}

#[test]
fn no_file_is_missed_when_servers_are_killed_that_do_not_flush() {
    loses_nothing("none");
}
