//! PROTOCOL.md, "Accounts", and the crate of the protocol say the same.

use std::collections::BTreeMap;

use haul_protocol::{
    AccessToken, Answer, Answers, Code, Decoder, Event, FirstOrLater, Headers, Op, Pin, Requests,
    Right, Rights,
};
use haul_tests::prelude::*;

/// The section, from its heading to that of the next one.
fn section() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("PROTOCOL.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## 11. Accounts\n").unwrap();
    section.split_once("\n## 12. ").unwrap().0.to_owned()
}

/// The cells of a table's rows.
fn table<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let (_, table) = text.split_once(head).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn header<H: Headers>(headers: H, before: &str, header: &str) -> H::Header {
    let mut decoder = Decoder::new(headers);
    let mut found = None;
    for header in [before, header].iter().filter(|header| !header.is_empty()) {
        let mut bytes = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        let mut rest = &bytes[..];
        while let Some(event) =
            decoder.decode(&mut rest).unwrap_or_else(|e| panic!("{e}: {header}"))
        {
            if let Event::Header(header) = event {
                found = Some(header);
            }
        }
    }
    found.unwrap()
}

const HELLO: &str =
    r#"{"cmd":"hello","version":1,"agent":"a","client":"c","slot":0,"filename":"a"}"#;

fn request(command: &str) -> Op {
    let hex = "0".repeat(64);
    let json = json!({
        "cmd": command, "id": 1, "filename": "a", "filesize": 0, "blake3": hex, "fingerprint": "f",
        "upload": hex[..32], "offset": 0, "cv": hex, "target": "t", "to": "b", "count": 1,
        "part_size": 1024,
    });
    match header(Requests::default(), HELLO, &json.to_string()) {
        FirstOrLater::Request(request) => request.op.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_need_the_rights_that_the_protocol_tells() {
    let section = section();
    let mut told = BTreeMap::new();
    for row in table(&section, "| request | needs |") {
        let needed: Rights = quoted(row[1]).map(|word| Right::parse(word).unwrap()).collect();
        assert_eq!(needed.is_empty(), row[1] == "nothing", "{row:?}");
        told.extend(quoted(row[0]).map(|command| (command.to_owned(), needed)));
    }
    let FirstOrLater::Hello(hello) = header(Requests::default(), "", HELLO) else { panic!() };
    assert_eq!(told.remove("hello"), Some(hello.needs()));
    assert_eq!(told.len(), 19);
    for (command, needed) in told {
        assert_eq!(request(&command).needs(), needed, "{command}");
    }
    let rights = table(&section, "| right | allows |");
    let rights: Vec<&str> = rights.iter().flat_map(|row| quoted(row[0])).collect();
    assert_eq!(rights, Right::ALL.map(Right::as_str));
}

#[test]
fn access_token_and_pin_of_the_protocol_are_what_it_says() {
    let section = section();
    let blocks: Vec<&str> = section.split("```\n").skip(1).step_by(2).map(str::trim).collect();
    let token: AccessToken = blocks[0].parse().unwrap();
    assert_eq!(token, AccessToken::new([7; 5], [9; 32]));
    assert_eq!(blocks.last().unwrap().parse(), Ok(Pin::of_spki(b"the key in DER")));
    assert_eq!(blocks.last().unwrap().parse::<Pin>().unwrap().to_string(), *blocks.last().unwrap());
}

#[test]
fn examples_of_logins_are_sound() {
    let section = section();
    let told = r#","agent":"hauld/0.1.0","limits":{"max_header":1,"max_body":1,"window_requests":1,"window_bytes":1,"max_file":1},"durability":"none""#;
    let lines = section.replace("\n   \"token\"", "\"token\"").replace(",…", told);
    let hellos: Vec<_> = lines.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    let tokens: Vec<_> = hellos
        .iter()
        .filter(|line| line.contains("hello"))
        .map(|line| match header(Requests::default(), "", line) {
            FirstOrLater::Hello(hello) => hello.token.unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tokens[0], AccessToken::new([7; 5], [9; 32]));
    assert_eq!(tokens[1].id(), tokens[0].id());
    assert_ne!(tokens[1], tokens[0]);

    let answers: Vec<_> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("< "))
        .map(|line| header(Answers, "", line))
        .collect();
    let [Answer::Hello(hello), Answer::Refused { refusal: forbidden, .. }, _, refused] =
        &answers[..]
    else {
        panic!("{answers:?}");
    };
    let account = hello.account.as_ref().unwrap();
    assert_eq!((account.name.as_str(), account.rights), ("alice", Rights::writer()));
    assert_eq!((account.bytes.unwrap().quota, account.files), (200 << 30, None));
    assert_eq!(forbidden.code, Code::Forbidden);
    let Answer::Refused { refusal, id } = refused else { panic!("{refused:?}") };
    assert_eq!((&refusal.code, id.get()), (&Code::Unauthorized, 0));
}

/// The table of what a thief gets names everything that has to do with accounts, and each command that it tells is one.
#[test]
fn everything_that_can_be_stolen_can_be_replaced_by_commands_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/security.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = table(&text, "| stolen | the thief can | the thief can't | replace it |");
    let stolen: Vec<_> = rows.iter().map(|row| row[0]).collect();
    for thing in ["token", "`key.pem`", "`--cert`", "`users.toml`", "disk", "`credentials`"] {
        assert!(stolen.iter().any(|name| name.contains(thing)), "{thing} is not in {stolen:?}");
    }
    let mut told = 0;
    for row in &rows {
        assert!(row.len() == 4 && row[..3].iter().all(|cell| cell.len() > 5), "{row:?}");
        for code in quoted(row[3]) {
            let mut words = code.split(' ');
            let mut command = match words.next() {
                Some("haul") => haul_command(),
                Some("hauld") => hauld_command(),
                _ => continue,
            };
            let is_command = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            command.args(words.clone().take_while(is_command)).arg("--help");
            let output = output_of(&mut command);
            assert!(output.status.success(), "{code}: {output:?}");
            let help = String::from_utf8(output.stdout).unwrap();
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{code}: no {option} in {help}");
            }
            told += 1;
        }
    }
    assert!(told >= 5, "{told} commands");
}
