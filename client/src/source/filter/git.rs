//! git beside haul: rules and names made at random, about which both have to agree.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Filter, Rule, Rules};
use crate::source::from_bytes;

/// Directories with rules of their own that git is asked about at once.
const TREES: usize = 24;

/// Rounds, each with other rules.
const ROUNDS: usize = 20;

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Directories, and files in them, whose names have the letters of patterns.
const DIRECTORIES: &[&[u8]] =
    &[b"a", b"b", b"ab", b".d", b"a/b", b"a/b/a", b"ab/.d", b"{a,b}", b"A"];
const FILES: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"a.b",
    b".a",
    b"A",
    b"Ab",
    b"a b",
    b"a ",
    b" a",
    b"#a",
    b"!a",
    b"a*b",
    b"*",
    b"?",
    b"[a]",
    b"a]",
    b"[",
    b"a-b",
    b"-",
    b"^",
    b"a\\b",
    b"\\",
    b"{a,b}",
    b"{a",
    b"a,b",
    b"a\nb",
    b"a\tb",
    b"\xff",
    b"a\xffb",
    "ä".as_bytes(),
    b"1",
    b"a1",
    b"~",
    b":",
    b"a\r",
];

/// Parts of patterns.
const PARTS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"ab",
    b"A",
    b".",
    b"1",
    b" ",
    b"\\ ",
    b"#",
    b"!",
    b"\\#",
    b"\\!",
    b"*",
    b"*",
    b"**",
    b"***",
    b"?",
    b"/",
    b"/",
    b"**/",
    b"/**",
    b"/**/",
    b"\\/",
    b"[a-c]",
    b"[!a]",
    b"[^a]",
    b"[^a-z]",
    b"[]]",
    b"[!]]",
    b"[]-a]",
    b"[a-]",
    b"[-a]",
    b"[\\]]",
    b"[\\a-\\c]",
    b"[z-a]",
    b"[[:alpha:]]",
    b"[![:upper:]]",
    b"[[:digit:]a]",
    b"[[:space:]]",
    b"[[:punct:]]",
    b"[[:nothing:]]",
    b"[[:]",
    b"[[:a]",
    b"[/]",
    b"[a/b]",
    b"[!b/]",
    b"[",
    b"[a",
    b"[!",
    b"[[:alpha:]",
    b"]",
    b"-",
    b"{a,b}",
    b"{",
    b"}",
    b",",
    b"\\",
    b"\\\\",
    b"\\a",
    b"\\*",
    b"\\[",
    b"\\?",
    b"\\{",
    b"\xff",
    b"\t",
    b"~",
    b":",
    b"^",
    b"\xc3",
    b"[\x80-\xff]",
];

fn pattern(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    if random.below(5) == 0 {
        text.push(b'!');
    }
    if random.below(6) == 0 {
        text.push(b'/');
    }
    // A name that is there, with something of it in another form; or anything.
    if random.below(3) == 0 {
        let name = if random.below(2) == 0 { random.pick(FILES) } else { random.pick(DIRECTORIES) };
        for &byte in name {
            match random.below(6) {
                0 => text.push(b'?'),
                1 => text.extend(b"*"),
                2 => text.extend([b'\\', byte]),
                3 => text.extend([b'[', byte, b']']),
                _ => text.push(byte),
            }
        }
    } else {
        for _ in 0..=random.below(5) {
            text.extend(random.pick(PARTS));
        }
    }
    match random.below(12) {
        0 | 1 => text.push(b'/'),
        2 => text.extend(b"  "),
        3 => text.extend(b"\\ "),
        4 => text.extend(b"/**"),
        _ => {}
    }
    text.retain(|byte| *byte != b'\n');
    text
}

fn lines(random: &mut Random) -> Vec<u8> {
    let mut text = if random.below(20) == 0 { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    for _ in 0..=random.below(4) {
        text.extend(pattern(random));
        text.extend([&b"\n"[..], b"\n", b"\n", b"\r\n", b"\n\n", b"\n# a\n"][random.below(6)]);
    }
    text
}

/// All names below a directory, directories first and marked.
fn names() -> Vec<(Vec<u8>, bool)> {
    let mut names: Vec<_> = DIRECTORIES.iter().map(|name| (name.to_vec(), true)).collect();
    for above in [&b""[..]].iter().chain(DIRECTORIES) {
        for file in FILES {
            let name =
                if above.is_empty() { file.to_vec() } else { [above, &b"/"[..], file].concat() };
            if !DIRECTORIES.contains(&&*name) {
                names.push((name, false));
            }
        }
    }
    names
}

fn at(place: &Path, name: &[u8]) -> PathBuf {
    name.split(|&byte| byte == b'/')
        .fold(place.to_owned(), |path, part| path.join(from_bytes(part)))
}

fn git(place: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Nothing but the files in the tree counts.
    command.current_dir(place).args([
        "-c",
        "core.excludesFile=/dev/null",
        "-c",
        "core.ignoreCase=false",
    ]);
    command.args(words).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// For each name, the rule by which git leaves it out, if there is one.
fn left_out(place: &Path, names: &[Vec<u8>]) -> HashMap<Vec<u8>, Option<Vec<u8>>> {
    let mut child = git(place, &["check-ignore", "--stdin", "-z", "--no-index", "-v", "-n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is needed");
    let mut stdin = child.stdin.take().unwrap();
    let asked: Vec<u8> = names.iter().flat_map(|name| [name, &b"\0"[..]].concat()).collect();
    let writing = std::thread::spawn(move || stdin.write_all(&asked));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    // 1: nothing is left out.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", output.status);
    let fields: Vec<&[u8]> = output.stdout.split(|&byte| byte == 0).collect();
    let rows = fields.chunks_exact(4);
    rows.map(|row| {
        let rule = row[2];
        (row[3].to_vec(), (!rule.is_empty() && rule[0] != b'!').then(|| rule.to_vec()))
    })
    .collect()
}

/// A repository with the same names in each of some directories.
fn repository() -> TempDir {
    let place = TempDir::new().unwrap();
    let done = git(place.path(), &["init", "-q"]).status().expect("git is needed");
    assert!(done.success());
    for tree in 0..TREES {
        let tree = place.path().join(tree.to_string());
        for (name, is_dir) in names() {
            let path = at(&tree, &name);
            if is_dir { fs::create_dir_all(path).unwrap() } else { fs::write(path, "").unwrap() }
        }
    }
    place
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn patterns_mean_what_they_mean_to_git() {
    let (place, names, mut random) = (repository(), names(), Random(18));
    let asked: Vec<Vec<u8>> = (0..TREES)
        .flat_map(|tree| {
            names.iter().map(move |(name, _)| [format!("{tree}/").as_bytes(), name].concat())
        })
        .collect();
    let (mut compared, mut out, mut differences) = (0, 0, Vec::new());
    for _ in 0..ROUNDS {
        let mut texts = HashMap::new();
        for tree in 0..TREES {
            for (directory, often) in [("", 1), ("a", 3), ("a/b", 4)] {
                let directory = place.path().join(tree.to_string()).join(directory);
                let text = if random.below(often) == 0 { lines(&mut random) } else { Vec::new() };
                fs::write(directory.join(".gitignore"), &text).unwrap();
                fs::write(directory.join(super::FILE), &text).unwrap();
                texts.insert(directory, text);
            }
        }
        let told = left_out(place.path(), &asked);
        assert_eq!(told.len(), asked.len());
        let filter = Filter::new(&Rules::default()).unwrap();
        for (index, name) in asked.iter().enumerate() {
            let is_dir = names[index % names.len()].1;
            let path = at(place.path(), name);
            let found = filter.excludes_above(place.path(), &path, is_dir).unwrap();
            compared += 1;
            out += usize::from(found);
            if found != told[name].is_some() {
                let above = path.ancestors().skip(1);
                let texts: Vec<_> =
                    above.filter_map(|above| Some(show(texts.get(above)?))).collect();
                differences.push(format!(
                    "{}: haul {found}, git {:?}: {texts:?}",
                    show(name),
                    told[name].as_deref().map(show)
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {compared}: {:#?}",
        differences.len(),
        &differences[..differences.len().min(30)]
    );
    assert!(out > compared / 20 && out < compared * 19 / 20, "{out} of {compared} say little");
}

/// Each byte that a name can have, in each class and in some other sets.
#[test]
fn bytes_are_in_the_classes_in_which_they_are_to_git() {
    let place = TempDir::new().unwrap();
    assert!(git(place.path(), &["init", "-q"]).status().expect("git is needed").success());
    let names: Vec<Vec<u8>> =
        (1..=u8::MAX).filter(|byte| !b"./".contains(byte)).map(|byte| vec![b'x', byte]).collect();
    names.iter().for_each(|name| fs::write(at(place.path(), name), "").unwrap());
    let classes = "alnum alpha blank cntrl digit graph lower print punct space upper xdigit";
    let classes = classes.split(' ').map(|class| format!("x[[:{class}:]]").into_bytes());
    let others = [
        &b"x[!-~]"[..],
        b"x[^\x80-\xff]",
        b"x[\x01-/]",
        b"x[!/]",
        b"x?",
        b"x[[-]]",
        b"x[--0]",
        b"x[a-\\]",
        b"x[^[:print:]]",
    ];
    for text in classes.chain(others.into_iter().map(<[u8]>::to_vec)) {
        fs::write(place.path().join(".gitignore"), &text).unwrap();
        fs::write(place.path().join(super::FILE), &text).unwrap();
        let (told, filter) =
            (left_out(place.path(), &names), Filter::new(&Rules::default()).unwrap());
        for name in &names {
            let found = filter.excludes(place.path(), &at(place.path(), name), false).unwrap();
            assert_eq!(found, told[name].is_some(), "{} and {}", show(&text), show(name));
        }
    }
}

/// Words of the command line have the same syntax, other than that none is a comment.
#[test]
fn words_of_the_command_line_mean_what_lines_mean_to_git() {
    let (place, names, mut random) = (repository(), names(), Random(7));
    let tree = place.path().join("0");
    let asked: Vec<_> = names.iter().map(|(name, _)| [b"0/", &**name].concat()).collect();
    for _ in 0..200 {
        let (mut rules, mut text) = (Vec::new(), Vec::new());
        for _ in 0..=random.below(3) {
            let pattern = pattern(&mut random);
            // A pattern that fits nothing is an error here.
            let Ok(word) = String::from_utf8(pattern) else { continue };
            if matches!(super::Pattern::parse(word.as_bytes()), None | Some((_, Some(_)))) {
                continue;
            }
            let include = random.below(3) == 0;
            let line = if include { format!("!{word}") } else { word.clone() };
            text.extend(
                if line.starts_with('#') { format!("\\{line}\n") } else { format!("{line}\n") }
                    .into_bytes(),
            );
            rules.push(if include { Rule::Include(word) } else { Rule::Exclude(word) });
        }
        fs::write(tree.join(".gitignore"), &text).unwrap();
        let told = left_out(place.path(), &asked);
        let filter = Filter::new(&Rules(rules)).unwrap();
        for ((name, is_dir), asked) in names.iter().zip(&asked) {
            let found = filter.excludes_above(&tree, &at(&tree, name), *is_dir).unwrap();
            assert_eq!(found, told[asked].is_some(), "{} by {}", show(name), show(&text));
        }
    }
}
