//! A transport on a pair of sockets, against the buffered connections of rustls.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::buffer::LEN;
use super::received::{Received, TransportError};
use super::tls::RECORD;
use super::transport::{Accepts, Kind, NO_TLS_HERE, Transport, kind};

/// A client, and the transport that it talks to.
struct Pair {
    transport: Transport,
    socket: OwnedFd,
    client: ClientConnection,
    stream: UnixStream,
    room: Vec<u8>,
    scratch: Vec<u8>,
}

/// A server's configuration, and that of a client that trusts it.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = generate_simple_self_signed(vec![String::from("hauld")]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

impl Pair {
    fn new() -> Self {
        let (server, client) = configs();
        let (ours, stream) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut client = ClientConnection::new(client, "hauld".try_into().unwrap()).unwrap();
        client.set_buffer_limit(None);
        let transport = Transport::new(Accepts { plain: false, tls: Some(server) });
        let (room, scratch) = (vec![0; LEN], Vec::new());
        Self { transport, socket: ours.into(), client, stream, room, scratch }
    }

    /// A pair that has shaken hands.
    fn shaken() -> Self {
        let mut pair = Self::new();
        while pair.client.is_handshaking()
            || pair.transport.is_opening()
            || pair.client.wants_write()
        {
            pair.client_sends();
            pair.receive().unwrap();
            pair.transport.flush(&pair.socket).unwrap();
            pair.client_reads();
        }
        pair
    }

    /// All ciphertext that the client has for the server.
    fn ciphertext(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn client_sends(&mut self) {
        let bytes = self.ciphertext();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Plaintext that has come to the client.
    fn client_reads(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            match self.client.read_tls(&mut self.stream) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
            self.client.process_new_packets().unwrap();
            let _ = self.client.reader().read_to_end(&mut plain);
        }
        plain
    }

    /// Reads as a worker does, until nothing comes any more.
    fn receive(&mut self) -> Result<Vec<u8>, TransportError> {
        self.receive_at_most(LEN)
    }

    fn receive_at_most(&mut self, most: usize) -> Result<Vec<u8>, TransportError> {
        let mut plain = Vec::new();
        loop {
            let received =
                self.transport.receive(&self.socket, &mut self.room, &mut self.scratch, most);
            match received {
                Ok(Received::Bytes { plain: len, .. }) => {
                    plain.extend_from_slice(&self.room[..len])
                }
                Ok(Received::End { .. }) | Err(TransportError::Socket(Errno::AGAIN)) => {
                    return Ok(plain);
                }
                Err(error) => return Err(error),
            }
            assert!(self.transport.is_settled());
            assert!(self.transport.held_bytes() <= RECORD + 2048);
        }
    }

    fn end(&mut self) -> Received {
        self.transport.receive(&self.socket, &mut self.room, &mut self.scratch, LEN).unwrap()
    }
}

/// Bytes that do not repeat soon.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

#[test]
fn first_bytes_tell_tls_from_frames() {
    for (first, expected) in [
        (&[][..], Kind::Either),
        (&[22], Kind::Either),
        (&[22, 3], Kind::Either),
        (&[22, 3, 1], Kind::Tls),
        (&[22, 3, 4, 0, 9], Kind::Tls),
        // A header of 790 bytes.
        (&[22, 3, 0, 0], Kind::Plain),
        (&[22, 3, 5], Kind::Plain),
        (&[22, 4], Kind::Plain),
        (&[21, 3, 1], Kind::Plain),
        (b"GET ", Kind::Plain),
        (&[0], Kind::Plain),
    ] {
        assert_eq!(kind(first), expected, "{first:?}");
    }
    // No prefix that a frame may have begins as TLS does.
    assert!(u32::from_le_bytes([22, 3, 1, 0]) > 65_536);
}

#[test]
fn plain_bytes_that_come_one_by_one_are_as_they_were() {
    let (ours, mut stream) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let socket = OwnedFd::from(ours);
    let mut transport = Transport::new(Accepts::PLAIN);
    let (mut room, mut scratch, mut come) = (vec![0; LEN], Vec::new(), Vec::new());
    for byte in [22, 3, 0, 0, 7] {
        stream.write_all(&[byte]).unwrap();
        match transport.receive(&socket, &mut room, &mut scratch, LEN).unwrap() {
            Received::Bytes { plain, taken: 1 } => come.extend_from_slice(&room[..plain]),
            other => panic!("{other:?}"),
        }
        assert_eq!(transport.is_opening(), come.is_empty());
    }
    assert_eq!(come, [22, 3, 0, 0, 7]);
    assert_eq!((transport.held_bytes(), scratch.capacity()), (0, 0));
}

#[test]
fn end_within_the_first_bytes_loses_none() {
    let (ours, mut stream) = UnixStream::pair().unwrap();
    let socket = OwnedFd::from(ours);
    let mut transport = Transport::new(Accepts::PLAIN);
    let (mut room, mut scratch) = (vec![0; LEN], Vec::new());
    stream.write_all(&[22, 3]).unwrap();
    drop(stream);
    let mut receive = || transport.receive(&socket, &mut room, &mut scratch, LEN).unwrap();
    assert_eq!(receive(), Received::Bytes { plain: 0, taken: 2 });
    assert_eq!(receive(), Received::Bytes { plain: 2, taken: 0 });
    assert_eq!(receive(), Received::End { cut: false });
}

#[test]
fn tls_where_none_is_taken_is_told_apart() {
    let mut pair = Pair::new();
    pair.transport = Transport::new(Accepts::PLAIN);
    pair.client_sends();
    assert!(matches!(pair.receive(), Err(TransportError::NoTls)));
    // The alert is one that a client can read.
    pair.client.read_tls(&mut &NO_TLS_HERE[..]).unwrap();
    let told = pair.client.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion));
}

#[test]
fn records_that_are_split_at_every_byte_come_whole() {
    let mut pair = Pair::new();
    let mut plain = Vec::new();
    let mut wanted = Vec::new();
    for round in 0..200 {
        if pair.client.is_handshaking() {
            assert!(round < 10);
        } else {
            wanted.extend_from_slice(&bytes(round));
            pair.client.writer().write_all(&bytes(round)).unwrap();
        }
        for byte in pair.ciphertext() {
            pair.stream.write_all(&[byte]).unwrap();
            plain.extend(pair.receive().unwrap());
        }
        pair.transport.flush(&pair.socket).unwrap();
        pair.client_reads();
    }
    assert!(plain == wanted && wanted.len() > 1000);
    assert_eq!(pair.transport.held_bytes(), 0);
}

/// A turn that ends between two records would leave them without an event.
#[test]
fn no_read_leaves_a_whole_record_undecrypted() {
    let mut pair = Pair::shaken();
    for _ in 0..3000 {
        pair.client.writer().write_all(b"x").unwrap();
    }
    let mut sent = pair.ciphertext();
    let last = sent.pop().unwrap();
    pair.stream.write_all(&sent).unwrap();
    let read = pair.transport.receive(&pair.socket, &mut pair.room, &mut pair.scratch, LEN);
    // All but the last record, of which one byte is missing.
    assert_eq!(read.unwrap(), Received::Bytes { plain: 2999, taken: sent.len() });
    assert!(pair.transport.held_bytes() < 40);
    pair.stream.write_all(&[last]).unwrap();
    assert_eq!(pair.receive().unwrap(), b"x");
    assert_eq!(pair.transport.held_bytes(), 0);
}

#[test]
fn long_body_comes_whole_whatever_a_read_may_take() {
    for most in [1, 1000, 16 * 1024, LEN] {
        let mut pair = Pair::shaken();
        let wanted = bytes(if most == 1 { 40_000 } else { 1_000_000 });
        let mut plain = Vec::new();
        for piece in wanted.chunks(100_000) {
            pair.client.writer().write_all(piece).unwrap();
            pair.client_sends();
            plain.extend(pair.receive_at_most(most).unwrap());
        }
        assert!(plain == wanted, "{most}");
        assert_eq!(pair.transport.held_bytes(), 0);
    }
}

/// Bytes that are kept in the worker's room make it smaller.
#[test]
fn plaintext_never_overflows_a_small_room() {
    let mut pair = Pair::shaken();
    pair.room.truncate(LEN / 2);
    let wanted = bytes(LEN);
    pair.client.writer().write_all(&wanted).unwrap();
    let sent = pair.ciphertext();
    let mut plain = Vec::new();
    for piece in sent.chunks(LEN / 2 - 1) {
        pair.stream.write_all(piece).unwrap();
        plain.extend(pair.receive_at_most(LEN).unwrap());
    }
    assert!(plain == wanted);
}

#[test]
fn after_a_would_block_nothing_is_encrypted_twice() {
    let mut pair = Pair::shaken();
    set_socket_send_buffer_size(&pair.socket, 8 * 1024).unwrap();
    set_socket_recv_buffer_size(&pair.stream, 8 * 1024).unwrap();
    let wanted = bytes(1_000_000);
    let (mut accepted, mut come) = (0, Vec::new());
    let mut blocked = 0;
    while come.len() < wanted.len() {
        let now = pair.transport.send(&pair.socket, &wanted[accepted..]).unwrap();
        accepted += now;
        if pair.transport.wants_write() {
            blocked += 1;
            // Accepted and not on the wire: nothing more is taken, and no more memory than for one piece.
            assert_eq!(pair.transport.send(&pair.socket, &wanted[accepted..]).unwrap(), 0);
            assert!(pair.transport.held_bytes() < 70_000);
        }
        let before = come.len();
        come.extend(pair.client_reads());
        assert!(come.len() > before || pair.transport.unsent() < 70_000);
        assert!(come.len() <= accepted);
        pair.transport.flush(&pair.socket).unwrap();
    }
    assert!(come == wanted && blocked > 10);
    assert_eq!((accepted, pair.transport.held_bytes()), (wanted.len(), 0));
}

#[test]
fn idle_connection_holds_no_ciphertext_after_traffic() {
    let mut pair = Pair::shaken();
    assert_eq!(pair.transport.held_bytes(), 0);
    pair.client.writer().write_all(&bytes(500_000)).unwrap();
    let sent = pair.ciphertext();
    let mut plain = 0;
    for piece in sent.chunks(99_000) {
        pair.stream.write_all(piece).unwrap();
        plain += pair.receive().unwrap().len();
    }
    assert_eq!((plain, pair.transport.held_bytes()), (500_000, 0));
    assert_eq!(pair.transport.send(&pair.socket, &bytes(50_000)).unwrap(), 50_000);
    assert_eq!(pair.client_reads().len(), 50_000);
    assert_eq!(pair.transport.held_bytes(), 0);
}

#[test]
fn key_update_is_answered_though_there_is_nothing_to_say() {
    let mut pair = Pair::shaken();
    for round in 0..5 {
        pair.client.writer().write_all(b"before").unwrap();
        pair.client.refresh_traffic_keys().unwrap();
        pair.client.writer().write_all(b" after").unwrap();
        pair.client_sends();
        assert_eq!(pair.receive().unwrap(), b"before after", "{round}");
        assert!(pair.transport.wants_write());
        assert!(pair.transport.flush(&pair.socket).unwrap());
        // The answer is no plaintext; what comes after it is encrypted with the new key.
        let mut one = [0; 100];
        let len = pair.stream.read(&mut one).unwrap();
        assert!(len > 20 && len < 40, "{len}");
        pair.client.read_tls(&mut &one[..len]).unwrap();
        pair.client.process_new_packets().unwrap();
        assert_eq!(pair.transport.send(&pair.socket, b"answer").unwrap(), 6);
        assert_eq!(pair.client_reads(), b"answer");
    }
    assert_eq!(pair.transport.held_bytes(), 0);
}

/// A worker reads no more once the transport is full.
#[test]
fn peer_that_asks_for_new_keys_without_end_and_reads_nothing_fills_the_transport() {
    let mut pair = Pair::shaken();
    set_socket_send_buffer_size(&pair.socket, 8 * 1024).unwrap();
    let mut rounds = 0;
    while !pair.transport.is_full() {
        pair.client.writer().write_all(b"x").unwrap();
        pair.client.refresh_traffic_keys().unwrap();
        pair.client_sends();
        let (room, scratch) = (&mut pair.room, &mut pair.scratch);
        let received = pair.transport.receive(&pair.socket, room, scratch, LEN).unwrap();
        assert!(matches!(received, Received::Bytes { plain: 1, .. }), "{received:?}");
        pair.transport.flush(&pair.socket).unwrap();
        rounds += 1;
        assert!(rounds < 100_000, "{}", pair.transport.unsent());
    }
    assert!(pair.transport.unsent() < 130 * 1024 && pair.transport.held_bytes() < 512 * 1024);
}

/// Nor does one step of a worker take long, however many there are.
#[test]
fn requests_for_new_keys_in_a_row_are_answered_once() {
    let mut pair = Pair::shaken();
    for _ in 0..1000 {
        pair.client.writer().write_all(b"x").unwrap();
        pair.client.refresh_traffic_keys().unwrap();
    }
    pair.client_sends();
    assert_eq!(pair.receive().unwrap(), [b'x'; 1000]);
    assert!(pair.transport.unsent() < 100, "{}", pair.transport.unsent());
}

#[test]
fn end_is_said_in_both_directions() {
    let mut pair = Pair::shaken();
    pair.client.writer().write_all(b"last words").unwrap();
    pair.client.send_close_notify();
    pair.client_sends();
    assert_eq!(pair.receive().unwrap(), b"last words");
    assert!(pair.transport.has_peer_ended());
    assert_eq!(pair.end(), Received::End { cut: false });
    // Answers still go out.
    assert_eq!(pair.transport.send(&pair.socket, b"ack").unwrap(), 3);
    pair.transport.end();
    assert!(pair.transport.flush(&pair.socket).unwrap());
    assert_eq!(pair.client_reads(), b"ack");
    assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
    assert_eq!(pair.transport.send(&pair.socket, b"more").unwrap(), 0);
}

#[test]
fn end_without_words_is_told() {
    let mut pair = Pair::shaken();
    pair.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(pair.end(), Received::End { cut: true });
}

#[test]
fn garbage_ends_with_an_alert() {
    let mut pair = Pair::shaken();
    let mut record = vec![23, 3, 3, 0, 100];
    record.resize(105, 7);
    pair.stream.write_all(&record).unwrap();
    assert!(matches!(pair.receive(), Err(TransportError::Tls(rustls::Error::DecryptError))));
    assert!(pair.transport.flush(&pair.socket).unwrap());
    pair.client.read_tls(&mut pair.stream).unwrap();
    let told = pair.client.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    // Bytes that still come are of no use, and thrown away as they are.
    pair.stream.write_all(&record).unwrap();
    assert_eq!(pair.receive().unwrap(), record);
    assert_eq!(pair.transport.held_bytes(), 0);
}

#[test]
fn handshake_message_of_many_records_takes_no_more_than_one_record() {
    let mut pair = Pair::new();
    // A client hello of 60,000 bytes, in records of 1,000.
    let mut message = vec![1, 0, 0xea, 0x60];
    message.resize(60_004, 0);
    let mut failed = None;
    for piece in message.chunks(1000) {
        let mut record = vec![22, 3, 1];
        record.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        record.extend_from_slice(piece);
        pair.stream.write_all(&record).unwrap();
        if let Err(error) = pair.receive() {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(TransportError::Message)), "{failed:?}");
    // The alert.
    assert_eq!(pair.transport.unsent(), 7);
    assert!(pair.transport.flush(&pair.socket).unwrap());
    assert_eq!(pair.transport.held_bytes(), 0);
}
