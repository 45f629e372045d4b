//! The two books report each breach of the rules of ids and of the window.

use haul_protocol::{OrderError, RequestId, Requester, Responder, ServerLimits};
use proptest::prelude::*;

fn limits(window_requests: u64, window_bytes: u64) -> ServerLimits {
    ServerLimits { window_requests, window_bytes, ..ServerLimits::default() }
}

proptest! {
    #[test]
    fn a_responder_takes_the_next_id_only(ids in prop::collection::vec(0..6_u64, 1..30)) {
        let mut responder = Responder::new(&limits(1000, 1000));
        let mut expected = 1;
        for (n, got) in ids.into_iter().enumerate() {
            let got = if n % 2 == 0 { expected } else { got };
            let received = responder.received(RequestId::new(got), true, 0);
            if got == expected {
                prop_assert_eq!(received, Ok(()));
                expected += 1;
            } else {
                prop_assert_eq!(received, Err(OrderError::Id {
                    got: RequestId::new(got),
                    expected: RequestId::new(expected),
                }));
            }
            // Answers don't change which id is next.
            responder.done(RequestId::new(got));
            responder.ack();
        }
    }

    /// A plain sum is the model of the window.
    #[test]
    fn a_responder_reports_an_exceeded_window(
        (max_requests, max_bytes) in (1..6_u64, 0..100_u64),
        lengths in prop::collection::vec(0..40_u64, 1..12),
    ) {
        let mut responder = Responder::new(&limits(max_requests, max_bytes));
        let (mut requests, mut bytes) = (0, 0);
        for (id, length) in (1..).zip(lengths) {
            requests += 1;
            bytes += length;
            let received = responder.received(RequestId::new(id), true, length);
            if requests > max_requests || bytes > max_bytes {
                let error = OrderError::Window { requests, bytes, max_requests, max_bytes };
                prop_assert_eq!(received, Err(error));
                break;
            }
            prop_assert_eq!(received, Ok(()));
        }
    }

    /// The window is free again after the ack, not before it.
    #[test]
    fn done_frees_nothing_before_the_ack(count in 1..20_u64) {
        let mut responder = Responder::new(&limits(count, 0));
        for id in 1..=count {
            responder.received(RequestId::new(id), true, 0).unwrap();
            responder.done(RequestId::new(id));
        }
        prop_assert!(!responder.busy());
        let next = count + 1;
        let is_window = |result| matches!(result, Err(OrderError::Window { .. }));
        prop_assert!(is_window(responder.received(RequestId::new(next), true, 0)));
        prop_assert_eq!(responder.ack(), Some(RequestId::new(count)));
        prop_assert_eq!(responder.ack(), None, "an ack says something new or isn't one");
        prop_assert_eq!(responder.received(RequestId::new(next), true, 0), Ok(()));
    }

    /// Telling of one request again, in any way and order, is without effect.
    #[test]
    fn telling_twice_counts_once(
        twice in prop::collection::vec((1..8_u64, any::<bool>()), 0..30),
    ) {
        let mut responder = Responder::new(&limits(8, 0));
        for id in 1..=7 {
            responder.received(RequestId::new(id), true, 0).unwrap();
        }
        for (id, done) in twice {
            if done { responder.done(RequestId::new(id)) } else { responder.told(RequestId::new(id)) }
        }
        for id in 1..=7 {
            responder.done(RequestId::new(id));
            responder.told(RequestId::new(id));
            responder.done(RequestId::new(id));
        }
        responder.ack();
        for id in 8..=15 {
            prop_assert_eq!(responder.received(RequestId::new(id), true, 0), Ok(()));
        }
        prop_assert!(responder.received(RequestId::new(16), true, 0).is_err());
    }
}

#[test]
fn a_requester_reports_answers_that_nothing_waits_for() {
    let mut requester = Requester::new(&limits(10, 10));
    let lost = |id| Err(OrderError::NotWaiting(RequestId::new(id)));
    assert_eq!(requester.answered(RequestId::new(1)), lost(1));
    assert_eq!(requester.acked(RequestId::new(1), |_| ()), lost(1).map(|_: char| ()));
    requester.sent('a', true, 1);
    requester.sent('b', false, 1);
    assert_eq!(requester.acked(RequestId::new(u64::MAX), |_| ()), lost(u64::MAX).map(|_: char| ()));
    assert_eq!(requester.answered(RequestId::new(0)), lost(0));
    assert_eq!(requester.answered(RequestId::new(2)), Ok('b'));
    assert_eq!(requester.answered(RequestId::new(2)), lost(2));
    let mut done = Vec::new();
    assert_eq!(requester.acked(RequestId::new(2), |what| done.push(what)), Ok(()));
    assert_eq!(
        requester.acked(RequestId::new(2), |what| done.push(what)),
        Ok(()),
        "an ack may be repeated"
    );
    assert_eq!(done, ['a']);
    assert_eq!(
        requester.answered(RequestId::new(1)),
        lost(1),
        "a refusal after the ack is too late"
    );
    assert_eq!(requester.unanswered(), 0);
}

/// Otherwise a server that never answers the oldest request would let the book grow for ever.
#[test]
fn a_requester_goes_only_so_far_ahead_of_the_oldest_unanswered_request() {
    let mut requester = Requester::new(&limits(10, 10));
    requester.sent(0, false, 0);
    let mut sent = 1;
    while requester.has_room(0) {
        requester.sent(sent, true, 0);
        sent += 1;
        assert!(sent < 1000, "no end");
        assert_eq!(requester.acked(RequestId::new(sent), |_| ()), Ok(()));
    }
    assert_eq!((requester.unanswered(), sent), (1, 160));
    assert_eq!(requester.answered(RequestId::new(1)), Ok(0));
    assert!(requester.has_room(0));
}

#[test]
fn a_drained_requester_gives_back_what_is_unanswered_oldest_first() {
    let mut requester = Requester::new(&limits(10, 10));
    for what in ['a', 'b', 'c', 'd'] {
        requester.sent(what, true, 2);
    }
    assert_eq!(requester.answered(RequestId::new(2)), Ok('b'));
    assert_eq!(requester.drain().collect::<String>(), "acd");
    assert_eq!((requester.unanswered(), requester.next_id()), (0, RequestId::new(5)));
    assert!(requester.has_room(10));
}

#[test]
fn an_open_request_that_is_no_change_holds_no_ack_back() {
    let mut responder = Responder::new(&limits(10, 10));
    responder.received(RequestId::new(1), false, 0).unwrap();
    responder.received(RequestId::new(2), true, 0).unwrap();
    responder.received(RequestId::new(3), true, 0).unwrap();
    responder.done(RequestId::new(3));
    assert_eq!(responder.ack(), None, "2 is open and not done");
    responder.done(RequestId::new(2));
    assert_eq!(responder.ack(), Some(RequestId::new(3)));
    assert!(responder.busy(), "1 is still under way");
}
