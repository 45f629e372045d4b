//! A root directory with a Debian in which nothing is configured: the essential packages of this machine, as its dpkg knows
//! them. Making one takes no network.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Where dpkg keeps its facts.
const DPKG: &str = "var/lib/dpkg";

/// Packages that every Debian has beside the essential ones.
const USUAL: [&str; 2] = ["dpkg", "passwd"];

/// Directories of files that no program reads.
const UNREAD: [&str; 4] =
    ["/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/i18n/"];

/// The root. Programs in it share loopback with this machine.
#[derive(Debug)]
pub struct CleanRoot(TempDir);

/// One installed package.
struct Package<'a> {
    paragraph: &'a str,
    is_essential: bool,
    /// For each package that it needs, those that will do.
    needs: Vec<Vec<&'a str>>,
    provides: Vec<&'a str>,
}

impl CleanRoot {
    /// Makes one. Only root can.
    #[must_use]
    pub fn new() -> Self {
        let root = Self(TempDir::new().unwrap());
        let status = fs::read_to_string(Path::new("/").join(DPKG).join("status"))
            .expect("the clean root is made of Debian's packages");
        let installed = installed(&status);
        let names = closure(&installed);
        root.copy(&names);
        let chosen: String =
            names.iter().map(|name| format!("{}\n\n", installed[name].paragraph)).collect();
        fs::write(root.path().join(DPKG).join("status"), chosen).unwrap();
        for directory in ["proc", "dev", "tmp", "root"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        root
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A program in the root, which has `/proc` and `/dev`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let script = "mount -t proc proc \"$ROOT/proc\" && mount --rbind /dev \"$ROOT/dev\" && \
                      exec chroot \"$ROOT\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).args(words);
        command.env_clear().env("ROOT", self.path()).env("HOME", "/root");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program in the root to its end.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// The same of a program that has to succeed; returns its standard output.
    pub fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Copies the files of packages.
    fn copy(&self, names: &BTreeSet<&str>) {
        let info = Path::new("/").join(DPKG).join("info");
        fs::create_dir_all(self.path().join(DPKG).join("info")).unwrap();
        fs::create_dir_all(self.path().join(DPKG).join("updates")).unwrap();
        // The packages have `/bin/sh` in them, and the system has it in `/usr/bin`.
        let merged = |name: &str| fs::read_link(Path::new("/").join(name)).ok();
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            if let Some(target) = merged(name) {
                fs::create_dir_all(self.path().join(&target)).unwrap();
                symlink(target, self.path().join(name)).unwrap();
            }
        }
        let mut paths = BTreeSet::new();
        for entry in fs::read_dir(&info).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(package) = file.strip_suffix(".list") else { continue };
            if !names.contains(package.split(':').next().unwrap()) {
                continue;
            }
            let text = fs::read_to_string(info.join(&file)).unwrap();
            fs::write(self.path().join(DPKG).join("info").join(&file), &text).unwrap();
            let is_read = |path: &&str| !UNREAD.iter().any(|unread| path.starts_with(unread));
            let is_there = |path: &&str| {
                let found = fs::symlink_metadata(path);
                found.is_ok()
                    && (!path[1..].contains('/')).then(|| merged(&path[1..])).flatten().is_none()
            };
            paths.extend(text.lines().filter(is_read).filter(is_there).map(str::to_owned));
        }
        let mut out = Command::new("tar");
        out.args(["-C", "/", "--no-recursion", "-P", "-cf", "-", "-T", "-"]);
        let mut out = out.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut into = Command::new("tar");
        into.args(["-xf", "-", "--keep-directory-symlink", "-C"]).arg(self.path());
        let mut into =
            into.stdin(out.stdout.take().unwrap()).stderr(Stdio::null()).spawn().unwrap();
        let list = paths.into_iter().collect::<Vec<_>>().join("\n");
        out.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
        assert!(out.wait().unwrap().success() && into.wait().unwrap().success());
    }
}

impl Default for CleanRoot {
    fn default() -> Self {
        Self::new()
    }
}

/// All installed packages by name.
fn installed(status: &str) -> BTreeMap<&str, Package<'_>> {
    let paragraphs =
        status.split("\n\n").filter(|it| it.contains("\nStatus: install ok installed"));
    let package = |paragraph| {
        let field = |name: &str| field(paragraph, name);
        let words = |list| names(list).map(|names| names.collect()).collect::<Vec<Vec<_>>>();
        let package = Package {
            paragraph,
            is_essential: field("Essential") == "yes",
            needs: [words(field("Pre-Depends")), words(field("Depends"))].concat(),
            provides: words(field("Provides")).concat(),
        };
        (field("Package"), package)
    };
    paragraphs.map(package).collect()
}

/// A field of one line.
fn field<'a>(paragraph: &'a str, name: &str) -> &'a str {
    let mut lines = paragraph.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

/// The packages of a field, without versions: each with those that do as well.
fn names(list: &str) -> impl Iterator<Item = impl Iterator<Item = &str>> {
    let some = list.split(',').filter(|it| !it.trim().is_empty());
    some.map(|one| {
        one.split('|').map(|word| word.trim().split([' ', ':', '(']).next().unwrap_or_default())
    })
}

/// The essential packages, and all that they need.
fn closure<'a>(installed: &BTreeMap<&'a str, Package<'a>>) -> BTreeSet<&'a str> {
    let mut open: Vec<_> = installed
        .iter()
        .filter(|(_, package)| package.is_essential)
        .map(|(name, _)| *name)
        .collect();
    open.extend(
        USUAL.iter().filter_map(|name| installed.get_key_value(name).map(|(name, _)| *name)),
    );
    let mut chosen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !chosen.insert(name) {
            continue;
        }
        for some in &installed[name].needs {
            let known = some.iter().find_map(|name| installed.get_key_value(name));
            let provider = || {
                installed.iter().find(|(_, it)| it.provides.iter().any(|name| some.contains(name)))
            };
            open.extend(known.or_else(provider).map(|(name, _)| *name));
        }
    }
    chosen
}
