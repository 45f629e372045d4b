//! `--install-hauld` over a real sshd: a machine without hauld gets a checked copy of it, if its user asks for it.

use haul_tests::prelude::*;
use haul_tests::sshd::Sshd;

/// A name that no machine has a hauld by.
const NO_HAULD: &str = "no-such-hauld";

/// A machine without hauld, whose user keeps caches in a directory of its own.
struct Bare {
    sshd: Sshd,
    cache: TempDir,
}

impl Bare {
    fn start() -> Self {
        Self::with("")
    }

    /// `config` stands in sshd's configuration.
    fn with(config: &str) -> Self {
        let cache = place::in_memory().unwrap();
        let set = format!("SetEnv XDG_CACHE_HOME={}\n{config}", cache.path().display());
        let sshd = Sshd::with("", &set);
        fs::write(sshd.here().join("s/f"), "text").unwrap();
        Self { sshd, cache }
    }

    /// The remote command finds these programs before, or `only` these and no others.
    fn with_programs(programs: &[(&str, &str)], only: bool) -> (Self, TempDir) {
        let place = place::in_memory().unwrap();
        for (name, script) in programs {
            fs::write(place.path().join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
            set_mode(place.path().join(name), 0o755);
        }
        let more = if only { "" } else { ":$PATH" };
        let path = format!("{}{more}", place.path().display());
        let force = format!("ForceCommand PATH={path}; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"");
        (Self::with(&force), place)
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let more = ["--hauld", NO_HAULD, "--ssh", &self.sshd.ssh()].map(str::to_owned);
        words.iter().map(|word| (*word).to_owned()).chain(more).collect()
    }

    fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.args(self.words(words)).current_dir(self.sshd.here());
        command.env("HAUL_CONFIG_DIR", self.sshd.here().join("config-of-haul"));
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = haul_tests::client::haul_command();
        command.args(self.words(words)).current_dir(self.sshd.here());
        command.env("HAUL_CONFIG_DIR", self.sshd.here().join("config-of-haul"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A place at the other machine.
    fn at(&self, name: &str) -> String {
        format!("box:{}", self.sshd.there().join(name).display())
    }

    /// The names in haul's directory of the cache there, and the metadata of each.
    fn cached(&self) -> Vec<(String, fs::Metadata)> {
        let Ok(entries) = fs::read_dir(self.cache.path().join("haul")) else { return Vec::new() };
        let entry = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), entry.metadata().unwrap())
        };
        entries.map(|it| entry(it.unwrap())).collect()
    }

    /// Puts the source, and returns what haul has told.
    fn put(&self, option: &str, code: i32) -> String {
        let assert = self.haul(&["put", "s", &self.at("in"), option]).assert().code(code);
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    }

    fn is_put(&self) -> bool {
        fs::read_to_string(self.sshd.there().join("in/s/f")).is_ok_and(|text| text == "text")
    }
}

fn installing(file: &Path) -> String {
    format!("--install-hauld={}", file.display())
}

/// The option with the hauld under test.
fn option() -> String {
    installing(&binaries::get().hauld)
}

#[test]
fn missing_hauld_is_told_with_the_option_and_nothing_is_copied_unasked() {
    let bare = Bare::start();
    let told = bare.put("-q", 3);
    assert!(told.contains("there is no `no-such-hauld` at box"), "{told}");
    assert!(told.contains("or have haul copy it there with --install-hauld"), "{told}");
    assert!(bare.cached().is_empty() && !bare.is_put());
}

#[test]
fn hauld_is_copied_by_every_remote_shell_and_the_next_run_copies_nothing() {
    for shell in ["bash", "dash", "fish", "tcsh"] {
        let force = format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"");
        let bare = Bare::with(&force);
        let told = bare.put(&option(), 0);
        assert!(bare.is_put(), "{shell}: {told}");
        assert!(!told.contains("not found"), "{shell}: {told}");
        let cached = bare.cached();
        let [(name, facts)] = &cached[..] else { panic!("{cached:?}") };
        assert!(told.contains("haul has copied one to") && told.contains(name), "{told}");
        assert!(name.starts_with(concat!("hauld-", env!("CARGO_PKG_VERSION"), "-")), "{name}");
        let directory = fs::metadata(bare.cache.path().join("haul")).unwrap();
        assert_eq!((facts.mode() & 0o7777, directory.mode() & 0o7777), (0o700, 0o700));
        let copy = fs::read(bare.cache.path().join("haul").join(name)).unwrap();
        assert!(copy == fs::read(&binaries::get().hauld).unwrap());
        let umask = fs::metadata(bare.sshd.there().join("in/s/f")).unwrap().mode();

        fs::remove_dir_all(bare.sshd.there().join("in")).unwrap();
        let told = bare.put(&option(), 0);
        assert!(bare.is_put() && !told.contains("copied"), "{shell}: {told}");
        let again = bare.cached();
        assert_eq!((again.len(), again[0].1.ino()), (1, facts.ino()), "{shell}");
        assert_eq!(fs::metadata(bare.sshd.there().join("in/s/f")).unwrap().mode(), umask);
    }
}

#[test]
fn every_command_takes_the_option_and_reaches_any_directory() {
    let bare = Bare::start();
    let odd = bare.at("a b $HOME 'x' \"z\" !! {a,b} *~");
    let option = option();
    for words in [
        &["put", "s/f", &odd][..],
        &["sync", "s", &odd],
        &["verify", "s", &odd],
        &["publish", "s", &bare.at("www")],
        &["ls", &odd],
        &["cat", &format!("{odd}/f")],
        &["get", &format!("{odd}/f"), "got"],
        &["mkdir", &format!("{odd}/d")],
        &["mv", &format!("{odd}/f"), &format!("{odd}/g")],
        &["rm", &format!("{odd}/g")],
    ] {
        let _ = bare.haul(&[words, &[&option]].concat()).assert().success();
    }
    let mut shell = bare.haul(&["shell", &odd, &option]);
    let _ = shell.write_stdin("ls\ncat s/f\n").assert().success().stdout("d/\ns/\ntext");
    assert_eq!(bare.cached().len(), 1);
}

#[test]
fn hauld_that_is_there_is_used_and_nothing_is_copied() {
    let bare = Bare::start();
    let words = ["put", "s", &bare.at("in"), &option()];
    let _ = bare.sshd.haul(&words).assert().success();
    assert!(bare.is_put() && bare.cached().is_empty());
    // The words of the remote shell may be more than a name.
    let words = ["put", "s", &bare.at("in2"), &option(), "--ssh", &bare.sshd.ssh(), "--hauld"];
    let nice = format!("nice {}", binaries::get().hauld.display());
    let _ = haul().args(words).arg(nice).current_dir(bare.sshd.here()).assert().success();
    assert!(bare.cached().is_empty());
}

#[test]
fn key_with_a_forced_command_needs_no_copy() {
    let up = place::in_memory().unwrap();
    let hauld = binaries::get().hauld.display();
    let key = format!("command=\"{hauld} --stdio --root {}\",restrict ", up.path().display());
    let sshd = Sshd::with(&key, "");
    fs::write(sshd.here().join("s/f"), "text").unwrap();
    let _ = sshd.haul(&["put", "s", "box:in", &option()]).assert().success();
    assert_eq!(fs::read_to_string(up.path().join("in/s/f")).unwrap(), "text");
}

#[test]
fn copy_with_another_digest_is_removed_and_nothing_is_run() {
    // The machine loses a byte on the way to its disk.
    let (bare, _programs) =
        Bare::with_programs(&[("head", "/usr/bin/head \"$@\" | tail -c +2")], false);
    let told = bare.put(&option(), 3);
    assert!(
        told.contains("there has another digest than the file: haul has removed the copy"),
        "{told}"
    );
    assert!(!bare.is_put());
    eventually("the copy is removed", || bare.cached().is_empty());
}

#[test]
fn damaged_copy_of_an_earlier_run_is_replaced() {
    let bare = Bare::start();
    let _ = bare.put(&option(), 0);
    let copy = bare.cache.path().join("haul").join(&bare.cached()[0].0);
    let mut bytes = fs::read(&copy).unwrap();
    bytes[100] ^= 1;
    fs::write(&copy, bytes).unwrap();
    let told = bare.put(&option(), 0);
    assert!(told.contains("haul has copied one to"), "{told}");
    assert!(fs::read(&copy).unwrap() == fs::read(&binaries::get().hauld).unwrap());
    assert_eq!(bare.cached().len(), 1);
}

#[test]
fn file_for_another_machine_is_told_and_not_copied() {
    let (bare, _programs) = Bare::with_programs(
        &[("uname", "case $1 in -s) echo Linux ;; *) echo riscv64 ;; esac")],
        false,
    );
    let told = bare.put(&option(), 3);
    assert!(
        told.contains("hauld is built for ") && told.contains("the machine there is Linux riscv64"),
        "{told}"
    );
    let told = bare.put("--install-hauld", 3);
    assert!(told.contains("there is none for riscv64 to copy either (looked for "), "{told}");
    assert!(told.contains("hauld-riscv64") && told.contains("--install-hauld=FILE"), "{told}");
    let (bare, _programs) = Bare::with_programs(&[("uname", "printf 'Dar\\033[31mwin\\n'")], false);
    let told = bare.put(&option(), 3);
    assert!(told.contains("the machine there is Dar\\u{1b}[31mwin"), "{told}");
    assert!(bare.cached().is_empty());
}

#[test]
fn file_that_is_missing_or_no_program_is_wrong_usage_and_no_ssh_is_run() {
    let bare = Bare::start();
    let run = |file: &Path| {
        let words = ["put", "s", "box:in", &installing(file), "--ssh", "/nowhere/ssh"];
        let assert = haul().args(words).current_dir(bare.sshd.here()).assert().code(2);
        String::from_utf8(assert.get_output().stderr.clone()).unwrap().replace("\n  ", " ")
    };
    let told = run(Path::new("/nowhere/hauld"));
    assert!(told.contains("--install-hauld: /nowhere/hauld can't be read: No such file"), "{told}");
    let told = run(&bare.sshd.here().join("s/f"));
    assert!(told.contains("s/f is no program of Linux"), "{told}");
}

#[test]
fn machine_that_can_check_no_digest_gets_no_copy() {
    let programs = [("sh", "exec /bin/sh \"$@\""), ("uname", "exec /bin/uname \"$@\"")];
    let (bare, _programs) = Bare::with_programs(&programs, true);
    let told = bare.put(&option(), 3);
    assert!(told.contains("none of sha256sum, shasum and openssl is there"), "{told}");
    assert!(bare.cached().is_empty());
    let (bare, _programs) = Bare::with_programs(&[], true);
    let told = bare.put(&option(), 3);
    assert!(told.contains("`sh` at box has not answered"), "{told}");
}

#[test]
fn cache_that_can_not_be_written_is_told() {
    let bare = Bare::start();
    fs::write(bare.cache.path().join("haul"), "a file").unwrap();
    let told = bare.put(&option(), 3);
    let directory = bare.cache.path().join("haul");
    let expected = format!("none could be copied to {} there", directory.display());
    assert!(told.contains(&expected), "{told}");
}

#[test]
fn copy_that_does_not_start_is_told() {
    let bare = Bare::start();
    let hauld = fs::read(&binaries::get().hauld).unwrap();
    let loader = hauld.windows(9).position(|it| it == b"/ld-linux").expect("a dynamic hauld");
    let mut broken = hauld;
    broken[loader..loader + 9].copy_from_slice(b"/no-linux");
    let file = bare.sshd.here().join("broken");
    fs::write(&file, broken).unwrap();
    let told = bare.put(&installing(&file), 3);
    assert!(told.contains("does not start (exit code 127)"), "{told}");
    assert!(told.contains("take a static hauld"), "{told}");
}

#[test]
fn dry_run_copies_nothing_and_uses_a_copy() {
    let bare = Bare::start();
    let option = option();
    fs::create_dir_all(bare.sshd.there().join("in")).unwrap();
    let (put, get) = (bare.at("in"), bare.at("in/s"));
    for words in [&["put", "s", &put][..], &["sync", "s", &put], &["get", &get, "got"]] {
        let words = [words, &["--dry-run", &option]].concat();
        let assert = bare.haul(&words).assert().code(3);
        let told = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(told.contains("without --dry-run, haul copies"), "{told}");
    }
    assert!(bare.cached().is_empty());
    let _ = bare.put(&option, 0);
    let _ = bare.haul(&["put", "s", &put, "--dry-run", &option]).assert().success();
    let _ = bare.haul(&["get", &get, "got", "--dry-run", &option]).assert().success();
}

#[test]
fn clients_that_copy_at_once_do_each_other_no_harm() {
    let bare = Bare::start();
    let clients: Vec<_> = (0..4)
        .map(|index| {
            let words = ["put", "s/f", &bare.at(&format!("in{index}")), &option()];
            bare.command(&words).spawn().unwrap()
        })
        .collect();
    for client in clients {
        let output = ended(client);
        assert!(output.status.success(), "{output:?}");
    }
    for index in 0..4 {
        assert!(bare.sshd.there().join(format!("in{index}/f")).exists());
    }
    assert_eq!(bare.cached().len(), 1);
}

#[test]
fn interrupted_copy_leaves_nothing() {
    // The machine takes bytes and never has enough of them.
    let (bare, _programs) = Bare::with_programs(&[("head", "exec cat")], false);
    let client = bare.command(&["put", "s", &bare.at("in"), &option()]).spawn().unwrap();
    eventually("the copy is begun", || !bare.cached().is_empty());
    signal(&client, Signal::INT);
    let output = ended(client);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    eventually("the copy is removed", || bare.cached().is_empty());
    assert!(!bare.is_put());
}

/// A user who may write above the cache could put another program in the place of a copy that was checked.
#[test]
fn cache_that_others_may_replace_is_not_used() {
    let bare = Bare::start();
    bare.put(&option(), 0);
    let (cache, haul) = (bare.cache.path().to_owned(), bare.cache.path().join("haul"));
    let refused = |what: &str| {
        let told = bare.put(&option(), 3);
        assert!(told.contains("or to a directory above it"), "{what}: {told}");
        assert!(told.contains("none could be copied"), "{what}: {told}");
    };
    set_mode(&cache, 0o777);
    refused("others write");
    set_mode(&cache, 0o755);
    std::os::unix::fs::chown(&cache, Some(65534), None).unwrap();
    refused("another owner");
    std::os::unix::fs::chown(&cache, Some(0), None).unwrap();
    let aside = bare.sshd.here().join("aside");
    fs::create_dir(&aside).unwrap();
    set_mode(&aside, 0o755);
    fs::rename(&haul, cache.join("before")).unwrap();
    symlink(&aside, &haul).unwrap();
    refused("a symlink");
    assert_eq!(mode(&aside), 0o755);
    assert_eq!(fs::read_dir(&aside).unwrap().count(), 0);
    fs::remove_file(&haul).unwrap();
    fs::rename(cache.join("before"), &haul).unwrap();
    // A copy that is right and can't be executed is made so.
    let name = bare.cached().pop().unwrap().0;
    set_mode(haul.join(&name), 0o600);
    bare.put(&option(), 0);
    assert_eq!(mode(haul.join(&name)), 0o700);
}
