//! The packages, installed on a clean Debian and used there, or looked at from outside.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use haul_tests::binaries;
use haul_tests::clean_root::CleanRoot;
use tempfile::TempDir;
use xtask_dist::{Programs, pack};

/// A time for all packages.
const TIME: u64 = 1_700_000_000;

/// The programs under test without what debuggers want, and the packages of them.
struct Packed {
    _place: TempDir,
    programs: Programs,
    packages: Vec<PathBuf>,
}

fn packed() -> &'static Packed {
    static PACKED: OnceLock<Packed> = OnceLock::new();
    PACKED.get_or_init(|| {
        let place = TempDir::new().unwrap();
        let small = |program: &Path| {
            let to = place.path().join(program.file_name().unwrap());
            let status = Command::new("strip").arg("-o").arg(&to).arg(program).status();
            assert!(status.unwrap().success());
            to
        };
        let built = binaries::get();
        let programs = Programs { haul: small(&built.haul), hauld: small(&built.hauld) };
        let packages = pack(&programs, TIME, &place.path().join("dist")).unwrap();
        Packed { _place: place, programs, packages }
    })
}

/// The package whose name begins and ends so.
fn package(begin: &str, end: &str) -> &'static Path {
    let mut all = packed().packages.iter();
    all.find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begin) && name.ends_with(end)
    })
    .unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A clean root that has some packages in `/tmp`.
fn clean_root(packages: &[(&Path, &str)]) -> CleanRoot {
    let root = CleanRoot::new();
    for (package, name) in packages {
        fs::copy(package, root.path().join("tmp").join(name)).unwrap();
    }
    root
}

/// A server in a root, which is stopped when this is dropped.
struct Server(Child, String);

impl Server {
    fn start(root: &CleanRoot, words: &[&str]) -> Self {
        let mut command = root.command(words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = lines
            .map_while(Result::ok)
            .filter_map(|it| Some(it.strip_prefix("listening on ")?.to_owned()));
        let address = addresses.next().expect("hauld listens");
        Self(child, address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn packages_of_debian_are_installed_used_and_purged() {
    if !is_root() {
        return;
    }
    let root = clean_root(&[
        (package("haul_", ".deb"), "haul.deb"),
        (package("hauld_", ".deb"), "hauld.deb"),
    ]);
    let _ = root.done(&["dpkg", "-i", "/tmp/haul.deb", "/tmp/hauld.deb"]);
    let user = root.done(&["getent", "passwd", "hauld"]);
    let id: u32 = user.split(':').nth(2).unwrap().parse().unwrap();
    let at = |path: &str| root.path().join(path);
    for (path, mode) in [("srv/haul", 0o750), ("var/lib/hauld", 0o700)] {
        let facts = fs::metadata(at(path)).unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o7777), (id, mode), "{path}");
    }
    let checked = root.done(&["hauld", "config", "check", "/etc/hauld/hauld.toml"]);
    assert!(checked.contains("all right"), "{checked}");
    for path in [
        "usr/share/man/man1/haul-put.1.gz",
        "usr/share/man/man8/hauld-user-add.8.gz",
        "usr/share/man/man5/hauld.toml.5.gz",
        "usr/share/bash-completion/completions/haul",
        "usr/lib/systemd/system/hauld.service",
        "usr/lib/systemd/system/hauld.socket",
    ] {
        assert!(at(path).exists(), "{path}");
    }

    let words = ["hauld", "--config", "/etc/hauld/hauld.toml", "--user", "hauld"];
    let server = Server::start(&root, &[&words[..], &["--listen", "127.0.0.1:0"]].concat());
    let _ = root.done(&["haul", "put", "/etc/hauld/hauld.toml", &format!("{}/in", server.1)]);
    let (put, source) = (at("srv/haul/in/hauld.toml"), at("etc/hauld/hauld.toml"));
    assert_eq!(fs::read(&put).unwrap(), fs::read(&source).unwrap());
    assert_eq!(fs::metadata(&put).unwrap().uid(), id);
    drop(server);

    // As docs/operations.md says, but for the address.
    let add = "hauld user add alice --server-root /srv/haul --address box:8080 2>&1";
    let shown = root.done(&["sh", "-c", add]);
    let link = shown.lines().find_map(|line| line.strip_prefix("haul login ")).unwrap();
    let token = shown.lines().find(|line| line.starts_with("haul_")).unwrap();
    let server = Server::start(&root, &[&words[..], &["--listen", "127.0.0.1:0"]].concat());
    let link = link.replace("box:8080", &server.1);
    fs::write(at("tmp/token"), token).unwrap();
    let script =
        format!("haul login '{link}' </tmp/token && haul put /etc/group alice@{}/in", server.1);
    let _ = root.done(&["sh", "-c", &script]);
    assert_eq!(
        fs::read(at("srv/haul/alice/in/group")).unwrap(),
        fs::read(at("etc/group")).unwrap()
    );
    drop(server);

    // What the owner has written stays over an upgrade.
    let own = "root = \"/srv/haul\"\n";
    fs::write(&source, own).unwrap();
    let _ = root.done(&["dpkg", "-i", "/tmp/hauld.deb"]);
    let _ = root.done(&["dpkg", "-r", "hauld"]);
    assert_eq!(fs::read_to_string(&source).unwrap(), own);
    assert!(!at("usr/bin/hauld").exists() && at("var/lib/hauld").exists());
    let _ = root.done(&["dpkg", "-P", "hauld"]);
    assert!(!at("etc/hauld").exists() && !at("var/lib/hauld").exists());
    assert!(put.exists(), "files of people stay");
}

#[test]
fn package_names_the_libraries_that_it_needs() {
    let facts = |package: &Path, field: &str| {
        let output = Command::new("dpkg-deb").arg("-f").arg(package).arg(field).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (haul, hauld) = (package("haul_", ".deb"), package("hauld_", ".deb"));
    for package in [haul, hauld] {
        let depends = facts(package, "Depends");
        assert!(depends.starts_with("libc6 (>= 2.") && depends.contains("libgcc-s1"), "{depends}");
        let size: usize = facts(package, "Installed-Size").trim().parse().unwrap();
        assert!(size > 1000);
    }
    assert!(facts(hauld, "Depends").contains("passwd"));
    let mut output = Command::new("dpkg-deb");
    let output = output.arg("-c").arg(hauld).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.lines().all(|line| line.contains(" 0/0 ")), "{listed}");
}

/// Unpacks the archive, and returns the directory in it.
fn unpacked(into: &Path) -> PathBuf {
    fs::create_dir_all(into).unwrap();
    let archive = package("haul-", ".tar.gz");
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into).status();
    assert!(status.unwrap().success());
    let name = archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap();
    into.join(name)
}

#[test]
fn archive_is_installed_and_used_on_a_clean_root() {
    if !is_root() {
        return;
    }
    let root = clean_root(&[]);
    let here = unpacked(&root.path().join("tmp"));
    let script = format!("/tmp/{}/install.sh", here.file_name().unwrap().to_str().unwrap());
    let told = root.done(&[&script]);
    assert!(told.contains("haul and hauld are in /usr/local/bin"), "{told}");
    let server = Server::start(&root, &["hauld", "--root", "/tmp/up", "--listen", "127.0.0.1:0"]);
    let _ = root.done(&["haul", "put", "/etc/passwd", &server.1]);
    let at = |path: &str| fs::read(root.path().join(path)).unwrap();
    assert_eq!(at("tmp/up/passwd"), at("etc/passwd"));
    assert!(root.path().join("usr/local/share/man/man1/haul-put.1").exists());
    let unit = String::from_utf8(at("usr/local/share/doc/haul/hauld.service")).unwrap();
    let started = "ExecStart=/usr/local/bin/hauld --config /etc/hauld/hauld.toml";
    assert!(unit.lines().any(|line| line == started), "{unit}");
}

/// systemd takes a path apart at spaces, so one that it would not take as it is, is told instead.
#[test]
fn unit_of_the_archive_names_the_hauld_of_the_prefix() {
    let place = TempDir::new().unwrap();
    let here = unpacked(place.path());
    for (name, is_named) in [("plain", true), ("of me & you", false)] {
        let prefix = place.path().join(name);
        let mut command = Command::new(here.join("install.sh"));
        let output = command.arg("--prefix").arg(&prefix).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let unit = prefix.join("share/doc/haul/hauld.service");
        let text = fs::read_to_string(&unit).unwrap();
        let hauld = prefix.join("bin/hauld").to_str().unwrap().to_owned();
        assert_eq!(text.matches(&hauld).count(), if is_named { 3 } else { 0 }, "{text}");
        assert_eq!(text.contains("/usr/bin/hauld"), !is_named, "{text}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            told.contains(&format!("{hauld}, into {}", unit.display())),
            !is_named,
            "{told}"
        );
        assert_eq!(unit.metadata().unwrap().mode() & 0o777, 0o644);
    }
}

#[test]
fn archive_with_a_file_that_is_damaged_missing_or_elsewhere_installs_nothing() {
    let place = TempDir::new().unwrap();
    let here = unpacked(place.path());
    let prefix = place.path().join("prefix");
    let install = |expected: &str| {
        let mut command = Command::new(here.join("install.sh"));
        let output = command.arg("--prefix").arg(&prefix).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(expected), "{told}");
        assert!(!prefix.exists());
    };
    // The last file of the list.
    let file = here.join("share/zsh/site-functions/_hauld");
    let right = fs::read(&file).unwrap();
    fs::write(&file, "damaged").unwrap();
    install("_hauld has another digest than SHA256SUMS says; nothing was installed");
    fs::remove_file(&file).unwrap();
    install("_hauld is missing; nothing was installed");
    fs::write(&file, right).unwrap();
    let sums = fs::read_to_string(here.join("SHA256SUMS")).unwrap();
    let digest = sums.split_once(' ').unwrap().0;
    fs::write(here.join("SHA256SUMS"), format!("{sums}{digest}  ../outside\n")).unwrap();
    install("../outside leads out of the archive; nothing was installed");
    fs::write(here.join("SHA256SUMS"), "").unwrap();
    install("SHA256SUMS is empty; nothing was installed");
    fs::write(here.join("SHA256SUMS"), sums).unwrap();
    let mut command = Command::new(here.join("install.sh"));
    assert!(command.arg("--prefix").arg(&prefix).status().unwrap().success());
    assert!(Command::new(prefix.join("bin/haul")).arg("--version").status().unwrap().success());
}

#[test]
fn same_programs_and_time_make_the_same_bytes_and_the_digests_are_right() {
    let first = packed();
    let place = TempDir::new().unwrap();
    let second = pack(&first.programs, TIME, place.path()).unwrap();
    assert_eq!(first.packages.len(), second.len());
    for (one, other) in first.packages.iter().zip(&second) {
        assert_eq!(one.file_name(), other.file_name());
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{}", one.display());
    }
    let mut check = Command::new("sha256sum");
    let output = check.args(["-c", "SHA256SUMS"]).current_dir(place.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(listed.lines().count(), second.len() - 1);
}
