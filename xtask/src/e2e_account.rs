//! The second leg: over TLS with an account, which logs in as a person does, by the link and the token that `hauld user
//! add` shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use haul_tests::binaries::Binaries;
use haul_tests::hauld::Hauld;
use haul_tests::register::Register;
use haul_tests::{alive, tree};
use tempfile::TempDir;

/// The account, which may do everything: `--delete` and `publish` as well.
const ACCOUNT: &str = "newcomer";

/// The grace time of a `hauld` without options.
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// A client with files of its own, and the server that it is logged in at.
struct Leg<'a> {
    binaries: &'a Binaries,
    files: PathBuf,
    server: &'a Hauld,
}

/// Puts, verifies and gets all sources, then syncs and publishes the first one again and again.
pub(crate) fn run(
    binaries: &Binaries,
    sources: &[PathBuf],
    directory: TempDir,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let (config, root) = (directory.path().join("config"), directory.path().join("root"));
    let register = Register::new(binaries, &config, &root);
    let token = register.add(ACCOUNT, &["--rights", "mirror"])?.token;
    let mut server =
        Hauld::start_in(directory, Command::new(&binaries.hauld), &["--tls", "always"])?;
    let own = TempDir::new()?;
    let leg = Leg { binaries, files: own.path().join("haul"), server: &server };
    leg.is_refused(4, "is not known here; nothing was sent")?;
    register.log_in(&register.link(ACCOUNT, server.address())?, &token, &leg.files)?;
    let files = leg.transfers(sources, own.path())?;
    fs::remove_file(leg.files.join("credentials"))?;
    leg.is_refused(3, "asks for an account: haul login")?;
    let home = server.root().join(ACCOUNT);
    ensure!(fs::read_dir(&home)?.count() == sources.len() + 2, "others are in {}", home.display());
    let log = server.log_text();
    ensure!(!log.contains(&token[token.len() - 43..]), "the server's log has the token");
    alive::stop(&mut server, GRACE)?;
    println!(
        "over TLS as {ACCOUNT}: {files} files put, verified and got; sync --delete, two publishes and a rollback: all the \
         same; {:.2} s",
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

impl Leg<'_> {
    /// All transfers; returns how many files were put.
    fn transfers(&self, sources: &[PathBuf], own: &Path) -> anyhow::Result<u64> {
        let home = self.server.root().join(ACCOUNT);
        self.haul(&["put"], sources, "")?;
        self.haul(&["verify"], sources, "")?;
        let mut files = 0;
        for source in sources {
            let name = source.file_name().context("a tree has a name")?;
            files += tree::compare(source, &home.join(name))?.files;
            let back = own.join("back");
            let from = format!("{}/{}", self.server.address(), name.to_string_lossy());
            self.run(Command::new(&self.binaries.haul).arg("get").arg(from).arg(&back))?;
            tree::compare(source, &back.join(name))?;
        }

        // A copy that can be changed.
        let work = own.join("work");
        fs::create_dir(&work)?;
        let first = sources.first().context("no sources")?;
        tree::copy(first, &work.join("old"));
        fs::write(work.join("kept"), "kept")?;
        let work = [work];
        let same = |name: &str| tree::compare(&work[0], &home.join(name));
        self.haul(&["put"], &work, "")?;
        same("work")?;
        fs::remove_dir_all(work[0].join("old"))?;
        fs::write(work[0].join("new"), "new")?;
        self.haul(&["sync", "--delete"], &work, "")?;
        same("work")?;

        self.haul(&["publish"], &work, "/site")?;
        same("site")?;
        fs::rename(work[0].join("new"), work[0].join("newer"))?;
        self.haul(&["publish"], &work, "/site")?;
        same("site")?;
        self.haul(&["publish", "--rollback"], &[], "/site")?;
        let site = home.join("site");
        ensure!(site.join("new").exists() && !site.join("newer").exists(), "no rollback");
        Ok(files)
    }

    /// Runs haul with these words and sources to a place at the server.
    fn haul(&self, words: &[&str], sources: &[PathBuf], place: &str) -> anyhow::Result<()> {
        self.run(&mut self.command(words, sources, place))
    }

    /// Runs a command of this client.
    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let output = command.env("HAUL_CONFIG_DIR", &self.files).stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} ended with {}: {told}", output.status);
        Ok(())
    }

    fn command(&self, words: &[&str], sources: &[PathBuf], place: &str) -> Command {
        let mut command = Command::new(&self.binaries.haul);
        command.args(words).args(sources).arg(format!("{}{place}", self.server.address()));
        command.env("HAUL_CONFIG_DIR", &self.files).stdin(Stdio::null());
        command
    }

    /// The client is told what to do, and learns nothing.
    fn is_refused(&self, code: i32, told: &str) -> anyhow::Result<()> {
        let output = self.command(&["ls"], &[], "").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let right = output.status.code() == Some(code) && said.contains(told);
        ensure!(right, "haul ls ended with {}, not {code} and {told:?}: {said}", output.status);
        Ok(())
    }
}
