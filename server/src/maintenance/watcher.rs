//! The watcher: one thread that looks at the files of the server's key and of its accounts ten times a second.
//!
//! It reads and writes files, which may take as long as the disk does; the timer, which minds all deadlines, does neither.

use std::thread;
use std::time::Duration;

use super::settled::Settled;
use crate::services::Services;

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Looks between two that are made though no file has changed: a certificate or an account may end meanwhile, and a file that
/// could not be read may be readable. A file that does not stand still is not read then either.
const ANYWAY: u32 = 10;

/// Takes a changed certificate and changed accounts, until `is_over` says so after the thread has been unparked.
pub(crate) fn run(services: &Services, is_over: impl Fn() -> bool) {
    let keys = services.keys.as_ref();
    let mut keys = keys.map(|keys| (keys, keys.seen()));
    let (mut users, mut pair) = (Settled::new(), Settled::new());
    let mut looks = 0_u32;
    while !is_over() {
        let is_time = looks.is_multiple_of(ANYWAY);
        if users.is_due(services.accounts.state()) || is_time {
            services.look_at_accounts(users.is_still());
        }
        if let Some((keys, seen)) = &mut keys
            && (pair.is_due(keys.state()) || is_time && pair.is_still())
        {
            keys.look(seen);
        }
        looks = looks.wrapping_add(1);
        thread::park_timeout(EVERY);
    }
}
