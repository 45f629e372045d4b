//! Bodies of `fetch` and of its answer: random ones decode to what was encoded, and arbitrary bytes never panic.

use haul_protocol::limits::{MAX_BUNDLED, MAX_FETCHED_SIZE};
use haul_protocol::{
    Attributes, BundleError, Fetched, Refusal, WantedError, decode_fetched, decode_wanted,
    encode_fetched, encode_unfetched, encode_wanted,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies;

/// The outcome of one name: a file, or the reason why it does not come.
type Outcome = Result<(Attributes, Vec<u8>), Refusal>;

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let file = (strategies::attributes(), vec(any::<u8>(), 0..60));
    let outcome = prop_oneof![3 => file.prop_map(Ok), 1 => strategies::refusal().prop_map(Err)];
    vec(outcome, 1..6)
}

fn encoded(outcomes: &[Outcome]) -> Vec<u8> {
    let mut body = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok((attributes, bytes)) => {
                encode_fetched(bytes.len() as u64, attributes, &mut body).expect("a small file");
                body.extend_from_slice(bytes);
            }
            Err(refusal) => encode_unfetched(refusal, &mut body),
        }
    }
    body
}

proptest! {
    #[test]
    fn names_round_trip(
        names in vec(strategies::name(), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = Vec::new();
        names.iter().for_each(|name| encode_wanted(name, &mut body));
        prop_assert_eq!(decode_wanted(&body), Ok(names.clone()));
        // A body that is cut has no NUL at its end, or ends before another name.
        let cut = cut.index(body.len());
        match decode_wanted(&body[..cut]) {
            Ok(fewer) => prop_assert_eq!(&fewer[..], &names[..fewer.len()]),
            Err(error) => prop_assert_eq!(error, WantedError::End),
        }
    }

    #[test]
    fn files_and_refusals_round_trip(
        outcomes in outcomes(),
        cut in any::<prop::sample::Index>(),
    ) {
        let body = encoded(&outcomes);
        let expected: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Ok((attributes, bytes)) => Ok(Fetched { attributes: *attributes, bytes }),
                Err(refusal) => Err(refusal.clone()),
            })
            .collect();
        let wanted = expected.len();
        prop_assert_eq!(decode_fetched(&body, wanted), Ok(expected.clone()));
        prop_assert_eq!(decode_fetched(&body, wanted + 1), Ok(expected.clone()));
        let fewer = decode_fetched(&body, wanted - 1);
        prop_assert!(matches!(fewer, Err(BundleError::Rest(1..))), "{:?}", fewer);
        // Where the cut is between two files, those before it are there.
        if let Ok(some) = decode_fetched(&body[..cut.index(body.len())], wanted) {
            prop_assert!(some.len() < wanted);
            prop_assert_eq!(&some[..], &expected[..some.len()]);
        }
    }

    #[test]
    fn any_bytes_are_names_and_files_or_errors(
        (wanted, mut body) in (0..5_usize, vec(any::<u8>(), 0..100)),
        (size, how) in (0..200_u64, 0..3_u8),
    ) {
        let mut line = Vec::new();
        match how {
            0 => {}
            1 => encode_fetched(size, &Attributes::default(), &mut line).expect("a small file"),
            // A size that no body has.
            _ => line = format!("{{\"filesize\":{}}}\n", u64::MAX >> 11).into_bytes(),
        }
        body.splice(0..0, line);
        match decode_fetched(&body, wanted) {
            Ok(files) => {
                prop_assert!((1..=wanted).contains(&files.len()));
                let bytes: usize = files.iter().flatten().map(|file| file.bytes.len()).sum();
                prop_assert!(bytes < body.len());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        match decode_wanted(&body) {
            Ok(names) => prop_assert!((1..=MAX_BUNDLED).contains(&(names.len() as u64))),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn file_that_is_too_large_is_not_encoded() {
    let mut body = Vec::new();
    let attributes = Attributes::default();
    assert!(encode_fetched(MAX_FETCHED_SIZE + 1, &attributes, &mut body).is_err());
    assert_eq!(body, b"");
    assert_eq!(encode_fetched(MAX_FETCHED_SIZE, &attributes, &mut body), Ok(()));
}
