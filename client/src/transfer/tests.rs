//! The life of a slot, with a run that follows a script.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::scripted::{Course, LOST, SENSELESS, Scripted, Step, busy, ends};
use crate::error::ConnectionError;
use crate::work::settings::Settings;

#[test]
fn lost_connection_is_followed_by_another_one() {
    let run = Scripted::new(1, [ends(Err(LOST)), Step::Refused(LOST), ends(Ok(()))]);
    run.live(0).unwrap();
    assert_eq!((run.left(), run.reached.losses()), (0, 1));
    // Not before the server has answered the last of them.
    assert_eq!(*run.given_back.lock().unwrap(), [("work", 0)]);
}

#[test]
fn server_that_was_not_reached_is_tried_once() {
    let run = Scripted::new(1, [Step::Refused(LOST), ends(Ok(()))]);
    assert!(matches!(run.live(0), Err(ConnectionError::Closed)));
    assert_eq!(run.left(), 1);
    // One that is busy may have an earlier run to end.
    let run = Scripted::new(1, [Step::Refused(busy(false)), ends(Ok(()))]);
    run.live(0).unwrap();
}

#[test]
fn attempts_in_a_row_are_counted() {
    let steps = || [ends(Err(LOST)), Step::Refused(LOST), Step::Refused(LOST), ends(Ok(()))];
    let run = Scripted::new(1, steps());
    let error = run.live(0).unwrap_err();
    assert!(matches!(error, ConnectionError::GaveUp { attempts: 2, .. }), "{error:?}");
    // The others go on, and get the work.
    let run = Scripted::new(2, steps());
    run.live(0).unwrap();
    assert_eq!((run.left(), run.notes()), (1, 1));
    assert_eq!(*run.given_back.lock().unwrap(), [("work", 1)]);
}

#[test]
fn answer_or_the_end_of_a_culprit_begins_a_new_row() {
    let lost = |has_progress, culprit_gone| {
        let (result, finishes) = (Err(LOST), false);
        Step::Greeted(Course { result, has_progress, culprit_gone, finishes })
    };
    for (has_progress, culprit_gone) in [(true, false), (false, true)] {
        let steps = (0..5).map(|_| lost(has_progress, culprit_gone));
        let run = Scripted::new(1, steps.chain([ends(Ok(()))]));
        run.live(0).unwrap();
        assert_eq!(run.left(), 0);
    }
    let run = Scripted::new(1, (0..5).map(|_| lost(false, false)));
    assert!(matches!(run.live(0), Err(ConnectionError::GaveUp { .. })));
    assert_eq!(run.left(), 2);
}

#[test]
fn server_that_makes_no_sense_ends_the_run() {
    let run = Scripted::new(2, [ends(Err(SENSELESS)), ends(Ok(()))]);
    assert!(matches!(run.live(0), Err(ConnectionError::VersionGone)));
    // With everything answered it has done no harm.
    let course =
        Course { result: Err(SENSELESS), has_progress: true, culprit_gone: false, finishes: true };
    let run = Scripted::new(2, [Step::Greeted(course)]);
    run.live(0).unwrap();
}

#[test]
fn slot_that_the_server_does_not_take_again_is_given_up() {
    for error in [SENSELESS, busy(false)] {
        let steps = [ends(Err(LOST)), Step::Refused(error), ends(Ok(()))];
        let run = Scripted::new(2, steps);
        run.live(0).unwrap();
        assert_eq!((run.left(), run.notes()), (1, 1));
    }
    let run = Scripted::new(1, [ends(Err(LOST)), Step::Refused(SENSELESS)]);
    assert!(matches!(run.live(0), Err(ConnectionError::VersionGone)));
    // A server that is busy for a while is away for a while.
    let run = Scripted::new(1, [ends(Err(LOST)), Step::Refused(busy(true)), ends(Ok(()))]);
    run.live(0).unwrap();
}

#[test]
fn added_connection_that_was_never_greeted_is_given_up_in_silence() {
    let run = Scripted::new(1, [Step::Refused(LOST), ends(Ok(()))]);
    run.reached.announce("group");
    run.reached.add(1);
    run.live(1).unwrap();
    assert_eq!((run.left(), run.notes()), (1, 0));
}

#[test]
fn connections_wait_for_nobody_if_they_need_not() {
    let run = Scripted { one_first: false, ..Scripted::new(2, [ends(Ok(()))]) };
    run.live(1).unwrap();
    assert_eq!(run.left(), 0);
}

#[test]
fn connections_wait_for_the_first_one_if_they_are_to() {
    let run = Scripted::new(2, [ends(Ok(()))]);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| run.live(1));
        // The run is over before any connection was greeted.
        run.finished.store(true, Ordering::Relaxed);
        waits.join().unwrap().unwrap();
    });
    assert_eq!(run.left(), 1);
    let run = Scripted::new(2, [ends(Ok(()))]);
    run.reached.announce("group");
    run.live(1).unwrap();
    assert_eq!(run.left(), 0);
}

#[test]
fn server_that_answers_nothing_is_lost_and_not_only_its_entries() {
    let steps = || {
        let course =
            Course { result: Err(LOST), has_progress: false, culprit_gone: true, finishes: true };
        [Step::Greeted(course)]
    };
    // Others that have nothing to do end in peace.
    let run = Scripted::new(2, steps());
    assert!(matches!(run.live(0), Err(ConnectionError::GaveUp { .. })));
    // It has answered something.
    let run = Scripted::new(1, steps());
    run.reached.hear();
    run.live(0).unwrap();
}

#[test]
fn settings_have_bounds() {
    let check = |settings| super::common::Common { settings, ..Default::default() }.check();
    let usual = Settings::default();
    assert!(check(usual).is_ok());
    for wrong in [
        Settings { connections: Some(0), ..usual },
        Settings { connections: Some(65), ..usual },
        Settings { timeout: Duration::ZERO, ..usual },
        Settings { rate: Some(999), ..usual },
    ] {
        assert!(check(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(usual.most_losses(), 10);
    assert_eq!(Settings { retries: Some(0), ..usual }.most_losses(), 0);
}
