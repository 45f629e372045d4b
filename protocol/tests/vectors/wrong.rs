//! Wrong decoders: each breaks one rule, and at least one vector tells.

use crate::bodies::{Case, cases};
use crate::second::decode;
use crate::second_bodies::read;
use crate::vector::Vector;

/// The one rule that a decoder breaks, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrong(Option<&'static str>);

impl Wrong {
    /// Whether it breaks this rule.
    pub(crate) fn is(self, rule: &str) -> bool {
        self.0 == Some(rule)
    }
}

/// Wrong decoders of streams.
const STREAMS: [&str; 148] = [
    "reads the prefix in big-endian order",
    "reads two bytes of the prefix",
    "counts the prefix itself",
    "takes a header of any length",
    "takes no header of the longest length",
    "takes a header of no bytes",
    "knows no HTTP",
    "counts brackets behind an escaped quote",
    "counts brackets in strings",
    "replaces bytes that are not UTF-8",
    "skips a byte order mark",
    "looks for an object after the depth",
    "takes any depth",
    "takes one level less",
    "does not count the header as a level",
    "takes hello at any time",
    "looks at the version last",
    "takes a sound hello of another version for an error",
    "takes a body of any length",
    "needs a list that may be absent",
    "skips a body of an unknown classic command",
    "refuses a classic name in both fields",
    "takes the length of a classic body from length",
    "limits a classic body",
    "takes an absent length of a put for its filesize",
    "skips no body of a refused request",
    "looks for missing fields before names",
    "checks the name of a bundle",
    "checks no name of a request that needs none",
    "checks no name of an unknown command",
    "does not check after",
    "does not check the new name",
    "takes a version without the time of its publish",
    "ends at a bad name",
    "ends at an unknown command",
    "takes requests without their fields",
    "takes any kind in setattr",
    "takes a put whose length is not its filesize",
    "takes a body where none belongs",
    "takes the first of two kinds of answer",
    "skips an answer of no kind",
    "takes an absent retry for no",
    "takes an absent message for none",
    "takes an absent resumed for yes",
    "refuses an unknown code",
    "takes an upload without the size of its parts",
    "takes no answer about the id 0",
    "reads bodies of an answer by id only",
    "takes half a surrogate pair in the name of a field",
    "takes half a surrogate pair in a name in an object",
    "refuses a doubled unknown field",
    "refuses unknown fields",
    "refuses odd values of unknown fields",
    "knows only the fields of the command",
    "takes null for an absent field",
    "takes the last of doubled fields",
    "takes any count",
    "takes modes of permission bits only",
    "takes any mode",
    "takes numbers up to 2^64",
    "takes the number 2^53",
    "holds numbers in 32 bits",
    "takes a count of 0",
    "replaces half a surrogate pair",
    "counts a text in characters",
    "takes an empty text",
    "takes a text of any length",
    "takes a string for a list of strings",
    "takes a number for a boolean",
    "takes digits in upper case",
    "takes any letters for digits",
    "takes any number of digits",
    "takes any nanoseconds",
    "takes any seconds",
    "takes no mtime before 1970",
    "refuses unknown fields of an object in a field",
    "takes doubled fields of an object in a field",
    "takes an array for an object in a field",
    "takes an object in a field that lacks one of its fields",
    "takes a number in a string",
    "takes -0",
    "takes -0 in an mtime",
    "takes a whole number with a fraction",
    "takes an exponent",
    "takes a negative number as positive",
    "takes bytes behind the object",
    "takes single quotes",
    "takes a trailing comma",
    "takes a number with a leading zero",
    "takes control characters in strings",
    "does not join surrogates",
    "takes a target of any length",
    "takes an empty target",
    "takes a NUL in a target",
    "takes only names for targets",
    "takes the text of a name in both fields",
    "takes base64 of a name in UTF-8",
    "takes base64 without padding",
    "takes base64 with bits behind its end",
    "takes a name of any length",
    "takes a NUL in a name",
    "takes a backslash for a separator",
    "takes UTF-8 names only",
    "takes an absolute name",
    "takes a slash at the end",
    "takes two slashes in a row",
    "counts a component in characters",
    "takes a component of any length",
    "reserves .haul in lower case only",
    "reserves every name that begins with .haul",
    "reserves .haul in every directory",
    "reserves no name",
    "takes the component .",
    "takes the component ..",
    "refuses every component that begins with ..",
    "takes a string that is no access token for malformed",
    "takes white space around a token on the wire",
    "takes a pin in any form on the wire",
    "takes any string for a pin",
    "takes an account without rights",
    "takes no end before 1970",
    "refuses an unknown right",
    "keeps unknown rights",
    "tells a quota without its use",
    "takes no target of the longest length",
    "takes the same name in both fields",
    "takes an empty name in base64 for none",
    "counts a name in characters",
    "refuses control characters in a name",
    "refuses spaces around a component",
    "refuses a name that looks like an option",
    "checks the new name of every request",
    "knows fields in upper and lower case",
    "refuses a field without a name",
    "holds seconds in 32 bits",
    "takes an ack of 0 for none",
    "takes no body of a fetch",
    "takes parts of any size",
    "takes no part of the largest size",
    "takes parts of half a chunk",
    "takes no part of one chunk",
    "takes a part size that is no power of two",
    "takes a get from any offset",
    "takes a list for whole that is not",
    "looks for more before state",
    "takes a part without the size of its file",
    "takes a part without the state of its file",
    "takes the answer to fetch for a list",
];

/// Wrong readers of bodies.
const BODIES: [&str; 53] = [
    "knows the fields of requests in an entry",
    "knows only the fields of its kind in an entry",
    "leaves out a last line without a line feed",
    "takes a line that is one byte too long",
    "takes a line of white space for an entry",
    "takes a form feed for white space",
    "counts empty lines",
    "takes an entry without a name",
    "takes an absent kind for a file",
    "takes an absent size of a file for 0",
    "takes a link without a target",
    "takes an unknown kind",
    "checks the target of every kind",
    "takes no mode of a link",
    "skips empty lines in a bundle",
    "takes a last line of a bundle without a line feed",
    "takes directories in a bundle",
    "takes a cut file of a bundle",
    "refuses a bundle for the digest of one file",
    "takes fewer files in a bundle",
    "takes more files in a bundle",
    "reads a bitmap from its last byte",
    "counts bits from the most significant",
    "counts the numbers of a bitmap from 1",
    "takes letters in either case",
    "takes the letter d for a directory",
    "skips line feeds between letters",
    "refuses an unknown letter",
    "takes an unknown letter for the same",
    "knows the fields of an entry in a line of fetch",
    "takes names of any length together",
    "takes a line feed for the end of a name",
    "takes a last name without its NUL",
    "skips empty names",
    "takes any number of names",
    "takes one name less",
    "takes no names",
    "takes any bytes for a name",
    "takes wanted names in UTF-8 only",
    "takes each name once only",
    "takes files of any length together",
    "skips a line feed behind a file",
    "takes a last line of fetch without a line feed",
    "takes a longer line of fetch",
    "takes a line with a size for a file",
    "takes a refused file without a message",
    "takes a refused file without retry",
    "takes bytes behind a refused file",
    "takes a fetched file without a size for an empty one",
    "takes a fetched file of any size",
    "takes a cut file of fetch",
    "takes more files than names",
    "takes an answer to fetch without a line",
];

/// Wrong readers of texts.
const TEXTS: [&str; 26] = [
    "takes a pin without its prefix",
    "takes the prefix in lower case only",
    "takes letters of a pin in lower case only",
    "takes a pin in groups of five only",
    "takes only ASCII white space in a pin",
    "takes no dashes in a pin",
    "takes no invisible characters in a pin",
    "folds the letters of a pin as Unicode does",
    "takes 0 and 1 in a pin for o and l",
    "skips letters that no pin has",
    "takes a pin that is cut",
    "takes a pin with letters behind it",
    "takes a pin with a bit behind its end",
    "compares no check letters",
    "compares one check letter less",
    "takes an id in upper case",
    "takes any id",
    "takes padding in a token",
    "takes the letters of plain base64 in a token",
    "takes a bit behind the end of a secret",
    "trims no white space of a token",
    "trims white space of ASCII only of a token",
    "trims invisible characters of a token",
    "skips white space in a token",
    "takes a token without the line between id and secret",
    "takes the prefix of a token in upper case",
];

/// The names of vectors that a decoder fails.
fn failed(vectors: &[Vector], wrong: Wrong) -> Vec<String> {
    let fails = |vector: &&Vector| {
        decode(vector.side, &vector.stream, wrong)
            != (vector.events.clone(), vector.outcome.clone())
    };
    vectors.iter().filter(fails).map(|vector| vector.name.clone()).collect()
}

fn failed_bodies(cases: &[Case], wrong: Wrong) -> Vec<String> {
    let fails = |case: &&Case| read(&case.of, case.count, &case.body, wrong) != case.expected;
    cases.iter().filter(fails).map(|case| case.name.clone()).collect()
}

#[test]
fn decoder_that_is_written_from_the_document_passes_all_vectors() {
    assert_eq!(failed(&Vector::all(), Wrong(None)), [""; 0]);
}

#[test]
fn every_wrong_decoder_fails_a_vector() {
    let vectors = Vector::all();
    let passes = |wrong: &&'static str| failed(&vectors, Wrong(Some(*wrong))).is_empty();
    let passed: Vec<_> = STREAMS.into_iter().filter(passes).collect();
    assert_eq!(passed, [""; 0], "no vector tells these from a right decoder");
}

#[test]
fn reader_of_bodies_that_is_written_from_the_document_passes_all_vectors() {
    assert_eq!(failed_bodies(&cases("bodies"), Wrong(None)), [""; 0]);
}

#[test]
fn reader_of_texts_that_is_written_from_the_document_passes_all_vectors() {
    assert_eq!(failed_bodies(&cases("texts"), Wrong(None)), [""; 0]);
}

#[test]
fn every_wrong_reader_of_texts_fails_a_vector() {
    let cases = cases("texts");
    let passes = |wrong: &&'static str| failed_bodies(&cases, Wrong(Some(*wrong))).is_empty();
    let passed: Vec<_> = TEXTS.into_iter().filter(passes).collect();
    assert_eq!(passed, [""; 0], "no vector tells these from a right reader");
}

#[test]
fn every_wrong_reader_of_bodies_fails_a_vector() {
    let cases = cases("bodies");
    let passes = |wrong: &&'static str| failed_bodies(&cases, Wrong(Some(*wrong))).is_empty();
    let passed: Vec<_> = BODIES.into_iter().filter(passes).collect();
    assert_eq!(passed, [""; 0], "no vector tells these from a right reader");
}
