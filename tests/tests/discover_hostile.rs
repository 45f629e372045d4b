//! Strangers in the network: packets at the process that answers multicast DNS, and answers to `haul discover`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use haul_tests::lan::Lan;
use haul_tests::network::Machine;
use haul_tests::prelude::*;
use haul_tests::random::Random;

/// The group of multicast DNS, and its port.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// The service of haul, as labels.
const SERVICE: [&[u8]; 3] = [b"_haul", b"_tcp", b"local"];

/// An answer of multicast DNS: an authoritative one, with as many records.
fn answer(records: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    [&[0, 0, 0x84, 0, 0, 0][..], &count, &[0; 4], &records.concat()].concat()
}

fn name(labels: &[&[u8]]) -> Vec<u8> {
    let label = |label: &&[u8]| [&[u8::try_from(label.len()).unwrap()][..], label].concat();
    labels.iter().flat_map(label).chain([0]).collect()
}

/// A record that lives for an hour and more.
fn record(of: &[&[u8]], kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap().to_be_bytes();
    let class_and_life = [0, 1, 0, 0, 0x11, 0x94];
    [&name(of)[..], &kind.to_be_bytes(), &class_and_life, &len, data].concat()
}

/// All records of one instance.
fn instance(label: &[u8], host: &[u8], txt: &[&[u8]], address: Ipv4Addr) -> Vec<Vec<u8>> {
    let full = [&[label][..], &SERVICE].concat();
    let machine = [host, b"local"];
    let port = [&[0, 0, 0, 0, 0x1f, 0x90][..], &name(&machine)].concat();
    let text = |text: &&[u8]| [&[u8::try_from(text.len()).unwrap()][..], text].concat();
    let txt: Vec<u8> = txt.iter().flat_map(text).collect();
    vec![
        record(&SERVICE, 12, &name(&full)),
        record(&full, 33, &port),
        record(&full, 16, &txt),
        record(&machine, 1, &address.octets()),
    ]
}

/// A socket of the server's machine that hears what is asked there.
fn hearing(lan: &Lan) -> UdpSocket {
    let bind = || {
        let socket = UdpSocket::bind(("0.0.0.0", GROUP.1))?;
        socket.join_multicast_v4(&GROUP.0, &Ipv4Addr::new(10, 21, 0, 1))?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket)
    };
    lan.network.on(Machine::Server, bind).unwrap()
}

/// Sends to the group of the network.
fn tell(socket: &UdpSocket, packet: &[u8]) {
    // A full queue loses packets, as any network does.
    let _ = socket.send_to(packet, GROUP);
}

fn route(lan: &Lan, machine: Machine) {
    let mut ip = lan.network.command(machine, Path::new("ip"));
    let output = output_of(ip.args(["route", "add", "224.0.0.0/4", "dev", "haul0"]));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn packets_of_strangers_neither_end_nor_fill_nor_stop_a_server() {
    let Some(lan) = Lan::new() else { return };
    route(&lan, Machine::Client);
    let words = ["--listen", "0.0.0.0:9090", "--insecure", "--discoverable=Box", "--workers", "1"];
    let mut server = lan.start(&words).unwrap();
    lan.find("Box").unwrap();
    let bind = || Ok(UdpSocket::bind("0.0.0.0:0")?);
    let stranger = lan.network.on(Machine::Client, bind).unwrap();
    let mut random = Random::new(25, 0);
    let at: SocketAddr = "10.21.0.1:5353".parse().unwrap();
    let mut endless = answer(&[]);
    // A name that points at itself; and counts of records that do not come.
    endless[7] = 1;
    endless.extend([0xc0, 12, 0, 1, 0, 1]);
    let counts = [&[0, 0, 0x84, 0][..], &[0xff; 8]].concat();
    for round in 0..300 {
        let len = random.index(1_000) + 1;
        let garbage: Vec<u8> = (0..len).map(|_| random.number().to_be_bytes()[0]).collect();
        let mut begun = answer(&instance(&garbage[..1], b"h", &[&garbage[..1]], GROUP.0));
        begun.truncate(12 + round % begun.len());
        for packet in [&garbage, &endless, &counts, &begun] {
            tell(&stranger, packet);
            let _ = stranger.send_to(packet, at);
        }
    }
    let held = || {
        let responder = lan.responder(&server).unwrap();
        let status = fs::read_to_string(format!("/proc/{responder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = held();
    // Records that nobody has asked for, and that stay: 108 MB of them. Those of some 6,500 packets are kept, then forgotten.
    let large = vec![b'x'; 255];
    let texts: Vec<_> = std::iter::repeat_n(&large[..], 33).collect();
    for number in 0..12_000_u32 {
        let label = format!("n{number}");
        let records = instance(label.as_bytes(), label.as_bytes(), &texts, GROUP.0);
        tell(&stranger, &answer(&records[1..3]));
        if number % 1_000 == 0 {
            let (code, said) = lan.run(&["ls", "--insecure", "10.21.0.1:9090"]);
            assert_eq!(code, Some(0), "{said}");
        }
    }
    assert!(held() < before + (80 << 10), "{before} and now {} KiB", held());
    lan.find("Box").unwrap();
    assert!(server.ended().unwrap().is_none());
    let log = server.log_text();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[test]
fn answers_of_strangers_reach_no_terminal_as_they_are_and_are_never_too_many() {
    let Some(lan) = Lan::new() else { return };
    route(&lan, Machine::Server);
    let address = Ipv4Addr::new(10, 21, 0, 1);
    let stranger = hearing(&lan);
    let records: Vec<_> = (0..400)
        .map(|number| {
            let label = format!("n{number:03}");
            instance(label.as_bytes(), label.as_bytes(), &[b"tls=only"], address)
        })
        .collect();
    let mut packets: Vec<_> = records.chunks(20).map(|some| answer(&some.concat())).collect();
    let evil = "\u{1b}]0;owned\u{7}\n\u{202e}evil";
    let txt: [&[u8]; 3] = [b"tls=\x1b[2J", b"pin=haul1-\x1b[31m\r\n", b"\xff\xfe=\x00"];
    packets.insert(0, answer(&instance(evil.as_bytes(), b"a\x1b;rm -rf\n", &txt, address)));
    packets.insert(1, answer(&instance(b"to-itself", b"lo", &[], Ipv4Addr::LOCALHOST)));
    let is_over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            // Each question gets all of it.
            let mut question = [0; 9_000];
            while !is_over.load(Ordering::Relaxed) {
                if stranger.recv(&mut question).is_ok() {
                    packets.iter().for_each(|packet| tell(&stranger, packet));
                }
            }
        });
        let words = ["discover", "--timeout", "4"];
        // The network may not be there yet.
        let _ = (0..20).any(|_| lan.run(&words).0 == Some(0));
        let told = [lan.run(&words), lan.run(&[&words[..], &["--json"]].concat())];
        is_over.store(true, Ordering::Relaxed);
        told
    });
    for (code, told) in told {
        let is_plain = |c: char| c == '\n' || haul_protocol::is_plain(c);
        assert!(code == Some(0) && told.chars().all(is_plain), "{told:?}");
        assert!(!told.contains("127.0.0.1") && !told.contains("rm -rf"), "{told}");
        assert!(told.contains("owned") && told.contains("evil"), "{told}");
        assert!(told.contains("more has been announced than is shown here"), "{told}");
        let servers = told.lines().filter(|line| line.contains("10.21.0.1")).count();
        assert_eq!(servers, 256, "{told}");
    }
}
