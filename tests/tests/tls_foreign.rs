//! Servers that speak no TLS, or not to the end, where the client wants it.

use std::io;
use std::net::{Shutdown, TcpStream};

use haul_tests::fake::refusal;
use haul_tests::prelude::*;

use crate::tls_fake::{Identity, TlsFake, config, haul_in, trusting};

/// The client's end and its messages, if the server at a pinned address does this to each connection.
fn told(
    words: &[&str],
    server: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static,
) -> (Option<i32>, String) {
    let identity = Identity::own();
    let fake = TlsFake::start(config(&identity));
    let address = fake.address();
    thread::spawn(move || {
        while let Ok(mut stream) = fake.accept_plain() {
            // The client closes when it has had enough.
            let _ = server(&mut stream);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    let configuration = trusting(&[(&address, &identity.pin())]);
    let words = [&["ls"], words, &[&address]].concat();
    let output = haul_in(configuration.path(), &words).output();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Reads the client's first words, which are no secret.
fn hello(stream: &mut TcpStream) -> io::Result<()> {
    let mut record = [0; 5];
    stream.read_exact(&mut record)?;
    assert_eq!(record[..3], [0x16, 3, 1]);
    let mut rest = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    stream.read_exact(&mut rest)
}

#[test]
fn server_of_a_known_key_without_tls_is_not_trusted_and_told_in_one_sentence() {
    let alert = |description| {
        move |stream: &mut TcpStream| {
            hello(stream)?;
            stream.write_all(&[0x15, 3, 3, 0, 2, 2, description])
        }
    };
    let says = |bytes: Vec<u8>| {
        move |stream: &mut TcpStream| {
            hello(stream)?;
            stream.write_all(&bytes)
        }
    };
    let refused = frame(&refusal(&json!(0), "malformed", false), b"");
    for (code, text) in [
        told(&[], alert(70)),
        told(&[], alert(40)),
        told(&[], says(refused.clone())),
        // The beginning is enough.
        told(&[], says(refused[..3].to_vec())),
    ] {
        assert_eq!(code, Some(4), "{text}");
        assert!(text.contains("takes no TLS 1.3, though its key is known here"), "{text}");
        assert!(text.contains("Somebody may be in between"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn server_of_another_protocol_is_named_before_any_time_is_up() {
    for (bytes, name) in
        [("SSH-2.0-OpenSSH_9.6\r\n", "SSH"), ("HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP")]
    {
        let (code, text) = told(&["--timeout", "1h"], |stream| {
            stream.write_all(bytes.as_bytes())?;
            // It waits for more, as such a server does.
            io::copy(stream, &mut io::sink()).map(|_| ())
        });
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(&format!("the peer speaks {name}, not haul")), "{text}");
    }
}

#[test]
fn server_that_closes_or_says_nothing_in_the_handshake_is_told() {
    let (code, text) = told(&[], hello);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("closed the connection in the TLS handshake"), "{text}");
    let (code, text) = told(&["--timeout", "300ms"], |stream| {
        hello(stream)?;
        io::copy(stream, &mut io::sink()).map(|_| ())
    });
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no answer to the TLS handshake in 300ms"), "{text}");
}

#[test]
fn handshake_that_is_garbage_or_too_long_is_told() {
    let garbage = |bytes: Vec<u8>| {
        move |stream: &mut TcpStream| {
            hello(stream)?;
            stream.write_all(&bytes)
        }
    };
    // A message of the handshake that says it has 16 MiB.
    let huge = [&[0x16, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    for bytes in [vec![0x16, 3, 3, 0, 4, 99, 0, 0, 0], huge.repeat(8), vec![0x16; 100_000]] {
        let (code, text) = told(&[], garbage(bytes));
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains("the TLS handshake with 127.0.0.1:"), "{text}");
    }
}
