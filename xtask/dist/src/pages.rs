//! Man pages and completions, made from the declarations of the command lines.

use anyhow::Context;
use clap::{Arg, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::VERSION;
use crate::files::Files;

/// The beginning of the variables that are settings.
const VARIABLE: &str = "HAULD_";

/// The option that names the file of settings is none of them.
const FILE: &str = "config";

/// The pages of haul, of each of its commands, as `man1/haul-put.1`, and of its file of settings.
pub(crate) fn of_haul() -> anyhow::Result<Files> {
    let mut pages = Files::default();
    add(&mut pages, &haul_client::cli::command(), "haul", "haul", "1")?;
    pages.add("man5/haul-config.5", 0o644, settings_of_haul());
    Ok(pages)
}

/// The pages of hauld, of its commands, and of its file of settings.
pub(crate) fn of_hauld() -> anyhow::Result<Files> {
    let mut pages = Files::default();
    add(&mut pages, &haul_server::cli::command(), "hauld", "hauld", "8")?;
    let page = settings(&haul_server::cli::command());
    pages.add("man5/hauld.toml.5", 0o644, page);
    Ok(pages)
}

/// The page of a command, and of all below it. `typed`: as a user types it.
fn add(
    pages: &mut Files,
    command: &Command,
    name: &str,
    typed: &str,
    section: &str,
) -> anyhow::Result<()> {
    let own = command.clone().name(name.to_owned()).bin_name(typed);
    let own = own.disable_help_subcommand(true).version(VERSION);
    let mut page = Vec::new();
    Man::new(own).section(section).manual("haul").render(&mut page)?;
    pages.add(format!("man{section}/{name}.{section}"), 0o644, page);
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let (name, typed) =
            (format!("{name}-{}", inner.get_name()), format!("{typed} {}", inner.get_name()));
        add(pages, inner, &name, &typed, section)?;
    }
    Ok(())
}

/// The options of hauld that a file may set.
fn settable(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
    arguments.filter_map(|argument| {
        let is_setting = argument.get_env()?.to_str()?.starts_with(VARIABLE);
        let name = argument.get_long().filter(|name| is_setting && *name != FILE)?;
        Some((name, argument))
    })
}

/// `hauld.toml(5)`.
fn settings(command: &Command) -> String {
    let mut page = Roff::default();
    page.control("TH", ["hauld.toml", "5", "", &format!("hauld {VERSION}"), "haul"]);
    page.control("SH", ["NAME"]).text([roman("hauld.toml - settings of hauld(8)")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("hauld --config"), roman(" "), italic("FILE")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "A file of settings in TOML. Each key is the name of an option of hauld(8) without dashes in front; sizes and times \
         are texts in quotes, numbers, true and false need none. listen, http-host, http-origin \
         and trusted-proxy take several values.",
        "An option on the command line counts first, then the variable HAULD_NAME of the environment, then the file, then \
         the default. A key that is no setting, and a value that no option takes, is an error: hauld tells all errors, and \
         serves nothing.",
        "hauld config check FILE tells the errors of a file. On SIGHUP hauld reads the file again.",
    ] {
        page.control("PP", []).text([roman(paragraph)]);
    }
    page.control("SH", ["SETTINGS"]);
    for (name, argument) in settable(command) {
        setting(&mut page, name, argument);
    }
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    page.text([roman("root = \"/srv/haul\"\nlisten = [\"0.0.0.0:8080\"]\nkeep-free = \"10GiB\"")]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]).text([roman("hauld(8), hauld-config(8)")]);
    page.render()
}

/// The entry of one setting.
fn setting(page: &mut Roff, name: &str, argument: &Arg) {
    page.control("TP", []);
    let mut words = vec![bold(name)];
    for value in argument.get_value_names().unwrap_or_default() {
        words.extend([roman(" = "), italic(value.as_str())]);
    }
    page.text(words).text(help(argument));
}

/// `haul-config(5)`.
fn settings_of_haul() -> String {
    let mut page = Roff::default();
    page.control("TH", ["haul-config", "5", "", &format!("haul {VERSION}"), "haul"]);
    page.control("SH", ["NAME"]).text([roman("haul-config - settings of haul(1)")]);
    page.control("SH", ["SYNOPSIS"]).text([italic("~/.config/haul/config.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "A file of settings in TOML: config.toml in HAUL_CONFIG_DIR, or else in haul below XDG_CONFIG_HOME. --config FILE or HAUL_CONFIG \
         names another file; an empty name is none. A file that others can change is refused.",
        "[alias] names destinations: after box = \"alice@box.example:9000/photos\", the words box, box/a and box:a mean that \
         destination and places below it. A source on this machine is never an alias.",
        "[defaults] sets options for all commands that have them, [put], [get], [sync] and so on for one command each. A key is the name \
         of an option without dashes in front; sizes and times are texts in quotes, numbers, true and false need none.",
        "An option on the command line counts first, then the variable HAUL_NAME of the environment (HAUL_RETRY_FOR for \
         retry-for), then the table of the command, then [defaults], then the default. A key that is no setting, and a value that no \
         option takes, is an error: haul tells all errors, and sends nothing.",
        "Of exclude, include and exclude-from, the rules of exclude go first, then those of include, then those of exclude-from, in \
         whichever order, table or variable they stand. The last rule that fits decides, so include makes exceptions from exclude. Rules \
         of the command line come after those of the settings.",
        "haul config check tells the errors of the file, haul config show what is set and where.",
    ] {
        page.control("PP", []).text([roman(paragraph)]);
    }
    page.control("SH", ["SETTINGS"]);
    for (name, argument, commands) in haul_client::cli::settings() {
        setting(&mut page, &name, &argument);
        let commands = format!("Commands: {}.", commands.join(", "));
        page.control("br", []).text([roman(commands)]);
    }
    page.control("SH", ["EXAMPLE"]).control("nf", []);
    page.text([roman(
        "[alias]\nbox = \"alice@box.example:9000/photos\"\n\n[defaults]\ntimeout = \"2m\"\n\n[put]\nverbose = true",
    )]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]).text([roman("haul(1), haul-config(1)")]);
    page.render()
}

/// The help of an option, and its default.
fn help(argument: &Arg) -> Vec<Inline> {
    let help = argument.get_long_help().or(argument.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() {
        text.push_str(&format!(" [default: {}]", defaults.join(",")));
    }
    vec![roman(text)]
}

/// The completions of a program below `share`, where each shell looks for them. Debian's zsh looks into another directory.
pub(crate) fn completions(mut command: Command, name: &str, zsh: &str) -> anyhow::Result<Files> {
    let mut files = Files::default();
    for (shell, path) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (Shell::Zsh, format!("zsh/{zsh}/_{name}")),
        (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut command, name, &mut text);
        let text = String::from_utf8(text).context("a completion that is no text")?;
        files.add(path, 0o644, text);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command as Process;

    use super::*;

    fn read(files: &Files, wanted: &str) -> String {
        let (_, _, bytes) = files.files().find(|(path, ..)| *path == wanted).expect(wanted);
        String::from_utf8(bytes.to_vec()).unwrap().replace("\\-", "-")
    }

    /// Every command below one has a page that has all of its options.
    fn has_all(pages: &Files, command: &Command, name: &str, section: &str) {
        let page = read(pages, &format!("man{section}/{name}.{section}"));
        assert!(page.contains(&name.replace('-', " ")), "{name}: {page}");
        // Options of other programs are taken, and not recommended.
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        for long in shown.filter_map(Arg::get_long) {
            assert!(page.contains(&format!("--{long}")), "{name} --{long}");
        }
        // A command that hauld starts for itself is for nobody else.
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let inner_name = format!("{name}-{}", inner.get_name());
            assert!(
                page.contains(&format!("{inner_name}({section})")),
                "not in {name}: {inner_name}"
            );
            has_all(pages, inner, &inner_name, section);
        }
    }

    #[test]
    fn every_command_has_a_page_with_all_of_its_options() -> anyhow::Result<()> {
        let haul = of_haul()?;
        assert!(read(&haul, "man1/haul.1").contains(".TH haul 1"));
        has_all(&haul, &haul_client::cli::command(), "haul", "1");
        let hauld = of_hauld()?;
        assert!(read(&hauld, "man8/hauld-user-add.8").contains("hauld user add"));
        has_all(&hauld, &haul_server::cli::command(), "hauld", "8");
        Ok(())
    }

    /// `hauld config show` tells every setting; the page has each of them and no other.
    #[test]
    fn page_of_the_settings_has_every_setting() -> anyhow::Result<()> {
        let mut shown = Vec::new();
        haul_server::cli::SettingsCommand::Show { file: None }.run(&mut shown)?;
        let shown = String::from_utf8(shown)?;
        let known: BTreeSet<_> = shown
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
            .map(|(name, _)| name.trim())
            .collect();
        let command = haul_server::cli::command();
        let told: BTreeSet<_> = settable(&command).map(|(name, _)| name).collect();
        let missing: Vec<_> = known.difference(&told).collect();
        assert!(known.len() > 10 && missing.is_empty(), "{missing:?} of {shown}");
        let page = read(&of_hauld()?, "man5/hauld.toml.5");
        for name in told {
            assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}: {page}");
        }
        Ok(())
    }

    /// The page has every key that a file may have, with its commands.
    #[test]
    fn page_of_the_client_has_every_setting() -> anyhow::Result<()> {
        let page = read(&of_haul()?, "man5/haul-config.5");
        let settings = haul_client::cli::settings();
        assert!(settings.len() > 10);
        for (name, _, commands) in settings {
            assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}: {page}");
            assert!(page.contains(&format!("Commands: {}.", commands.join(", "))), "{name}");
        }
        assert!(!page.contains("\\fBdelete\\fR") && page.contains("\\fBtimeout\\fR"), "{page}");
        Ok(())
    }

    /// Bash is on every machine that builds haul; users get the completion as bash reads it.
    #[test]
    fn bash_completes_commands_and_flags() -> anyhow::Result<()> {
        let files = completions(haul_client::cli::command(), "haul", "site-functions")?;
        let place = tempfile::tempdir()?;
        let script = place.path().join("haul");
        std::fs::write(&script, read(&files, "bash-completion/completions/haul"))?;
        let complete = |words: &str| -> anyhow::Result<String> {
            let count = words.split(' ').count() - 1;
            let text = format!(
                "source {}; COMP_WORDS=({words}); COMP_CWORD={count}; _haul haul '{}' ''; echo ${{COMPREPLY[@]}}",
                script.display(),
                words.split(' ').next_back().unwrap_or_default(),
            );
            let output = Process::new("bash").args(["-c", &text]).output()?;
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        assert_eq!(complete("haul sy")?, "sync");
        assert_eq!(complete("haul sync --che")?, "--checksum");
        let hauld = completions(haul_server::cli::command(), "hauld", "site-functions")?;
        for (files, name) in [(&files, "haul"), (&hauld, "hauld")] {
            for path in [
                format!("zsh/site-functions/_{name}"),
                format!("fish/vendor_completions.d/{name}.fish"),
            ] {
                let text = read(files, &path);
                assert!(text.contains("symlinks") || text.contains("receipt"), "{path}");
            }
        }
        Ok(())
    }
}
