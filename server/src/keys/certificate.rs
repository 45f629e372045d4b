//! Certificates: read with their key, made from a key, and how long they last.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_protocol::Pin;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroize;

use super::{KeyError, LEAST_RSA};

/// Days before its end at which a certificate ends soon.
pub(super) const SOON: i64 = 30;

const DAY: i64 = 24 * 3600;

/// Algorithms of signatures that anybody can forge: MD5 and SHA-1, with RSA (RFC 8017) and ECDSA (RFC 3279).
const WEAK: [&str; 3] = ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];

/// Bytes of the longest file of certificates or of a key that is read.
const LONGEST: u64 = 1024 * 1024;

/// A certificate with its key, as new connections see it.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) pin: Pin,
    /// The moments at which the certificate begins and ends, in seconds since 1970.
    begins: i64,
    ends: i64,
    /// The signature of its authority proves nothing.
    is_signed_weakly: bool,
}

impl Certified {
    /// Reads a chain of certificates and the key of the first one.
    pub(super) fn read(chain_file: &Path, key_file: &Path) -> Result<Self, KeyError> {
        let pem = read(chain_file)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| content(chain_file, error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
            .map_err(|error| content(key_file, error))?;
        Self::new(chain, key, chain_file, key_file)
    }

    /// `chain_file` and `key_file` are for messages.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        mut key: PrivateKeyDer<'static>,
        chain_file: &Path,
        key_file: &Path,
    ) -> Result<Self, KeyError> {
        let Some(first) = chain.first() else {
            return Err(content(chain_file, "there is no certificate in this file"));
        };
        let (_, parsed) =
            X509Certificate::from_der(first).map_err(|error| content(chain_file, error))?;
        let pin = Pin::of_spki(parsed.tbs_certificate.subject_pki.raw);
        let begins = parsed.validity().not_before.timestamp();
        let ends = parsed.validity().not_after.timestamp();
        let signature = parsed.signature_algorithm.algorithm.to_id_string();
        let is_signed_weakly = WEAK.contains(&signature.as_str());
        if let Ok(PublicKey::RSA(rsa)) = parsed.subject_pki.parsed()
            && rsa.key_size() < LEAST_RSA
        {
            return Err(KeyError::Weak(chain_file.to_owned(), rsa.key_size()));
        }
        let taken = any_supported_type(&key);
        key.zeroize();
        let key = taken.map_err(|error| content(key_file, error))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(KeyError::Mismatch(chain_file.to_owned(), key_file.to_owned()))
            }
            _ => Ok(Self { key: Arc::new(key), pin, begins, ends, is_signed_weakly }),
        }
    }

    /// Whether it is another certificate or chain.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Days until its end, negative after it. `None`: the clock of the machine is before 1970.
    pub(super) fn days_left(&self) -> Option<i64> {
        Some((self.ends - seconds()?).div_euclid(DAY))
    }

    /// The reasons for which clients that trust authorities refuse it, but for its end.
    pub(super) fn faults(&self) -> impl Iterator<Item = &'static str> {
        let is_early = seconds().is_some_and(|now| now < self.begins);
        let faults = [
            (is_early, "is not valid yet"),
            (self.is_signed_weakly, "is signed with SHA-1 or MD5"),
        ];
        faults.into_iter().filter(|(has, _)| *has).map(|(_, fault)| fault)
    }

    pub(super) fn is_due_for_renewal(&self) -> bool {
        self.days_left().is_some_and(|days| days < SOON)
    }
}

/// The facts about a certificate in a file by which clients know its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The pin of its key.
    pub(crate) pin: Pin,
    /// It names itself as its issuer, so no authority has signed it.
    pub(crate) is_by_itself: bool,
}

impl Vouched {
    /// Of the first certificate in a file.
    pub(crate) fn read(file: &Path) -> Result<Self, KeyError> {
        let first = CertificateDer::from_pem_slice(&read(file)?);
        let first = first.map_err(|error| content(file, error))?;
        let (_, parsed) =
            X509Certificate::from_der(&first).map_err(|error| content(file, error))?;
        let pin = Pin::of_spki(parsed.tbs_certificate.subject_pki.raw);
        let is_by_itself = parsed.issuer() == parsed.subject();
        Ok(Self { pin, is_by_itself })
    }
}

/// A certificate that vouches for itself, for a year. Clients look at its key alone.
pub(super) fn self_signed(key: &KeyPair) -> Result<rcgen::Certificate, KeyError> {
    let make = |error: rcgen::Error| KeyError::Make(error.to_string());
    let mut params = CertificateParams::new(vec![String::from("hauld"), String::from("localhost")])
        .map_err(make)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "hauld");
    let date = |days: i64| {
        let at = jiff::Timestamp::from_second((today() + days) * DAY).unwrap_or_default();
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(at.year().into(), at.month().unsigned_abs(), at.day().unsigned_abs())
    };
    // A day of margin, for clients whose clock is late.
    (params.not_before, params.not_after) = (date(-1), date(366));
    params.self_signed(key).map_err(make)
}

/// The day, counted from 1970.
pub(super) fn today() -> i64 {
    seconds().unwrap_or(0).div_euclid(DAY)
}

fn seconds() -> Option<i64> {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// One state of a file, different from any other: inode, size and mtime.
pub(super) type Stamp = Option<(u64, u64, i64, i64)>;

/// The state of a file; `None` if there is none.
pub(super) fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

/// Whether every user of the machine may read a file.
pub(super) fn is_public(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |error| KeyError::File(path.to_owned(), error);
    let mut bytes = Vec::new();
    crate::regular::open(path)
        .map_err(failed)?
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// The text in a file is wrong.
pub(super) fn content(path: &Path, error: impl ToString) -> KeyError {
    KeyError::Content(path.to_owned(), error.to_string())
}
