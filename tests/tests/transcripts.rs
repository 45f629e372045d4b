//! The examples of PROTOCOL.md, sections 1 and 14, are what hauld says.

use std::collections::HashMap;

use haul_tests::prelude::*;

/// Blocks of code between two headings of the document.
fn blocks(from: &str, to: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("PROTOCOL.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, text) = text.split_once(&format!("\n{from}")).unwrap();
    let (text, _) = text.split_once(&format!("\n{to}")).unwrap();
    text.split("```\n").skip(1).step_by(2).map(str::to_owned).collect()
}

/// The bytes of a dump, whose right column must be those bytes too.
fn dumped(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block.lines() {
        let (offset, rest) = line.split_at(6);
        assert_eq!(usize::from_str_radix(offset.trim(), 16).unwrap(), bytes.len(), "{line}");
        let (hex, shown) = rest.split_at(47);
        let row = hex.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap());
        let row: Vec<u8> = row.collect();
        let show = |byte: &u8| if matches!(byte, b' '..=b'~') { *byte as char } else { '.' };
        assert_eq!(row.iter().map(show).collect::<String>(), shown.trim_start(), "{line}");
        bytes.extend(row);
    }
    bytes
}

/// One step of a transcript: a header, and the lines of a body.
#[derive(Debug)]
struct Step {
    header: String,
    body: Vec<String>,
}

#[derive(Debug)]
enum Line {
    /// Another connection, or the older one again.
    Connection(String),
    Sent(Step),
    Told(Step),
}

fn lines(block: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    for line in block.lines().filter(|line| !line.is_empty()) {
        let step = |header: &str| Step { header: header.to_owned(), body: Vec::new() };
        match line.split_at(2) {
            ("# ", rest) => found.push(Line::Connection(rest.to_owned())),
            ("> ", header) => found.push(Line::Sent(step(header))),
            ("< ", header) => found.push(Line::Told(step(header))),
            ("  ", rest) => match found.last_mut() {
                Some(Line::Sent(step) | Line::Told(step)) => match rest.strip_prefix(' ') {
                    Some(header) => step.header.push_str(header),
                    None => step.body.push(rest.to_owned()),
                },
                _ => panic!("{line}"),
            },
            _ => panic!("{line}"),
        }
    }
    found
}

/// The header, and the bytes of the body as its `length` says. `…` is left out. A part of a large file begins at its
/// `offset`, or at that of the request that it answers.
fn step(step: &Step, asked: u64) -> (Value, Vec<u8>) {
    let header: Value = serde_json::from_str(&step.header.replace(",…", "")).unwrap();
    let length = usize::try_from(header["length"].as_u64().unwrap_or(0)).unwrap();
    let text = step.body.join("\n").replace("\\0", "\0");
    let body = if text == format!("{} bytes", with_commas(length)) {
        let offset = usize::try_from(header["offset"].as_u64().unwrap_or(asked)).unwrap();
        (offset..offset + length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    } else if let Some(hex) = text.strip_prefix("the byte ") {
        vec![u8::from_str_radix(hex, 16).unwrap()]
    } else {
        let mut body = if text.is_empty() { Vec::new() } else { format!("{text}\n").into_bytes() };
        assert!(body.len() <= length + 1, "{step:?}");
        body.truncate(length);
        body
    };
    assert_eq!(body.len(), length, "{step:?}");
    (header, body)
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|g| std::str::from_utf8(g).unwrap()).collect::<Vec<_>>().join(",")
}

/// Fields whose values differ each time.
const TOKENS: [&str; 2] = ["upload", "state"];

/// The player of the document's client. Tokens differ each time: those of the document by those of this server.
struct Player<'a> {
    server: &'a Hauld,
    peers: Vec<Peer>,
    tokens: HashMap<String, String>,
}

impl Player<'_> {
    fn peer(&mut self) -> &mut Peer {
        self.peers.last_mut().unwrap()
    }

    fn send(&mut self, (mut header, body): (Value, Vec<u8>)) {
        // One that the server has not named is the client's own.
        for field in TOKENS {
            if let Some(own) = header[field].as_str().and_then(|token| self.tokens.get(token)) {
                header[field] = json!(own);
            }
        }
        self.peer().send(&header, &body).unwrap();
    }

    /// Reads what a run of `<` lines says. Several acks may come as one.
    fn read(&mut self, told: &[(Value, Vec<u8>, bool)]) {
        let is_ack = |header: &Value| header["ack"].is_u64();
        let last = told.iter().filter_map(|(header, ..)| header["ack"].as_u64()).max();
        let mut acked = None;
        let mut others = told.iter().filter(|(header, ..)| !is_ack(header)).peekable();
        while others.peek().is_some() || acked < last {
            let (header, body) = self.peer().receive().unwrap();
            if let Some(id) = header["ack"].as_u64() {
                // A slow server repeats its last one.
                assert!(last.is_none() || last >= Some(id), "{header} where {told:?}");
                acked = acked.max(Some(id));
                continue;
            }
            let (expected, bytes, is_part) = others.next().unwrap_or_else(|| panic!("{header}"));
            let mut shown = header.clone();
            for field in TOKENS {
                if let (Some(token), Some(own)) = (expected[field].as_str(), header[field].as_str())
                {
                    // Answers about one state of a file have the same token.
                    let before = self.tokens.insert(token.to_owned(), own.to_owned());
                    assert!(field == "upload" || before.is_none_or(|it| it == own), "{header}");
                    shown[field] = json!(token);
                }
            }
            match is_part {
                true => {
                    for (field, value) in expected.as_object().unwrap() {
                        assert_eq!(shown[field], *value, "{header}");
                    }
                }
                false => assert_eq!(shown, *expected),
            }
            assert_eq!(body, *bytes, "{header}: {}", String::from_utf8_lossy(&body));
        }
    }

    /// Says hello until nobody else is about the directory.
    fn hello(&mut self, hello: &Value, expected: &(Value, Vec<u8>, bool)) {
        let mut answer = Value::Null;
        eventually("hello is answered", || {
            let mut peer = Peer::connect(self.server.address()).unwrap();
            answer = peer.ask(hello, b"").unwrap();
            let is_busy = answer["code"] == "busy";
            if !is_busy {
                self.peers.push(peer);
            }
            !is_busy
        });
        let (expected, _, is_part) = expected;
        assert!(is_part);
        for (field, value) in expected.as_object().unwrap() {
            match value.as_str().filter(|_| field == "upload") {
                Some(token) => {
                    let own = answer["upload"].as_str().unwrap().to_owned();
                    self.tokens.insert(token.to_owned(), own);
                }
                None => assert_eq!(answer[field], *value, "{answer}"),
            }
        }
    }

    /// Closes all connections, and waits until the directory that they were about may be changed.
    fn leave(&mut self, directory: &str) {
        self.peers.clear();
        let change = json!({"cmd": "setattr", "id": 1, "filename": directory});
        eventually("the directory is free", || {
            self.server.peer().ask(&change, b"").unwrap()["ack"] == 1
        });
    }

    fn play(&mut self, block: &str) {
        let mut lines = lines(block).into_iter().peekable();
        // Offsets that were asked for on this connection, by the ids of their requests.
        let mut offsets: HashMap<u64, u64> = HashMap::new();
        while let Some(line) = lines.next() {
            if let Line::Connection(_) = line {
                offsets.clear();
            }
            if let Line::Sent(sent) = &line {
                let header = step(sent, 0).0;
                if let (Some(id), Some(offset)) = (header["id"].as_u64(), header["offset"].as_u64())
                {
                    offsets.insert(id, offset);
                }
            }
            let told_of = |told: &Step| {
                let header: Value = serde_json::from_str(&told.header.replace(",…", "")).unwrap();
                let asked = header["answer"].as_u64().and_then(|id| offsets.get(&id)).copied();
                let (header, body) = step(told, asked.unwrap_or(0));
                (header, body, told.header.contains('…'))
            };
            match line {
                Line::Connection(about) if about.starts_with("On the older connection") => {
                    let newer = self.peers.pop();
                    drop(newer);
                }
                Line::Connection(about) => {
                    if about.starts_with("Later") {
                        self.leave("site");
                    }
                    let (Some(Line::Sent(hello)), Some(Line::Told(told))) =
                        (lines.next(), lines.next())
                    else {
                        panic!("no hello in {block}");
                    };
                    // An older connection of a directory is closed, so that the next run finds it free.
                    let hello = step(&hello, 0).0;
                    if hello["filename"].is_string() {
                        self.peers.clear();
                    }
                    self.hello(&hello, &told_of(&told));
                }
                Line::Sent(sent) => self.send(step(&sent, 0)),
                Line::Told(first) => {
                    let mut told = vec![told_of(&first)];
                    while let Some(Line::Told(next)) = lines.next_if(|l| matches!(l, Line::Told(_)))
                    {
                        told.push(told_of(&next));
                    }
                    self.read(&told);
                }
            }
        }
    }
}

#[test]
fn examples_of_the_protocol_are_true() {
    let server = server_with(&["--durability", "none"]);
    let first = blocks("## 1. ", "## 2. ");
    let [hello, answer, put, ack] = &first[..] else { panic!("{first:?}") };
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&dumped(hello)).unwrap();
    let (mut header, _) = peer.receive().unwrap();
    assert_eq!(header.to_string().len(), 243);
    header["agent"] = json!("hauld/0.1.0");
    assert_eq!(header, serde_json::from_str::<Value>(answer).unwrap());
    peer.stream.write_all(&dumped(put)).unwrap();
    let mut bytes = vec![0; dumped(ack).len()];
    peer.stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, dumped(ack));

    let mut player = Player { server: &server, peers: vec![peer], tokens: HashMap::new() };
    let more = blocks("## 14. ", "## 15. ");
    assert_eq!(more.len(), 12);
    let (classic, transcripts) = more.split_last().unwrap();
    for block in transcripts {
        player.play(block);
    }
    assert_eq!(fs::read(server.root().join("site/index.html")).unwrap(), b"old.");
    assert_eq!(mode(server.root().join("site/index.html")), 0o600);
    assert!(!server.root().join("site/new.html").exists());
    fs::remove_file(server.root().join("a.txt")).unwrap();
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&dumped(classic)).unwrap();
    assert_eq!(peer.end().unwrap(), b"");
    assert_eq!(fs::read(server.root().join("a.txt")).unwrap(), b"hello\n");
}
