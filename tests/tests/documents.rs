//! Documents and code say the same.

use std::fs;
use std::path::{Path, PathBuf};

use haul_protocol::Code;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

#[test]
fn refusal_codes_of_the_protocol_and_of_the_code_are_the_same() {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let expected: Vec<[String; 3]> = Code::all()
        .map(|code| [format!("`{code}`"), yes(code.retry()), yes(code.ends_connection())])
        .collect();
    let text = read("PROTOCOL.md");
    let table = text.split("| code | meaning | retry | ends |").nth(1).unwrap();
    let found: Vec<[String; 3]> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert!(cells[1].len() > 10, "{line}");
            [cells[0].to_owned(), cells[2].to_owned(), cells[3].to_owned()]
        })
        .collect();
    assert_eq!(found, expected);
}

/// The anchor that a heading gets: lower case, spaces as hyphens, no other punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(document: &str, wanted: &str) -> bool {
    let text = read(document);
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| anchor(line.trim_start_matches('#').trim()) == wanted)
}

/// Every file and every section that a document links to is there.
#[test]
fn links_in_documents_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "PROTOCOL.md", "CHANGELOG.md"] {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let mut count = 0;
        for link in links.filter(|link| !link.contains("://")) {
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { document } else { path };
            assert!(root().join(path).exists(), "{document}: {link}");
            assert!(section.is_empty() || has_anchor(path, section), "{document}: {link}");
            count += 1;
        }
        assert!(count > 0, "{document} links to nothing");
    }
}

/// The architecture names every folder of the sources, so that a newcomer finds each room.
#[test]
fn architecture_names_every_room() {
    let text = read("ARCHITECTURE.md");
    for krate in ["protocol", "server", "client", "xtask", "tests"] {
        for entry in walkdir::WalkDir::new(root().join(krate).join("src")) {
            let entry = entry.unwrap();
            if entry.file_type().is_dir() {
                let name = entry.path().strip_prefix(root()).unwrap().display().to_string();
                assert!(text.contains(&name), "{name} is not in ARCHITECTURE.md");
            }
        }
    }
}
