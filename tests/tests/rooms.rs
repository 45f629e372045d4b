//! The sources are rooms in layers: imports go one way, and no two modules import each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Layers of the client, the lowest first: each imports only what stands before it.
const CLIENT: [&str; 13] = [
    "error",
    "net",
    "trust",
    "credentials",
    "report",
    "source",
    "target",
    "plan",
    "work",
    "connection",
    "transfer",
    "get",
    "cli",
];

/// The same of the server.
const SERVER: [&str; 34] = [
    "regular",
    "json_line",
    "log",
    "pulse",
    "settings_file",
    "locks",
    "symlinks",
    "accounts",
    "audit",
    "store",
    "metrics",
    "refusal",
    "hooks",
    "uploads",
    "commit",
    "versions",
    "net",
    "keys",
    "error",
    "announcement",
    "http",
    "services",
    "connection",
    "runtime",
    "monitor",
    "maintenance",
    "config",
    "cli",
    "process",
    "responder",
    "streams",
    "server",
    "announcer",
    "stdio",
];

type Module = Vec<String>;

/// For each module of a crate those that it imports, tests left out.
fn imports(krate: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(krate).join("src");
    let files: BTreeMap<Module, PathBuf> = walkdir::WalkDir::new(&src)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some((module(path.strip_prefix(&src).unwrap())?, path)))
        .filter(|(module, _)| !module.iter().any(|name| name == "tests" || name == "crash"))
        .collect();
    let imports = |(module, path): (&Module, &PathBuf)| {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.flat_map(|line| [line, "\n"]).collect();
        let used = paths(&code, module).into_iter().filter_map(|path| {
            let known = (1..=path.len()).rev().map(|len| path[..len].to_vec());
            known.into_iter().find(|known| files.contains_key(known))
        });
        (module.clone(), used.filter(|used| used != module).collect())
    };
    files.iter().map(imports).collect()
}

/// The module in a file; none for the roots of crates.
fn module(path: &Path) -> Option<Module> {
    let mut names: Module =
        path.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    (names != ["lib"] && names != ["main"]).then_some(names)
}

/// All paths in a text that begin with `crate` or `super`, from the root of the crate.
fn paths(code: &str, module: &[String]) -> Vec<Module> {
    let mut found = Vec::new();
    for (word, mut above) in [("crate::", Vec::new()), ("super::", module.to_vec())] {
        if word == "super::" {
            above.pop();
        }
        for (at, _) in code.match_indices(word) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                tree(&code[at + word.len()..], &above, &mut found);
            }
        }
    }
    found
}

/// The paths of one tree of imports, below a module; returns what comes after it.
fn tree<'a>(text: &'a str, above: &[String], found: &mut Vec<Module>) -> &'a str {
    let mut path = above.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inner) = rest.strip_prefix('{') {
            while !inner.trim_start().starts_with('}') {
                inner = tree(inner, &path, found).trim_start();
                inner = inner.strip_prefix(',').unwrap_or(inner);
            }
            return &inner.trim_start()[1..];
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        match &rest[..end] {
            "super" => drop(path.pop()),
            "self" => {}
            name => path.push(name.to_owned()),
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after)
                if after.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{') =>
            {
                rest = after;
            }
            _ => break,
        }
    }
    found.push(path);
    // `as` another name, or a glob.
    let end = rest.find([',', '}', ';', '\n']).unwrap_or(rest.len());
    &rest[end..]
}

/// Imports from a layer to one that is above it.
fn upward(
    imports: &BTreeMap<Module, BTreeSet<Module>>,
    layers: &[&str],
) -> BTreeSet<(String, String)> {
    let place = |module: &Module| {
        let place = layers.iter().position(|layer| *layer == module[0]);
        place.unwrap_or_else(|| panic!("no layer has {}", module.join("::")))
    };
    let all = imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let wrong = all.filter(|(from, to)| place(to) > place(from));
    wrong.map(|(from, to)| (from[0].clone(), to[0].clone())).collect()
}

/// Modules that import each other by whatever way. What is in a folder or file and what is beside it count as one.
fn cycles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let is_family = |a: &Module, b: &Module| a.starts_with(b) || b.starts_with(a);
    let next = |module: &Module| {
        let to = imports.get(module).into_iter().flatten();
        to.filter(|to| !is_family(to, module)).cloned().collect::<Vec<_>>()
    };
    let reaches = |from: &Module, goal: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), next(from));
        while let Some(module) = open.pop() {
            if module == *goal {
                return true;
            }
            if seen.insert(module.clone()) {
                open.extend(next(&module));
            }
        }
        false
    };
    let modules = imports.keys().filter(|module| reaches(module, module));
    modules.map(|module| module.join("::")).collect()
}

/// Each layer, from the top, and the layers that it imports. `cargo test -p haul-tests --test all -- rooms:: --nocapture`
/// shows it.
fn drawn(krate: &str, imports: &BTreeMap<Module, BTreeSet<Module>>, layers: &[&str]) -> String {
    let lines = layers.iter().rev().map(|layer| {
        let of_layer = imports.iter().filter(|(from, _)| from[0] == *layer);
        let below: BTreeSet<_> = of_layer.flat_map(|(_, to)| to).map(|to| &to[0]).collect();
        let below: Vec<_> = layers
            .iter()
            .rev()
            .filter(|other| *other != layer && below.contains(&(**other).to_owned()))
            .copied()
            .collect();
        format!("  {layer} -> {}", below.join(", "))
    });
    std::iter::once(format!("{krate}:")).chain(lines).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::print_stdout, reason = "the harness keeps it unless it is asked for")]
fn imports_go_one_way(krate: &str, layers: &[&str]) {
    let imports = imports(krate);
    assert!(imports.len() > 50);
    println!("{}", drawn(krate, &imports, layers));
    assert_eq!(upward(&imports, layers), BTreeSet::new());
    assert_eq!(cycles(&imports), Vec::<String>::new());
}

#[test]
fn client_imports_go_one_way() {
    imports_go_one_way("client", &CLIENT);
}

/// Words of the command line, the terminal and signals: for the program, and not for others that embed the client.
const PROGRAM_ONLY: [&str; 9] = [
    "clap",
    "indicatif",
    "rustyline",
    "anyhow",
    "signal_hook",
    "ctrlc",
    "process::exit",
    "io::stdout",
    "io::stderr",
];

#[test]
fn only_the_command_line_of_the_client_prints_and_watches_signals() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("client/src");
    let mut users = BTreeMap::from(PROGRAM_ONLY.map(|word| (word, 0)));
    for entry in walkdir::WalkDir::new(&src) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (word, users) in &mut users {
            let is_used = text.contains(&format!("{word}::")) || text.contains(&format!("{word}("));
            let is_program = path.starts_with(src.join("cli"));
            assert!(is_program || !is_used, "{word} in {}", path.display());
            *users += usize::from(is_used);
        }
    }
    assert!(users.values().all(|users| *users > 0), "{users:?}");
}

#[test]
fn server_imports_go_one_way() {
    imports_go_one_way("server", &SERVER);
}

#[test]
fn trees_of_imports_are_read_as_rust_reads_them() {
    let code = "use crate::a::{b, c::{self, D as E}, f::*};\nuse super::{g, h::I};\nlet x = crate::j::k(); super::super::l::m;";
    let module = ["p", "q", "r"].map(String::from);
    let found: BTreeSet<String> = paths(code, &module).iter().map(|path| path.join("::")).collect();
    let wanted = ["a::b", "a::c", "a::c::D", "a::f", "p::q::g", "p::q::h::I", "j::k", "p::l::m"];
    assert_eq!(found, wanted.map(String::from).into());
}
