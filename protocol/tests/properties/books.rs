//! A client's half and a server's half without a socket: in any order of completion, and with bytes
//! in pieces of any length, both agree on the outcome of each request.

use haul_protocol::{
    Answer, Answers, Decoder, Event, FirstOrLater, Op, Refusal, Reply, RequestId, Requester,
    Requests, Responder, ServerLimits, encode,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies;

const MAX_BODY: usize = 40;

/// A request, and the refusal that the server will give, if any.
type Plan = (Op, Vec<u8>, Option<Refusal>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done,
    Answered,
    Refused(Refusal),
}

struct Pair<'a> {
    plans: &'a [Plan],
    /// The plan that each id belongs to, from 1; a bundle has several.
    ids: Vec<usize>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    // The client's half. Its note on a request is the request's id less 1, and so is the index of
    // the outcome.
    requester: Requester<usize>,
    answers: Decoder<Answers>,
    outcomes: Vec<Option<Outcome>>,
    // The server's half.
    requests: Decoder<Requests>,
    responder: Responder,
    current: Option<(RequestId, Vec<u8>)>,
    open: Vec<RequestId>,
    last_ack: Option<RequestId>,
}

impl<'a> Pair<'a> {
    fn new(plans: &'a [Plan], limits: &ServerLimits) -> Self {
        let mut to_server = Vec::new();
        encode::hello(&strategies::sound_hello(), &mut to_server).expect("a sound hello");
        let ids = |(index, (op, _, _)): (usize, &Plan)| {
            std::iter::repeat_n(index, usize::try_from(op.ids()).expect("small"))
        };
        let ids: Vec<usize> = plans.iter().enumerate().flat_map(ids).collect();
        Self {
            plans,
            to_server,
            to_client: Vec::new(),
            requester: Requester::new(limits),
            answers: Decoder::new(Answers),
            outcomes: vec![None; ids.len()],
            ids,
            requests: Decoder::new(Requests::default()),
            responder: Responder::new(limits),
            current: None,
            open: Vec::new(),
            last_ack: None,
        }
    }

    /// One step of one half; `choice` selects the step, `amount` its size or target.
    fn step(&mut self, choice: u8, amount: usize) {
        match choice % 6 {
            0 => self.client_sends(),
            1 => self.server_reads(amount),
            2 => self.server_finishes(amount),
            3 => self.server_acks(),
            4 => self.client_reads(amount),
            _ => self.server_repeats_its_ack(),
        }
    }

    fn plan(&self, id: RequestId) -> Option<&'a Plan> {
        let index = usize::try_from(id.get() - 1).expect("a small id");
        self.ids.get(index).map(|&plan| &self.plans[plan])
    }

    fn client_sends(&mut self) {
        let id = self.requester.next_id();
        let Some((op, body, _)) = self.plan(id) else { return };
        let length = body.len() as u64;
        if self.requester.has_room_for(op.ids(), length) {
            encode::request(id, length, op, &mut self.to_server).expect("a sound request");
            self.to_server.extend_from_slice(body);
            let index = usize::try_from(id.get() - 1).expect("a small id");
            match op {
                Op::Bundle { count, .. } => {
                    let count = usize::try_from(*count).expect("small");
                    self.requester.sent_bundle(index..index + count, length);
                }
                _ => self.requester.sent(index, op.is_change(), length),
            }
        }
    }

    fn server_reads(&mut self, amount: usize) {
        let bytes: Vec<u8> = self.to_server.drain(..amount.min(self.to_server.len())).collect();
        let mut input = &bytes[..];
        while let Some(event) = self.requests.decode(&mut input).expect("sound requests") {
            match event {
                Event::Header(FirstOrLater::Request(request)) => {
                    let (op, _, _) = self.plan(request.id).expect("it was sent");
                    assert_eq!(request.op.as_ref(), Ok(op));
                    let (id, length) = (request.id, request.length);
                    match op {
                        Op::Bundle { count, .. } => {
                            self.responder.received_bundle(id, *count, length)
                        }
                        _ => self.responder.received(id, op.is_change(), length),
                    }
                    .expect("the client keeps to ids and window");
                    self.current = Some((request.id, Vec::new()));
                }
                Event::Header(header) => assert!(matches!(header, FirstOrLater::Hello(_))),
                Event::Body(piece) => {
                    let (_, body) = self.current.as_mut().expect("a body has a header");
                    body.extend_from_slice(piece);
                }
                Event::End => {
                    if let Some((id, body)) = self.current.take() {
                        let (op, sent, _) = self.plan(id).expect("it was sent");
                        assert_eq!(&body, sent);
                        self.open.extend(id.row(op.ids()));
                    }
                }
            }
        }
    }

    /// Finishes any one of the requests that are under way, as planned.
    fn server_finishes(&mut self, which: usize) {
        if self.open.is_empty() {
            return;
        }
        let id = self.open.swap_remove(which % self.open.len());
        let (op, _, refusal) = self.plan(id).expect("it was sent");
        let answer = match refusal {
            Some(refusal) => Answer::Refused { id, refusal: refusal.clone() },
            None if op.is_change() => return self.responder.done(id),
            None => Answer::Answered { id, length: 3, reply: Reply::Done },
        };
        self.responder.told(id);
        encode::answer(&answer, &mut self.to_client).expect("a sound answer");
        if let Answer::Answered { .. } = answer {
            self.to_client.extend_from_slice(b"abc");
        }
    }

    fn server_acks(&mut self) {
        if let Some(id) = self.responder.ack() {
            assert!(self.last_ack < Some(id), "acks go forward");
            self.last_ack = Some(id);
            encode::answer(&Answer::Ack(id), &mut self.to_client).expect("a sound ack");
        }
    }

    fn server_repeats_its_ack(&mut self) {
        if let Some(id) = self.last_ack {
            encode::answer(&Answer::Ack(id), &mut self.to_client).expect("a sound ack");
        }
    }

    fn client_reads(&mut self, amount: usize) {
        let bytes: Vec<u8> = self.to_client.drain(..amount.min(self.to_client.len())).collect();
        let mut input = &bytes[..];
        while let Some(event) = self.answers.decode(&mut input).expect("sound answers") {
            match event {
                Event::Header(Answer::Ack(id)) => self.client_is_acked(id),
                Event::Header(Answer::Refused { id, refusal }) => {
                    let index = self.requester.answered(id).expect("the request waits");
                    resolve(&mut self.outcomes, index, Outcome::Refused(refusal));
                }
                Event::Header(Answer::Answered { id, .. }) => {
                    let index = self.requester.answered(id).expect("the request waits");
                    resolve(&mut self.outcomes, index, Outcome::Answered);
                }
                Event::Header(other) => panic!("{other:?} comes without being asked for"),
                Event::Body(_) | Event::End => {}
            }
        }
    }

    fn client_is_acked(&mut self, id: RequestId) {
        let outcomes = &mut self.outcomes;
        self.requester
            .acked(id, |index| resolve(outcomes, index, Outcome::Done))
            .expect("an ack of what was sent");
        for (index, &plan) in self.ids.iter().enumerate() {
            if (index as u64) < id.get() && self.plans[plan].0.is_change() {
                assert!(outcomes[index].is_some(), "no change up to an ack is open");
            }
        }
    }

    fn settled(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }
}

/// Every request gets one outcome, once.
fn resolve(outcomes: &mut [Option<Outcome>], index: usize, outcome: Outcome) {
    assert_eq!(outcomes[index].replace(outcome), None, "request {} again", index + 1);
}

fn plan() -> impl Strategy<Value = Plan> {
    (strategies::request(MAX_BODY), prop::option::weighted(0.3, strategies::refusal()))
        .prop_map(|((op, body), refusal)| (op, body, refusal))
}

proptest! {
    #[test]
    fn both_halves_agree_on_every_request(
        plans in vec(plan(), 0..25),
        (window_requests, window_bytes) in (3..8_u64, MAX_BODY as u64..150),
        steps in vec((any::<u8>(), 0..200_usize), 0..300),
    ) {
        let limits = ServerLimits { window_requests, window_bytes, ..ServerLimits::default() };
        let mut pair = Pair::new(&plans, &limits);
        for (choice, amount) in steps {
            pair.step(choice, amount);
        }
        // Then everybody works in turn until all is settled; each round settles one at least.
        for _ in 0..=pair.ids.len() {
            (0..6).for_each(|choice| pair.step(choice, usize::MAX));
        }
        pair.step(4, usize::MAX);

        prop_assert!(pair.settled());
        prop_assert_eq!(pair.requester.unanswered(), 0);
        prop_assert!(!pair.responder.busy());
        prop_assert!(pair.answers.between_frames() && pair.requests.between_frames());
        for (&plan, outcome) in pair.ids.iter().zip(pair.outcomes) {
            let (op, _, refusal) = &plans[plan];
            let given = match refusal {
                Some(refusal) => Outcome::Refused(refusal.clone()),
                None if op.is_change() => Outcome::Done,
                None => Outcome::Answered,
            };
            prop_assert_eq!(outcome, Some(given));
        }
    }
}
