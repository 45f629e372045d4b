//! The JSON of a header, field by field, before it has a meaning.
//!
//! One flat struct for all requests and one for all answers: serde's derived structs refuse doubled
//! fields, and a flat one buffers nothing. [`encode`](crate::encode) and [`side`](crate::side)
//! share them, so that each reads the headers that the other writes.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::access_token::AccessToken;
use crate::account::AccountObject;
use crate::digest::{Cv, Digest, Token};
use crate::encode::append_json;
use crate::field::{self, Text};
use crate::message::{Mtime, ServerLimits};
use crate::object::Object;
use crate::pin::Pin;

/// The command alone: it tells dialects apart when the rest can't be read.
#[derive(Debug, Deserialize)]
pub(crate) struct CommandHeader<'a> {
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) cmd: Option<Text<'a>>,
}

/// The version alone: by it a server recognizes a client of another version, when the rest can't be read.
#[derive(Debug, Deserialize)]
pub(crate) struct VersionHeader {
    #[serde(default, deserialize_with = "field::number")]
    pub(crate) version: Option<u64>,
}

/// Every field that any request has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestHeader<'a> {
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) cmd: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) length: Option<u64>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) filename: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) filename_b64: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) filesize: Option<u64>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
    #[serde(default, deserialize_with = "field::mode", skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
    #[serde(default, deserialize_with = "field::mtime", skip_serializing_if = "Option::is_none")]
    pub(crate) mtime: Option<Mtime>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) fingerprint: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<Token>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) part_size: Option<u64>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Token>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) cv: Option<Cv>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) target: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) target_b64: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) replace: Option<bool>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<bool>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) repeated: Option<bool>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) reread: Option<bool>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<bool>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<u64>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) to: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) to_b64: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) after: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) after_b64: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::count", skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) agent: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) client: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) slot: Option<u64>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) identity: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) must: Option<Vec<Text<'a>>>,
    #[serde(
        default,
        deserialize_with = "field::token",
        serialize_with = "field::write_token",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) token: Option<AccessToken>,
}

/// Every field that any answer has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct AnswerHeader<'a> {
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) hello: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) ack: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) length: Option<u64>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) code: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) message: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<bool>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<Token>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) part_size: Option<u64>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) more: Option<bool>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<u64>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) filesize: Option<u64>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) blake3: Option<Digest>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) cv: Option<Cv>,
    #[serde(default, deserialize_with = "field::mode", skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
    #[serde(default, deserialize_with = "field::mtime", skip_serializing_if = "Option::is_none")]
    pub(crate) mtime: Option<Mtime>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Token>,
    #[serde(default, deserialize_with = "field::mtime", skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<Mtime>,
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<u64>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) resumed: Option<bool>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) agent: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::limits", skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<ServerLimits>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::short",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) durability: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) features: Option<Vec<Text<'a>>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::account",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) account: Option<AccountObject<'a>>,
    #[serde(
        default,
        deserialize_with = "field::pin",
        serialize_with = "field::write_pin",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) next_pin: Option<Pin>,
}

/// The line before each file in the body of the answer to `fetch`: the facts of the file, or the reason why it does not come.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FetchedLine<'a> {
    #[serde(default, deserialize_with = "field::number", skip_serializing_if = "Option::is_none")]
    pub(crate) filesize: Option<u64>,
    #[serde(default, deserialize_with = "field::mode", skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
    #[serde(default, deserialize_with = "field::mtime", skip_serializing_if = "Option::is_none")]
    pub(crate) mtime: Option<Mtime>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) code: Option<Text<'a>>,
    #[serde(
        borrow,
        default,
        deserialize_with = "field::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) message: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::present", skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<bool>,
}

impl FetchedLine<'_> {
    /// Appends it, with its line feed.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        append_json(self, out);
        out.push(b'\n');
    }
}

/// One line of the body of `check`, of `bundle` and of the answer to `list`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EntryLine<'a> {
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) filename: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) filename_b64: Option<Text<'a>>,
    #[serde(default, deserialize_with = "field::number")]
    pub(crate) filesize: Option<u64>,
    #[serde(default, deserialize_with = "field::present")]
    pub(crate) blake3: Option<Digest>,
    #[serde(default, deserialize_with = "field::mode")]
    pub(crate) mode: Option<u32>,
    #[serde(default, deserialize_with = "field::mtime")]
    pub(crate) mtime: Option<Mtime>,
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) target: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "field::present")]
    pub(crate) target_b64: Option<Text<'a>>,
}

impl EntryLine<'_> {
    /// Appends it, with its line feed.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        let mut line = Object::begin(out);
        line.field("kind", self.kind.as_ref());
        line.field("filename", self.filename.as_ref());
        line.field("filename_b64", self.filename_b64.as_ref());
        line.field("filesize", self.filesize.as_ref());
        line.field("blake3", self.blake3.as_ref());
        line.field("mode", self.mode.as_ref());
        line.field("mtime", self.mtime.as_ref());
        line.field("target", self.target.as_ref());
        line.field("target_b64", self.target_b64.as_ref());
        line.end();
        out.push(b'\n');
    }
}
