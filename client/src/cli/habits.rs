//! Options that people know from rsync, scp and curl. If haul does anyway what an option asks for, the option is
//! accepted in silence. The other ones are wrong usage, and the message says what to use instead.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::habits_table::{ALIASES, HABITS, Habit, Says, Takes};
use super::later;
use super::leaked;
use super::order::options_first;
use super::raw;
use super::settings::Settings;
use super::settings_rules::with_switches;
use super::usage::{Unread, Usage};
use crate::net::destination::Destination;

/// The commands that take these options.
const COMMANDS: [&str; 5] = ["put", "sync", "publish", "verify", "get"];

/// Reads a command line, in which these options may be.
pub(super) fn parse<P: CommandFactory + FromArgMatches>(
    words: impl IntoIterator<Item = OsString>,
    settings: &Settings,
) -> Result<P, Unread> {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(told) = leaked::token(&words) {
        return Err(Unread::Usage(Usage(told.to_owned())));
    }
    // All options of all commands are declared only for messages and helps, which may name them.
    let named = words.get(at_command(&words)).and_then(|word| word.to_str()).unwrap_or_default();
    let named_only = || later::only(named, declaration::<P>);
    match read(&named_only, &words, settings, Some(named)) {
        Ok(read) => Ok(read),
        Err(Unread::Clap(error)) if error.kind() == ErrorKind::DisplayVersion => Err(error.into()),
        Err(_) => read(&declaration::<P>, &words, settings, None),
    }
}

/// Reads a command line by a declaration; `named`: the only command of which that has the options.
fn read<P: FromArgMatches>(
    declaration: &dyn Fn() -> Command,
    words: &[OsString],
    settings: &Settings,
    named: Option<&str>,
) -> Result<P, Unread> {
    let mut command = declaration();
    let ordered = ordered(&command, words);
    // Reading completes the declaration, which the help needs.
    let mut matches = match command.try_get_matches_from_mut(&ordered) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            return Err(fetches(words).map_or_else(|| error.into(), Unread::Usage));
        }
        Err(error) if error.kind() == ErrorKind::InvalidUtf8 => {
            return Err(raw::told(words).map_or_else(|| error.into(), Unread::Usage));
        }
        Err(error) => return Err(help(&mut command, words, &error).unwrap_or(error.into())),
    };
    if named.is_some_and(|named| matches.subcommand_name() != Some(named)) {
        return Err(command.error(ErrorKind::InvalidSubcommand, "another command").into());
    }
    let mut told: Vec<String> = matches.subcommand().map(told).unwrap_or_default();
    told.extend(port(words));
    if !told.is_empty() {
        return Err(Unread::Usage(Usage(told.join("\n"))));
    }
    if settings.may_count(&command, &matches) {
        // The settings can't change a declaration that is complete.
        let mut command = settings.apply(declaration(), &matches).map_err(Unread::Usage)?;
        matches = command.try_get_matches_from_mut(ordered)?;
    }
    P::from_arg_matches_mut(&mut matches).map_err(Unread::from)
}

/// The declaration of a command line in which these options may be.
fn declaration<P: CommandFactory>() -> Command {
    let command = P::command();
    let has = |name: &&str| later::is_wanted(name) && command.find_subcommand(name).is_some();
    let known: Vec<_> = COMMANDS.into_iter().filter(has).collect();
    let teach = |command: Command, name| command.mut_subcommand(name, |it| taught(name, it));
    with_switches(known.into_iter().fold(command, teach))
}

/// The place where a command line has its command, as far as one can tell before it is read.
fn at_command(words: &[OsString]) -> usize {
    let first = match words.get(1).map(|word| word.to_string_lossy()) {
        Some(word) if word == "--config" => 3,
        Some(word) if word.starts_with("--config=") => 2,
        _ => 1,
    };
    // The lines of the shell begin with the command.
    if is_taught(words.first()) { 0 } else { first }
}

/// Whether a word is one of these commands.
fn is_taught(word: Option<&OsString>) -> bool {
    word.is_some_and(|word| COMMANDS.iter().any(|name| word == name))
}

/// The words with the options of one of these commands before its sources and DEST.
fn ordered(command: &Command, words: &[OsString]) -> Vec<OsString> {
    let at = at_command(words);
    let name = words.get(at).filter(|word| is_taught(Some(word)));
    let Some(inner) = name.and_then(|name| command.find_subcommand(name)) else {
        return words.to_vec();
    };
    let for_all = command.get_arguments().filter(|arg| arg.is_global_set()).cloned();
    let inner = inner.clone().args(for_all);
    let (before, after) = words.split_at(at + 1);
    [before.to_vec(), options_first(&inner, after)].concat()
}

/// `-h` is an option of rsync, and the help if there is nothing to send.
fn help(command: &mut Command, words: &[OsString], error: &clap::Error) -> Option<Unread> {
    let is_short =
        error.kind() == ErrorKind::MissingRequiredArgument && words.iter().any(|word| word == "-h");
    let name = words.iter().find_map(|word| COMMANDS.into_iter().find(|name| word == name));
    let command = command.find_subcommand_mut(name.filter(|_| is_short)?)?;
    Some(Unread::Help(command.render_help().to_string()))
}

/// Another word for a command that sends files, or brings them back from a server.
fn fetches(words: &[OsString]) -> Option<Usage> {
    let word = words.get(1)?;
    let is_one_of = |names: &[&'static str]| names.iter().copied().find(|name| word == name);
    if let Some(name) = is_one_of(&["download", "fetch", "pull"]) {
        return Some(Usage(format!("`{name}`: to bring files here, write haul get HOST/PATH DIR")));
    }
    let name = is_one_of(&["copy", "cp", "push", "send", "upload"])?;
    Some(Usage(format!(
        "`{name}`: to send files, write haul put SRC HOST/DIR; to bring files here, haul get HOST/PATH DIR"
    )))
}

/// The port of scp, curl or ssh: a number behind `-P` or `-p` would be a source, and all others would go to another port.
fn port(words: &[OsString]) -> Option<String> {
    let mut pairs = words.windows(2).take_while(|pair| pair[0] != "--");
    let text = pairs.find_map(|pair| {
        let text = pair[1].to_str().filter(|text| text.parse::<u16>().is_ok())?;
        let is_port = (pair[0] == "-P" || pair[0] == "-p") && !Path::new(text).exists();
        is_port.then_some(text)
    });
    let is_ssh = |word: &OsString| {
        let place = word.to_str().and_then(|text| text.parse::<Destination>().ok());
        place.is_some_and(|place| place.is_over_ssh())
    };
    text.map(|text| match words.iter().skip(2).any(is_ssh) {
        true => {
            format!("`{text}`: the port of ssh is part of the place: write ssh://HOST:{text}/PATH")
        }
        false => format!("`{text}`: a port is part of the last word: write HOST:{text}"),
    })
}

/// A command that knows these options as well.
fn taught(name: &str, mut command: Command) -> Command {
    command = command
        .disable_help_flag(true)
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print help"));
    let flags: Vec<_> = command.get_arguments().filter(|arg| is_flag(arg)).cloned().collect();
    for flag in flags {
        // `-vv` is no more than `-v`.
        let id = flag.get_id().clone();
        command = command.mut_arg(&id, |arg| arg.overrides_with(id.clone()));
    }
    for (id, alias) in ALIASES {
        if command.get_arguments().any(|arg| arg.get_id() == id) {
            command = command.mut_arg(id, |arg| arg.alias(*alias));
        }
    }
    let here = HABITS.iter().filter(|habit| habit.only.is_empty() || habit.only.contains(&name));
    for habit in here {
        let short = habit.short.chars().next().filter(|&short| !has_short(&command, short));
        let long = Some(habit.long).filter(|long| !long.is_empty() && !has_long(&command, long));
        if short.is_none() && long.is_none() {
            continue;
        }
        let arg = Arg::new(habit.id).hide(true);
        let arg = match habit.takes {
            Takes::Nothing => arg.action(ArgAction::Count),
            Takes::Value => arg.action(ArgAction::Append).allow_hyphen_values(true),
        };
        let arg = short.into_iter().fold(arg, Arg::short);
        command = command.arg(long.into_iter().fold(arg, Arg::long));
    }
    command
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn has_short(command: &Command, short: char) -> bool {
    command.get_arguments().any(|arg| arg.get_short() == Some(short))
}

fn has_long(command: &Command, long: &str) -> bool {
    let has = |arg: &Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(long) || aliases.contains(&long)
    };
    command.get_arguments().any(has)
}

/// One line for each option of a command line that haul does not do.
fn told((name, matches): (&str, &ArgMatches)) -> Vec<String> {
    let known: Vec<&str> = matches.ids().map(clap::Id::as_str).collect();
    let is_given = |habit: &&Habit| {
        known.contains(&habit.id)
            && (habit.only.is_empty() || habit.only.contains(&name))
            && matches.value_source(habit.id) == Some(ValueSource::CommandLine)
    };
    HABITS.iter().filter(is_given).filter_map(|habit| told_of(habit, matches)).collect()
}

fn told_of(habit: &Habit, matches: &ArgMatches) -> Option<String> {
    let instead = match habit.says {
        Says::Same => return None,
        Says::Instead(text) => text,
        Says::SameFor(words, text) => {
            let mut values = matches.get_many::<String>(habit.id)?.flat_map(|all| all.split(','));
            let is_same = |value: &str| words.iter().any(|word| value.starts_with(word));
            if values.all(is_same) {
                return None;
            }
            text
        }
    };
    let name = match (habit.short, habit.long) {
        (short, "") => format!("-{short}"),
        ("", long) => format!("--{long}"),
        (short, long) => format!("-{short} (--{long})"),
    };
    Some(format!("{name}: {instead}"))
}

/// The value of rsync's `--bwlimit`: bytes a second, in units of 1024 bytes if none is given; 0 is no limit.
pub(super) fn bwlimit(text: &str) -> Result<u64, String> {
    let has_unit = |units: &[char]| text.ends_with(units);
    let text = match text {
        _ if has_unit(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.']) => {
            format!("{text}KiB")
        }
        _ if has_unit(&['k', 'K', 'm', 'M', 'g', 'G', 't', 'T']) => format!("{text}iB"),
        text => text.to_owned(),
    };
    match parse_size::parse_size(&text) {
        Ok(1..1000) => Err(String::from("less than 1 KB a second, for which no server waits")),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use crate::cli::arguments::{self, Cli};

    fn parsed(line: &str) -> Result<Cli, Unread> {
        parse(line.split(' ').map(OsString::from), &Settings::default())
    }

    fn told(line: &str) -> String {
        match parsed(line) {
            Err(Unread::Usage(usage)) => usage.0,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_with_these_options_are_consistent() {
        for name in COMMANDS {
            let command = Cli::command().mut_subcommand(name, |command| taught(name, command));
            command.debug_assert();
        }
    }

    #[test]
    fn option_that_asks_for_what_haul_does_is_accepted() {
        for line in [
            "haul put -avP a box:1",
            "haul put -rlptvvh --progress --partial --info=progress2,flist2 --numeric-ids a box:1",
            "haul sync -av --delete-after --times --perms --links copy a box:1",
            "haul sync -n -n --from0 --files-from x a box:1",
            "haul put --remove-source-files --bwlimit 1000 -q --silent a box:1",
            "haul verify -avnc a box:1",
            "haul publish -a --delete a box:1/d",
            "haul put -e ssh a box:d",
            "haul sync --rsh ssh a box:d",
        ] {
            assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line));
        }
    }

    #[test]
    fn option_between_the_sources_and_the_destination_is_no_destination() {
        for line in [
            "haul put a --as z box:1",
            "haul put a b -v box:1",
            "haul sync a -avn --exclude x b --bwlimit=5 box:1",
            "haul publish a -n box:1/d",
            "haul put - --as z box:1",
            "haul verify a -v -- box:1",
            "haul put -v -- a box:1",
        ] {
            assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line));
        }
        let line = "haul put b -q --as x a -- -y box:1";
        let parsed = parsed(line);
        let Ok(Cli { command: arguments::Command::Put(put), .. }) = parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!(put.sources, ["b", "a", "./-y"].map(PathBuf::from));
        assert_eq!(put.options.rename.as_deref(), Some("x"));
    }

    #[test]
    fn number_behind_the_letter_of_a_port_is_no_source() {
        let right = "`65000`: a port is part of the last word: write HOST:65000";
        assert_eq!(told("haul put -P 65000 dir box"), right);
        assert_eq!(told("haul sync -p 65000 dir box"), right);
        let right = "`22`: the port of ssh is part of the place: write ssh://HOST:22/PATH";
        assert_eq!(told("haul put -P 22 dir box:dir"), right);
        for line in ["haul put -P -- 65000 box", "haul put -aP dir box"] {
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn option_that_haul_has_no_use_for_is_named_by_its_letter_with_what_to_use() {
        let told_of = told("haul put -avzuP --rsync-path x a box:1");
        let names: Vec<_> = told_of.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["--rsync-path", "-z (--compress)", "-u (--update)"]);
        assert!(told("haul put --delete a box:1").contains("haul sync --delete"));
        assert!(told("haul put -k a box:1").contains("haul trust HOST"));
        assert!(told("haul sync --info=progress2,name a box:1").contains("-v"));
    }

    #[test]
    fn short_h_is_the_help_only_if_nothing_is_to_be_sent() {
        assert!(matches!(parsed("haul put -h"), Err(Unread::Help(_))));
        assert!(matches!(parsed("haul sync -vh"), Err(Unread::Clap(_))));
        assert!(parsed("haul put -avh a box:1").is_ok());
    }

    #[test]
    fn bwlimit_has_the_units_of_rsync() {
        for (text, bytes) in
            [("100", 102_400), ("1.5m", 1_572_864), ("2MB", 2_000_000), ("1M", 1_048_576), ("0", 0)]
        {
            assert_eq!(bwlimit(text), Ok(bytes), "{text}");
        }
        assert!(bwlimit("fast").is_err() && bwlimit("1B").is_err());
    }
}
