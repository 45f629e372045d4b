//! The kinds of memory that TLS adds: handshakes that don't end, records that are not whole, ciphertext that nobody
//! reads.

use haul_tests::tls::{session, usual};

use super::kind::{Kind, begun_put, clogged, greeted, idle_after_traffic, list, pings, refusals};
use super::peers::Step::{self, Forever, Raw, Send};
use super::peers::Way;

/// Bytes of the longest handshake message, and of the longest record in clear.
const MESSAGE: usize = 0xffff;
const RECORD: usize = 1 << 14;

/// Bytes that encryption may add to a record.
const OVERHEAD: usize = 256;

/// All of them.
pub(super) fn kinds() -> Vec<Kind> {
    let kind = |name, way, script: Vec<Step>| Kind {
        name,
        most: usize::MAX,
        send_buffer: 16 << 10,
        way,
        script,
    };
    vec![
        kind("TLS: first bytes of a handshake", Way::Tcp, vec![Raw(client_hello()[..40].to_vec())]),
        kind("TLS: handshake answered, unfinished", Way::Tcp, vec![Raw(client_hello())]),
        kind("TLS: handshake message of 64 KiB, unfinished", Way::Tcp, vec![Raw(long_message())]),
        kind("TLS: handshake done, silent", Way::Tls, vec![]),
        kind("TLS: idle after hello", Way::Tls, greeted([])),
        kind("TLS: idle after traffic", Way::Tls, idle_after_traffic()),
        kind("TLS: record unfinished", Way::Tls, greeted([Raw(unfinished_record())])),
        kind(
            "TLS: record unfinished in a body",
            Way::Tls,
            greeted([Send(begun_put(1)), Raw(unfinished_record())]),
        ),
        kind(
            "TLS: unread: lists of 1 MiB",
            Way::Tls,
            greeted([Send(clogged(9, &[list(2, 0), list(3, 0)].concat()))]),
        ),
        kind("TLS: unread: pings", Way::Tls, greeted([Send(clogged(9, &pings(2, 3_000)))])),
        kind(
            "TLS: unread: refusals with long names",
            Way::Tls,
            greeted([Send(clogged(9, &refusals(2, 12)))]),
        ),
        kind(
            "TLS: unread, and a record unfinished",
            Way::Tls,
            greeted([Send(clogged(14, &[])), Raw(unfinished_record())]),
        ),
        kind(
            "TLS: garbage, sends on",
            Way::Tls,
            greeted([Raw(garbage()), Forever(vec![b'x'; 4 << 10])]),
        ),
    ]
}

/// The first words of a client; the same for all.
fn client_hello() -> Vec<u8> {
    let mut hello = Vec::new();
    // A vector takes all.
    let _ = session(usual()).write_tls(&mut hello);
    hello
}

/// A ClientHello of the longest length, all but its last record.
fn long_message() -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(MESSAGE).unwrap_or_default().to_be_bytes();
    let message = [&[1, high, middle, low], &[0; MESSAGE][..]].concat();
    let mut bytes = Vec::new();
    for piece in message.chunks(RECORD) {
        let len = u16::try_from(piece.len()).unwrap_or_default().to_be_bytes();
        bytes.extend([&[22, 3, 1], &len[..], piece].concat());
    }
    bytes.pop();
    bytes
}

/// A record that nobody has encrypted.
fn garbage() -> Vec<u8> {
    [&[23, 3, 3, 0, 32][..], &[b'g'; 32]].concat()
}

/// The longest record of data but for its last byte.
fn unfinished_record() -> Vec<u8> {
    let len = u16::try_from(RECORD + OVERHEAD).unwrap_or_default().to_be_bytes();
    [&[23, 3, 3], &len[..], &[b'c'; RECORD + OVERHEAD - 1]].concat()
}
