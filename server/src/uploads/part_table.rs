//! The parts of one large file under way: held, claimed by a writer, or missing; and whether all are held. Pure: events in,
//! decisions out; no socket, no store, no clock.
//!
//! Rules:
//! - Each part is *missing*, *claimed* by one writer, or *held* with its chaining value.
//! - One writer a part: a newer claim on a part cancels the older one, whose writes and whose finish
//!   are then refused.
//! - A held part is never written again: the same chaining value is acknowledged without writing,
//!   another one is refused.
//! - A commit needs every part held, and chaining values that merge to its digest.
//! - If a client opens the upload again, it has the upload alone: all claims are cancelled, held parts stay.
//!
//! | part | event | becomes | decision |
//! |---|---|---|---|
//! | missing | `claim` | claimed | write |
//! | claimed | `claim` | claimed (new number) | write when the older writer has stopped |
//! | held | `claim`, same value | held | skip |
//! | held | `claim`, other value | held | refuse `bad_part` |
//! | claimed | `finish`, value as announced | held | journal, then acknowledge |
//! | claimed | `finish`, other value | missing | refuse `digest_mismatch` |
//! | claimed by another, missing, held | `finish` | as before | refuse `superseded` |
//! | claimed | `release` | missing | |
//! | claimed | `take_over` | missing | the older writer is refused, then the newer one may write |
//! | all held | `commit`, digest right | | commit |
//! | any | `commit` otherwise | as before | refuse `incomplete` or `digest_mismatch` |

use haul_protocol::{Bitmap, Code, Cv, Digest, Geometry, merge};

use crate::refusal::Refusal;

/// The state of one upload.
#[derive(Debug)]
pub(crate) struct Upload {
    geometry: Geometry,
    parts: Vec<Part>,
    next_claim: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Missing,
    Claimed(u64),
    Held(Cv),
}

/// The right to write one part, until someone else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Number of the part.
    pub(crate) index: usize,
    number: u64,
    announced: Cv,
}

/// The decision about a part that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Verify and write it under this claim.
    Write(Claim),
    /// The same, when the writer that had it before has stopped.
    TakeOver(Claim),
    /// It is held already: skip the body and acknowledge.
    Skip,
}

impl Upload {
    /// These parts are held already.
    pub(crate) fn new(geometry: Geometry, held: &[(usize, Cv)]) -> Self {
        let mut parts = vec![Part::Missing; geometry.parts()];
        for &(index, cv) in held {
            if let Some(part) = parts.get_mut(index) {
                *part = Part::Held(cv);
            }
        }
        Self { geometry, parts, next_claim: 0 }
    }

    /// The parts that are held.
    pub(crate) fn held(&self) -> Bitmap {
        let mut held = Bitmap::new();
        for (index, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Held(_)) {
                held.set(index);
            }
        }
        held
    }

    /// Bytes of the parts that are held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.geometry.size() - self.missing_bytes()
    }

    /// Bytes of the parts that are not held.
    pub(crate) fn missing_bytes(&self) -> u64 {
        let missing =
            self.parts.iter().enumerate().filter(|(_, part)| !matches!(part, Part::Held(_)));
        missing.filter_map(|(index, _)| self.geometry.range(index)).map(|r| r.end - r.start).sum()
    }

    /// The upload is opened again: nobody else writes any more.
    pub(crate) fn take_over(&mut self) {
        for part in &mut self.parts {
            if matches!(part, Part::Claimed(_)) {
                *part = Part::Missing;
            }
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// A part is announced.
    pub(crate) fn claim(&mut self, offset: u64, len: u64, cv: Cv) -> Result<Decision, Refusal> {
        let index = self
            .geometry
            .locate(offset, len)
            .map_err(|error| Refusal::new(Code::BadPart, error))?;
        match self.parts[index] {
            Part::Held(held) if held == cv => Ok(Decision::Skip),
            Part::Held(_) => Err(Refusal::new(
                Code::BadPart,
                format_args!("part at {offset} is held with another chaining value"),
            )),
            before @ (Part::Missing | Part::Claimed(_)) => {
                self.next_claim += 1;
                self.parts[index] = Part::Claimed(self.next_claim);
                let claim = Claim { index, number: self.next_claim, announced: cv };
                Ok(match before {
                    Part::Claimed(_) => Decision::TakeOver(claim),
                    _ => Decision::Write(claim),
                })
            }
        }
    }

    /// Whether a writer may still write.
    pub(crate) fn is_valid(&self, claim: &Claim) -> bool {
        self.parts[claim.index] == Part::Claimed(claim.number)
    }

    /// All bytes of a part are written, and have this chaining value. `journal` is called before it
    /// counts as held: nobody else can claim the part between the two.
    pub(crate) fn finish<T>(
        &mut self,
        claim: &Claim,
        actual: Cv,
        journal: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if !self.is_valid(claim) {
            return Err(superseded());
        }
        if actual != claim.announced {
            self.parts[claim.index] = Part::Missing;
            return Err(Refusal::new(
                Code::DigestMismatch,
                format_args!("part {} does not match its chaining value", claim.index),
            ));
        }
        self.parts[claim.index] = Part::Missing;
        let journalled = journal()?;
        self.parts[claim.index] = Part::Held(actual);
        Ok(journalled)
    }

    /// A writer gives up.
    pub(crate) fn release(&mut self, claim: &Claim) {
        if self.is_valid(claim) {
            self.parts[claim.index] = Part::Missing;
        }
    }

    /// The client says that the file is complete.
    pub(crate) fn commit(&self, digest: Digest) -> Result<(), Refusal> {
        let cvs: Vec<Cv> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Held(cv) => Some(*cv),
                Part::Missing | Part::Claimed(_) => None,
            })
            .collect();
        let missing = self.parts.len() - cvs.len();
        if missing > 0 {
            return Err(Refusal::new(
                Code::Incomplete,
                format_args!("{missing} of {} parts are missing", self.parts.len()),
            ));
        }
        if merge(&cvs) != Some(digest) {
            return Err(Refusal::new(
                Code::DigestMismatch,
                "the digest of the commit is not that of the parts",
            ));
        }
        Ok(())
    }
}

/// The refusal of a writer whose claim is gone.
pub(crate) fn superseded() -> Refusal {
    Refusal::new(Code::Superseded, "this part was sent again in the meantime")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 1024;

    fn cv(bytes: &[u8], index: usize, geometry: Geometry) -> Cv {
        let mut hasher = geometry.hasher(index).unwrap();
        assert!(hasher.update(bytes));
        hasher.finish().unwrap()
    }

    fn fixture() -> (Upload, [Vec<u8>; 2], [Cv; 2], Digest) {
        let geometry = Geometry::new(PART + 10, PART).unwrap();
        let bytes = [vec![1; 1024], vec![2; 10]];
        let cvs = [cv(&bytes[0], 0, geometry), cv(&bytes[1], 1, geometry)];
        let digest = Digest::of(&bytes.concat());
        (Upload::new(geometry, &[]), bytes, cvs, digest)
    }

    fn write(decision: Result<Decision, Refusal>) -> Claim {
        match decision {
            Ok(Decision::Write(claim) | Decision::TakeOver(claim)) => claim,
            other => panic!("expected a claim, got {other:?}"),
        }
    }

    #[test]
    fn parts_unaligned_or_overlapping_are_refused() {
        let (mut upload, _, cvs, _) = fixture();
        for (offset, len) in [(1, 1024), (0, 1000), (0, 1034), (1024, 11), (2048, 1), (512, 512)] {
            let refusal = upload.claim(offset, len, cvs[0]).unwrap_err();
            assert_eq!(*refusal.code(), Code::BadPart, "{offset}+{len}");
        }
        assert_eq!(upload.claim(u64::MAX, 1, cvs[0]).unwrap_err().code(), &Code::BadPart);
    }

    #[test]
    fn parts_doubled_are_skipped_or_refused() {
        let (mut upload, _, cvs, _) = fixture();
        let claim = write(upload.claim(0, 1024, cvs[0]));
        upload.finish(&claim, cvs[0], || Ok(())).unwrap();
        assert_eq!(upload.claim(0, 1024, cvs[0]), Ok(Decision::Skip));
        assert_eq!(upload.claim(0, 1024, cvs[1]).unwrap_err().code(), &Code::BadPart);
    }

    #[test]
    fn newer_claim_cancels_the_older() {
        let (mut upload, _, cvs, _) = fixture();
        let old = write(upload.claim(0, 1024, cvs[0]));
        let new = upload.claim(0, 1024, cvs[0]);
        assert!(matches!(new, Ok(Decision::TakeOver(_))));
        let new = write(new);
        assert!(!upload.is_valid(&old) && upload.is_valid(&new));
        assert_eq!(upload.finish(&old, cvs[0], || Ok(())).unwrap_err().code(), &Code::Superseded);
        upload.release(&old);
        assert!(upload.is_valid(&new), "a cancelled writer releases nothing");
        upload.finish(&new, cvs[0], || Ok(())).unwrap();
    }

    #[test]
    fn part_with_wrong_cv_is_missing_again() {
        let (mut upload, _, cvs, _) = fixture();
        let claim = write(upload.claim(0, 1024, cvs[0]));
        assert_eq!(
            upload.finish(&claim, cvs[1], || Ok(())).unwrap_err().code(),
            &Code::DigestMismatch
        );
        write(upload.claim(0, 1024, cvs[0]));
    }

    #[test]
    fn commit_needs_every_part_and_the_right_digest() {
        let (mut upload, _, cvs, digest) = fixture();
        let second = write(upload.claim(1024, 10, cvs[1]));
        upload.finish(&second, cvs[1], || Ok(())).unwrap();
        assert_eq!(upload.commit(digest).unwrap_err().code(), &Code::Incomplete);
        let first = write(upload.claim(0, 1024, cvs[0]));
        assert_eq!(upload.commit(digest).unwrap_err().code(), &Code::Incomplete);
        upload.finish(&first, cvs[0], || Ok(())).unwrap();
        assert_eq!(upload.commit(Digest([0; 32])).unwrap_err().code(), &Code::DigestMismatch);
        assert_eq!(upload.commit(digest), Ok(()));
    }
}
