//! Pins and access tokens round trip through their texts, and no text makes their readers panic.

use haul_protocol::{AccessToken, AccessTokenError, Pin, PinError};
use proptest::prelude::*;

use crate::strategies;

/// Characters that a pin ignores.
const IGNORED: &str =
    "-\u{2011}\u{2013} \t\r\n\u{a0}\u{3000}\u{ad}\u{200b}\u{200f}\u{202e}\u{2060}\u{2066}\u{feff}";

/// Text that resembles a pin or a token, and text that does not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        "(?i)haul1[-a-z2-7 \u{200b}]{0,80}",
        "haul_[a-z2-7]{7,9}_?[A-Za-z0-9_=-]{42,44}",
        "haul_.{50,54}",
    ]
}

proptest! {
    #[test]
    fn pins_round_trip_however_they_are_typed(
        pin in strategies::pin(),
        typed in prop::collection::vec((any::<bool>(), "[- \u{200b}]{0,2}"), 66),
        ignored in prop::collection::vec(prop::sample::select(IGNORED.chars().collect::<Vec<_>>()), 66),
    ) {
        let text = pin.to_string();
        prop_assert_eq!(text.len(), 71);
        prop_assert_eq!(text.parse(), Ok(pin));
        let mut odd = String::new();
        for (index, letter) in text.chars().filter(|c| *c != '-').enumerate() {
            let (is_upper, behind) = &typed[index];
            odd.push(if *is_upper { letter.to_ascii_uppercase() } else { letter });
            odd.push_str(behind);
            odd.push(ignored[index]);
        }
        prop_assert_eq!(odd.parse(), Ok(pin));
    }

    #[test]
    fn a_pin_with_one_letter_less_or_more_is_none(
        pin in strategies::pin(),
        at in 0..66_usize,
        letter in "[a-z2-7]",
    ) {
        let letters: String = pin.to_string().replace('-', "");
        let at = 5 + at % 55;
        let less = format!("{}{}", &letters[..at], &letters[at + 1..]);
        prop_assert_eq!(less.parse::<Pin>(), Err(PinError::Length(54)));
        let more = format!("{}{letter}{}", &letters[..at], &letters[at..]);
        prop_assert_eq!(more.parse::<Pin>(), Err(PinError::Length(56)));
    }

    #[test]
    fn access_tokens_round_trip_and_show_no_secret(id: [u8; 5], secret: [u8; 32], around in "[ \t\r\n]{0,3}") {
        let token = AccessToken::new(id, secret);
        let text = token.expose();
        prop_assert_eq!(format!("{around}{text}{around}").parse(), Ok(token.clone()));
        prop_assert_eq!(format!("{token:?}"), format!("AccessToken({})", token.id()));
        let shown = format!("{token:#?}");
        prop_assert!(!shown.contains(&text[14..]));
    }

    #[test]
    fn two_access_tokens_are_the_same_only_if_all_of_them_is(
        id: [u8; 5], secret: [u8; 32], byte in 0..37_usize, bit in 0..8_u32,
    ) {
        let (mut other_id, mut other_secret) = (id, secret);
        match other_id.get_mut(byte) {
            Some(place) => *place ^= 1 << bit,
            None => other_secret[byte - 5] ^= 1 << bit,
        }
        let (one, other) = (AccessToken::new(id, secret), AccessToken::new(other_id, other_secret));
        prop_assert_ne!(&one, &other);
        prop_assert_ne!(one.expose(), other.expose());
        prop_assert_eq!(one.hash() == other.hash(), secret == other_secret);
    }

    /// A text has one token or none, and one pin or none; an error never repeats a text.
    #[test]
    fn any_text_is_read_or_refused(text in text()) {
        if let Ok(pin) = text.parse::<Pin>() {
            prop_assert_eq!(pin.to_string().parse(), Ok(pin));
        }
        match text.parse::<AccessToken>() {
            Ok(token) => prop_assert_eq!(token.expose(), text.trim()),
            Err(AccessTokenError::Prefix) => prop_assert!(!text.trim().starts_with("haul_")),
            Err(error) => prop_assert!(text.trim().len() < 8 || !error.to_string().contains(text.trim())),
        }
    }
}
