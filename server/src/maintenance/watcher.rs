//! The watcher: one thread that looks at the files of the server's key and of its accounts each second.
//!
//! It reads and writes files, which may take as long as the disk does; the timer, which minds all deadlines, does neither.

use std::thread;
use std::time::Duration;

use crate::services::Services;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Takes a changed certificate and changed accounts, until `is_over` says so after the thread has been unparked.
pub(crate) fn run(services: &Services, is_over: impl Fn() -> bool) {
    let keys = services.keys.as_ref();
    let mut keys = keys.map(|keys| (keys, keys.seen()));
    while !is_over() {
        services.look_at_accounts();
        if let Some((keys, seen)) = &mut keys {
            keys.look(seen);
        }
        thread::park_timeout(EVERY);
    }
}
