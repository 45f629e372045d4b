//! The digests that a client of HTTP has stated of a file, which are checked as its bytes come.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA512};

use crate::http::digests::{Algorithm, Stated};

/// Stated digests, and the bytes that have come.
#[derive(Clone)]
pub(in crate::connection) struct Checked(Vec<(Context, Stated)>);

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, stated)| stated.algorithm)).finish()
    }
}

impl Checked {
    /// Before the first byte.
    pub(super) fn begin(stated: Vec<Stated>) -> Self {
        Self(stated.into_iter().map(|stated| (context(stated.algorithm), stated)).collect())
    }

    /// The next bytes.
    pub(in crate::connection) fn update(&mut self, bytes: &[u8]) {
        for (context, _) in &mut self.0 {
            context.update(bytes);
        }
    }

    /// Whether the bytes that have come, and these, are those that were stated.
    pub(in crate::connection) fn holds_with(&self, rest: &[u8]) -> bool {
        let mut all = self.clone();
        all.update(rest);
        all.0.into_iter().all(|(context, stated)| context.finish().as_ref() == stated.value)
    }
}

/// The digest of no byte yet.
pub(super) fn context(algorithm: Algorithm) -> Context {
    match algorithm {
        Algorithm::Sha256 => Context::new(&SHA256),
        Algorithm::Sha512 => Context::new(&SHA512),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stated_digests_must_hold() {
        let stated = |algorithm, of: &[u8]| {
            let algorithm_of = if algorithm == Algorithm::Sha256 { &SHA256 } else { &SHA512 };
            Stated {
                algorithm,
                value: aws_lc_rs::digest::digest(algorithm_of, of).as_ref().to_vec(),
            }
        };
        let (both, one_wrong) = (
            vec![stated(Algorithm::Sha256, b"bytes"), stated(Algorithm::Sha512, b"bytes")],
            vec![stated(Algorithm::Sha256, b"bytes"), stated(Algorithm::Sha512, b"other")],
        );
        for (all, holds) in [(both, true), (one_wrong, false), (Vec::new(), true)] {
            let mut checked = Checked::begin(all);
            assert_eq!(checked.holds_with(b"bytes"), holds);
            checked.update(b"by");
            checked.update(b"t");
            assert_eq!(checked.holds_with(b"es"), holds);
        }
    }
}
