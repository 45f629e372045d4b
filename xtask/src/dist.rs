//! The archive for users: the binaries, with man pages and completions made from their own flags.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use haul_tests::binaries;

/// Documents that go with the binaries.
const DOCUMENTS: [&str; 5] =
    ["README.md", "PROTOCOL.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Options of the chore.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directory for the archive [default: target/dist].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let binaries = binaries::build(true)?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let place = match &options.dir {
        Some(dir) => dir.clone(),
        None => workspace.join("target/dist"),
    };
    let name = format!(
        "haul-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    let directory = place.join(&name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(directory.join("bin"))?;
    for binary in [&binaries.haul, &binaries.hauld] {
        let name = binary.file_name().context("a binary has a name")?;
        fs::copy(binary, directory.join("bin").join(name))?;
    }
    for document in DOCUMENTS {
        fs::copy(workspace.join(document), directory.join(document))?;
    }
    man_pages(&directory.join("man"))?;
    completions(&directory.join("completions"))?;
    let archive = place.join(format!("{name}.tar.gz"));
    let status = Command::new("tar")
        .args(["--owner=0", "--group=0", "--sort=name", "-czf"])
        .arg(&archive)
        .arg("-C")
        .args([&place, Path::new(&name)])
        .status()
        .context("could not run tar")?;
    ensure!(status.success(), "tar: {status}");
    println!("{}", archive.display());
    Ok(())
}

/// `haul.1`, one page for each of its commands, and `hauld.8`.
fn man_pages(directory: &Path) -> anyhow::Result<()> {
    let haul = named(haul_client::cli::command(), "haul");
    let commands: Vec<_> = haul
        .get_subcommands()
        .map(|command| {
            let name = format!("haul-{}", command.get_name());
            // The usage has the words that a user types.
            let typed = format!("haul {}", command.get_name());
            named(command.clone(), &name).bin_name(typed)
        })
        .collect();
    let pages = [(haul, "1"), (named(haul_server::cli::command(), "hauld"), "8")];
    for (command, section) in pages.into_iter().chain(commands.into_iter().map(|c| (c, "1"))) {
        let place = directory.join(format!("man{section}"));
        fs::create_dir_all(&place)?;
        let file = place.join(format!("{}.{section}", command.get_name()));
        let mut page = Vec::new();
        Man::new(command).section(section).manual("haul").render(&mut page)?;
        fs::write(file, page)?;
    }
    Ok(())
}

fn named(command: clap::Command, name: &str) -> clap::Command {
    command.name(name.to_owned()).disable_help_subcommand(true).version(env!("CARGO_PKG_VERSION"))
}

fn completions(directory: &Path) -> anyhow::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let place = directory.join(shell.to_string());
        fs::create_dir_all(&place)?;
        generate_to(shell, &mut haul_client::cli::command(), "haul", &place)?;
        generate_to(shell, &mut haul_server::cli::command(), "hauld", &place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn man_pages_have_every_command_and_flag() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        man_pages(directory.path())?;
        let read = |page: &str| {
            let text = fs::read_to_string(directory.path().join(page)).context(page.to_owned());
            anyhow::Ok(text?.replace("\\-", "-"))
        };
        let haul = read("man1/haul.1")?;
        assert!(haul.contains(".TH haul 1"), "{haul}");
        for command in haul_client::cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(haul.contains(&format!("haul-{name}(1)")), "{name} is not in haul.1");
            let page = read(&format!("man1/haul-{name}.1"))?;
            assert!(page.contains(&format!("haul {name}")), "{name}: {page}");
            // Options of other programs are taken, and not recommended.
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for long in shown.filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{long}")), "{name} --{long}");
            }
        }
        assert!(read("man8/hauld.8")?.contains("--symlinks"));
        Ok(())
    }

    /// Bash is on every machine that builds haul; users get the completion as bash reads it.
    #[test]
    fn bash_completes_commands_and_flags() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        completions(directory.path())?;
        let script = directory.path().join("bash/haul.bash");
        let complete = |words: &str| -> anyhow::Result<String> {
            let count = words.split(' ').count() - 1;
            let text = format!(
                "source {}; COMP_WORDS=({words}); COMP_CWORD={count}; _haul haul '{}' ''; echo ${{COMPREPLY[@]}}",
                script.display(),
                words.split(' ').next_back().unwrap_or_default(),
            );
            let output = Command::new("bash").args(["-c", &text]).output()?;
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        assert_eq!(complete("haul sy")?, "sync");
        assert_eq!(complete("haul sync --che")?, "--checksum");
        for other in ["zsh/_haul", "fish/haul.fish", "zsh/_hauld", "fish/hauld.fish"] {
            let text = fs::read_to_string(directory.path().join(other))?;
            assert!(text.contains("symlinks") || text.contains("receipt"), "{other}");
        }
        Ok(())
    }
}
