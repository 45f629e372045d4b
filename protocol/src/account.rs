//! The facts that a server tells a client about the client's account.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encode::{check, check_text};
use crate::error::EncodeError;
use crate::field::{self, Text};
use crate::limits::MAX_NUMBER;
use crate::rights::{Right, Rights};

/// The account that a client has logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its name.
    pub name: String,
    /// Its rights, as far as this version knows them.
    pub rights: Rights,
    /// The second since 1970 at which it ends.
    pub expires: Option<i64>,
    /// Bytes of its files, if it has a quota of them.
    pub bytes: Option<Used>,
    /// The number of its files, if it has a quota of them.
    pub files: Option<Used>,
}

/// A quota and its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The use when the server answered `hello`. It may be over the quota, if that was lowered.
    pub used: u64,
    /// The most that the account may use.
    pub quota: u64,
}

impl Used {
    fn of(used: Option<u64>, quota: Option<u64>) -> Option<Self> {
        Some(Self { used: used?, quota: quota? })
    }
}

/// The object of the field `account`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct AccountObject<'a> {
    #[serde(borrow, deserialize_with = "field::short")]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    rights: Vec<Text<'a>>,
    #[serde(default, deserialize_with = "field::seconds", skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    quota_bytes: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    quota_files: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    used_files: Option<u64>,
}

impl<'a> AccountObject<'a> {
    /// The object that tells these facts.
    pub(crate) fn of(facts: &'a AccountFacts) -> Result<Self, EncodeError> {
        check_text("name", &facts.name)?;
        check("expires", facts.expires.map_or(0, i64::unsigned_abs), MAX_NUMBER)?;
        for used in [facts.bytes, facts.files].into_iter().flatten() {
            check("account", used.used.max(used.quota), MAX_NUMBER)?;
        }
        let halves = |used: Option<Used>| (used.map(|it| it.used), used.map(|it| it.quota));
        let (used_bytes, quota_bytes) = halves(facts.bytes);
        let (used_files, quota_files) = halves(facts.files);
        Ok(Self {
            name: Some(Text::from(facts.name.as_str())),
            rights: facts.rights.iter().map(|right| Text::from(right.as_str())).collect(),
            expires: facts.expires,
            quota_bytes,
            used_bytes,
            quota_files,
            used_files,
        })
    }

    /// The facts that it tells. A right that this version does not know is left out; so is a quota without its use, or the
    /// reverse.
    pub(crate) fn facts(self) -> AccountFacts {
        AccountFacts {
            name: self.name.map(|name| name.0.into_owned()).unwrap_or_default(),
            rights: self.rights.iter().filter_map(|word| Right::parse(&word.0)).collect(),
            expires: self.expires,
            bytes: Used::of(self.used_bytes, self.quota_bytes),
            files: Used::of(self.used_files, self.quota_files),
        }
    }
}
