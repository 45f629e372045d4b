//! Documents and code say the same.

use std::collections::BTreeSet;
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

/// All files of the project whose names end so; what is hidden or built is left out.
fn files(extensions: &[&str]) -> Vec<String> {
    let is_kept = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !(name.starts_with('.') || name == "target")
    };
    let entries = walkdir::WalkDir::new(root()).sort_by_file_name().into_iter();
    let paths = entries.filter_entry(is_kept).map(|entry| entry.unwrap().into_path());
    let wanted = paths.filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    });
    wanted.map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()).collect()
}

/// The relative links of a text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains("://"))
}

/// Every file and every section that a document links to is there.
#[test]
fn links_in_documents_lead_somewhere() {
    let documents = files(&["md"]);
    for needed in ["README.md", "ARCHITECTURE.md", "PROTOCOL.md", "CHANGELOG.md"] {
        assert!(documents.iter().any(|document| document == needed), "{needed} is not there");
        assert!(links(&read(needed)).next().is_some(), "{needed} links to nothing");
    }
    for document in documents {
        for link in links(&read(&document)) {
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&document).parent().unwrap();
            let path = if path.is_empty() { PathBuf::from(&document) } else { folder.join(path) };
            assert!(root().join(&path).exists(), "{document}: {link}");
            let is_there = section.is_empty() || has_anchor(path.to_str().unwrap(), section);
            assert!(is_there, "{document}: {link}");
        }
    }
}

/// A comment that names a page about the architecture, and a section of it, names what is there.
#[test]
fn sections_that_comments_name_are_there() {
    let mut count = 0;
    for source in files(&["rs"]) {
        let text = read(&source);
        let lines =
            text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!']).trim());
        let text = lines.collect::<Vec<_>>().join(" ");
        let parts: Vec<&str> = text.split(".md, \"").collect();
        for named in parts.windows(2) {
            let page = named[0].rsplit([' ', '(']).next().unwrap();
            if page != "ARCHITECTURE" && !page.starts_with("docs/") {
                continue;
            }
            let (document, section) = (format!("{page}.md"), named[1].split('"').next().unwrap());
            assert!(root().join(&document).exists(), "{source}: {document}");
            assert!(has_anchor(&document, &anchor(section)), "{source}: {document}, {section}");
            count += 1;
        }
    }
    assert!(count > 0);
}

/// The example of a test is one of the tests, so it stays as right as they are.
#[test]
fn example_of_a_test_is_a_test() {
    let text = read("docs/testing.md");
    let example = text.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = example.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    let example = lines.map(|line| format!("{line}\n")).collect::<String>();
    assert!(example.contains("#[test]"), "{example}");
    let mut tests = files(&["rs"]).into_iter().filter(|file| file.starts_with("tests/tests/"));
    assert!(tests.any(|file| read(&file).contains(example.trim())), "no test is\n{example}");
}

/// Whether a text names a path, and not only one that is longer.
fn names(text: &str, path: &str) -> bool {
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    text.match_indices(path).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + path.len()..]);
        !before.ends_with(is_path) && !after.starts_with(is_path)
    })
}

/// The architecture names every folder with sources, so that a newcomer finds each.
#[test]
fn architecture_names_every_folder() {
    let text = read("ARCHITECTURE.md");
    let folders: BTreeSet<String> = files(&["rs", "py"])
        .iter()
        .map(|file| Path::new(file).parent().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(folders.len() > 50, "{folders:?}");
    for krate in ["protocol", "server", "client", "xtask", "xtask/bench", "xtask/torture", "tests"]
    {
        assert!(folders.contains(&format!("{krate}/src")), "{krate}");
    }
    let unnamed: Vec<_> = folders.iter().filter(|folder| !names(&text, folder)).collect();
    assert!(unnamed.is_empty(), "not in ARCHITECTURE.md: {unnamed:?}");
}

/// A newcomer reads the architecture in one go, and finds from there each page about a subject.
#[test]
fn architecture_is_short_and_links_every_page() {
    let text = read("ARCHITECTURE.md");
    assert!(text.len() <= 14 * 1024, "ARCHITECTURE.md has {} bytes", text.len());
    let pages: Vec<_> =
        files(&["md"]).into_iter().filter(|page| page.starts_with("docs/")).collect();
    assert!(!pages.is_empty());
    for page in pages {
        assert!(links(&text).any(|link| link == page), "{page} is not linked");
    }
}
