//! Options that people know from rsync, scp and curl. If haul does anyway what an option asks for, the option is
//! accepted in silence. The other ones are wrong usage, and the message says what to use instead.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::usage::{Unread, Usage};

/// The commands that take these options.
const COMMANDS: [&str; 4] = ["put", "sync", "publish", "verify"];

/// An option of another program.
struct Habit {
    id: &'static str,
    /// One letter, or none.
    short: &'static str,
    /// A word, or none.
    long: &'static str,
    /// Whether a value follows.
    takes: Takes,
    /// The commands of haul that it is about; empty for all.
    only: &'static [&'static str],
    says: Says,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}

/// What comes of an option.
enum Says {
    /// haul does that anyway.
    Same,
    /// haul does that anyway for values that begin with one of these words, and otherwise does not.
    SameFor(&'static [&'static str], &'static str),
    /// haul does not do that; what to use.
    Instead(&'static str),
}

use Says::{Instead, Same, SameFor};
use Takes::{Nothing, Value};

macro_rules! habit {
    ($short:literal, $long:literal, $takes:expr, $says:expr) => {
        habit!($short, $long, $takes, [], $says)
    };
    ($short:literal, $long:literal, $takes:expr, $only:expr, $says:expr) => {
        Habit {
            id: concat!("habit:", $short, $long),
            short: $short,
            long: $long,
            takes: $takes,
            only: &$only,
            says: $says,
        }
    };
}

const DELETE: Says = Instead("`haul put` removes nothing at the server: use `haul sync --delete`");
const DELETE_LATE: Says =
    Instead("haul removes entries when all else is committed, and not earlier: use --delete");
const TOLD: Says = Instead("verify changes nothing, and tells extra entries anyway: leave it out");
const OWNERS: Says =
    Instead("haul carries no owners and groups: files belong to hauld's user; leave it out");
const SPECIAL: Says = Instead("haul carries no devices, sockets and FIFOs: leave it out");
const EXTENDED: Says = Instead("haul carries no ACLs and extended attributes: leave it out");
const LINKS: Says =
    Instead("use --links copy, follow or skip; on the server, hauld --symlinks inside");
const SSH: Says =
    Instead("haul can't use ssh yet: run hauld on the other machine, and write HOST/DIR");
const RULES: Says = Instead("use --exclude, --include, --exclude-from and .haulignore files");
const TAKEN_OVER: Says =
    Instead("`haul publish` takes unchanged files over from the present version by itself");
const RESUMES: Says =
    Instead("the same command goes on where an interrupted upload stopped: leave it out");
const ATTRIBUTES: Says = Instead("haul always carries modes and mtimes: leave it out");
const NAMES: Says = Instead("use -v to name each file, -n to be told the reasons, or --json");
const EQUAL: Says =
    Instead("use `haul sync`, with --checksum to compare bytes, or `haul put` to send all");
const TIMEOUT: Says = Instead("use --timeout TIME");
const SIZES: Says =
    Instead("let find choose: find DIR -size ... | haul put --files-from - DIR DEST");
const FAMILY: Says = Instead("write an address as HOST, such as 127.0.0.1 or [::1]");
const USERS: Says = Instead("hauld knows no users and passwords yet: leave it out");
const COMPRESS: Says = Instead("haul does not compress: leave it out");

/// All of them. A name that a command of haul has itself means what haul says.
const HABITS: &[Habit] = &[
    // What haul does anyway.
    habit!("a", "archive", Nothing, Same),
    habit!("r", "recursive", Nothing, Same),
    habit!("l", "links", Nothing, Same),
    habit!("p", "perms", Nothing, Same),
    habit!("E", "executability", Nothing, Same),
    habit!("t", "times", Nothing, Same),
    habit!("P", "", Nothing, Same),
    habit!("#", "progress-bar", Nothing, Same),
    habit!("", "progress", Nothing, Same),
    habit!("", "partial", Nothing, Same),
    habit!("", "partial-dir", Value, Same),
    habit!("h", "human-readable", Nothing, Same),
    habit!("W", "whole-file", Nothing, Same),
    habit!("", "numeric-ids", Nothing, Same),
    habit!("", "no-owner", Nothing, Same),
    habit!("", "no-group", Nothing, Same),
    habit!("", "no-compress", Nothing, Same),
    habit!("", "no-motd", Nothing, Same),
    habit!("", "inc-recursive", Nothing, Same),
    habit!("", "no-inc-recursive", Nothing, Same),
    habit!("", "secluded-args", Nothing, Same),
    habit!("", "protect-args", Nothing, Same),
    habit!("", "fsync", Nothing, Same),
    habit!("", "mkpath", Nothing, Same),
    habit!("", "create-dirs", Nothing, Same),
    habit!("c", "checksum", Nothing, ["verify"], Same),
    habit!("n", "dry-run", Nothing, ["verify"], Same),
    habit!("", "delete", Nothing, ["publish"], Same),
    habit!(
        "",
        "info",
        Value,
        SameFor(&["progress", "flist"], "use -v to name each file, and --stats for all counts")
    ),
    // How haul gets there.
    habit!("e", "rsh", Value, SSH),
    habit!("", "rsync-path", Value, SSH),
    habit!("z", "compress", Nothing, COMPRESS),
    habit!("", "compress-level", Value, COMPRESS),
    habit!("", "compress-choice", Value, COMPRESS),
    habit!("", "port", Value, Instead("write the port in DEST: HOST:PORT/PATH")),
    habit!("4", "ipv4", Nothing, FAMILY),
    habit!("6", "ipv6", Nothing, FAMILY),
    habit!("", "contimeout", Value, TIMEOUT),
    habit!("", "connect-timeout", Value, TIMEOUT),
    habit!("", "max-time", Value, TIMEOUT),
    habit!("", "password-file", Value, USERS),
    habit!("", "user", Value, USERS),
    habit!(
        "",
        "insecure",
        Nothing,
        Instead("haul encrypts nothing yet, so it asks for no certificate")
    ),
    habit!("", "upload-file", Value, Instead("write the file as SRC: haul put FILE DEST")),
    // Which entries.
    habit!("", "delete", Nothing, ["put"], DELETE),
    habit!("", "delete-before", Nothing, ["put"], DELETE),
    habit!("", "delete-during", Nothing, ["put"], DELETE),
    habit!("", "delete-after", Nothing, ["put"], DELETE),
    habit!("", "delete-delay", Nothing, ["put"], DELETE),
    habit!("", "del", Nothing, ["put"], DELETE),
    habit!("", "delete-before", Nothing, ["sync"], DELETE_LATE),
    habit!("", "delete-during", Nothing, ["sync"], DELETE_LATE),
    habit!("", "del", Nothing, ["sync"], DELETE_LATE),
    habit!("", "delete", Nothing, ["verify"], TOLD),
    habit!(
        "",
        "delete-excluded",
        Nothing,
        Instead(
            "haul never removes what a rule leaves out: run `haul sync --delete` without the rule"
        )
    ),
    habit!("", "ignore-errors", Nothing, Instead("use --force-delete, with --delete")),
    habit!("", "remove-source-files", Nothing, ["sync"], Instead("use `haul put --remove-source`")),
    habit!("f", "filter", Value, RULES),
    habit!("F", "", Nothing, RULES),
    habit!("", "include-from", Value, Instead("use --exclude-from, with `!` before each pattern")),
    habit!(
        "C",
        "cvs-exclude",
        Nothing,
        Instead(
            "for rsync's -C use --exclude or a .haulignore file; for scp's: haul does not compress"
        )
    ),
    habit!("m", "prune-empty-dirs", Nothing, Instead("empty directories are sent; use --exclude")),
    habit!("d", "dirs", Nothing, Instead("use `--exclude '/*/*'`, or --files-from")),
    habit!("", "max-size", Value, SIZES),
    habit!("", "min-size", Value, SIZES),
    habit!(
        "u",
        "update",
        Nothing,
        Instead(
            "haul does not ask which file is newer: `haul sync` sends files that differ, --ignore-existing \
             only those that are missing"
        )
    ),
    habit!(
        "",
        "existing",
        Nothing,
        Instead("haul sends entries that are missing, too; use --exclude")
    ),
    habit!("I", "ignore-times", Nothing, EQUAL),
    habit!("", "size-only", Nothing, EQUAL),
    habit!("", "modify-window", Value, EQUAL),
    habit!(
        "c",
        "checksum",
        Nothing,
        ["put"],
        Instead(
            "`haul put` sends every file, and verifies it; `haul sync --checksum` compares bytes first"
        )
    ),
    habit!(
        "R",
        "relative",
        Nothing,
        Instead("write the directories in DEST, as in box/a/b, or name entries with --files-from")
    ),
    // What becomes of them.
    habit!("o", "owner", Nothing, OWNERS),
    habit!("g", "group", Nothing, OWNERS),
    habit!("", "chown", Value, OWNERS),
    habit!("", "usermap", Value, OWNERS),
    habit!("", "groupmap", Value, OWNERS),
    habit!("D", "", Nothing, SPECIAL),
    habit!("", "devices", Nothing, SPECIAL),
    habit!("", "specials", Nothing, SPECIAL),
    habit!("A", "acls", Nothing, EXTENDED),
    habit!("X", "xattrs", Nothing, EXTENDED),
    habit!("", "chmod", Value, ATTRIBUTES),
    habit!("", "no-perms", Nothing, ATTRIBUTES),
    habit!("", "no-times", Nothing, ATTRIBUTES),
    habit!("O", "omit-dir-times", Nothing, ATTRIBUTES),
    habit!("J", "omit-link-times", Nothing, ATTRIBUTES),
    habit!(
        "H",
        "hard-links",
        Nothing,
        Instead("each name becomes a file of its own: leave it out")
    ),
    habit!("S", "sparse", Nothing, Instead("holes become zeros: leave it out")),
    habit!("L", "copy-links", Nothing, Instead("use --links follow")),
    habit!("", "no-links", Nothing, Instead("use --links skip")),
    habit!("", "copy-unsafe-links", Nothing, LINKS),
    habit!("", "safe-links", Nothing, LINKS),
    habit!(
        "k",
        "copy-dirlinks",
        Nothing,
        Instead("for rsync's -k use --links follow; for curl's: haul encrypts nothing yet")
    ),
    habit!("K", "keep-dirlinks", Nothing, Instead("no symlink on the server is ever followed")),
    habit!(
        "",
        "inplace",
        Nothing,
        Instead("each file appears whole, and none is written in place: leave it out")
    ),
    habit!("", "append", Nothing, RESUMES),
    habit!("", "append-verify", Nothing, RESUMES),
    habit!("", "continue-at", Value, RESUMES),
    habit!(
        "b",
        "backup",
        Nothing,
        Instead("`haul publish` keeps the version before, --rollback brings it back")
    ),
    habit!("", "link-dest", Value, TAKEN_OVER),
    habit!("", "copy-dest", Value, TAKEN_OVER),
    habit!("", "compare-dest", Value, TAKEN_OVER),
    habit!("y", "fuzzy", Nothing, TAKEN_OVER),
    habit!(
        "T",
        "temp-dir",
        Nothing,
        Instead(
            "for curl's -T write the file as SRC; for rsync's: the server stages files by itself"
        )
    ),
    // What is told.
    habit!(
        "s",
        "",
        Nothing,
        Instead("use -q to be told failures only; names are never expanded at the server")
    ),
    habit!("i", "itemize-changes", Nothing, NAMES),
    habit!("", "out-format", Value, NAMES),
    habit!("", "log-file", Value, NAMES),
    habit!("", "list-only", Nothing, Instead("use `haul ls DEST`")),
];

/// Names of other programs for options that haul has itself: its id, and the name.
const ALIASES: &[(&str, &str)] = &[
    ("delete", "delete-after"),
    ("delete", "delete-delay"),
    ("remove_source", "remove-source-files"),
    ("null", "from0"),
    ("quiet", "silent"),
    ("retries", "retry"),
];

/// Reads a command line, in which these options may be.
pub(super) fn parse<P: CommandFactory + FromArgMatches>(
    words: impl IntoIterator<Item = OsString>,
) -> Result<P, Unread> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = P::command();
    for name in COMMANDS.into_iter().filter(|name| P::command().find_subcommand(name).is_some()) {
        command = command.mut_subcommand(name, |command| taught(name, command));
    }
    let mut matches = match command.try_get_matches_from_mut(&words) {
        Ok(matches) => matches,
        Err(error) => return Err(help(&mut command, &words, &error).unwrap_or(error.into())),
    };
    let told: Vec<String> = matches.subcommand().map(told).unwrap_or_default();
    if !told.is_empty() {
        return Err(Unread::Usage(Usage(told.join("\n"))));
    }
    P::from_arg_matches_mut(&mut matches).map_err(Unread::from)
}

/// `-h` is an option of rsync, and the help if there is nothing to send.
fn help(command: &mut Command, words: &[OsString], error: &clap::Error) -> Option<Unread> {
    let is_short =
        error.kind() == ErrorKind::MissingRequiredArgument && words.iter().any(|word| word == "-h");
    let name = words.iter().find_map(|word| COMMANDS.into_iter().find(|name| word == name));
    let command = command.find_subcommand_mut(name.filter(|_| is_short)?)?;
    Some(Unread::Help(command.render_help().to_string()))
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
            Nothing => arg.action(ArgAction::Count),
            Value => arg.action(ArgAction::Append).allow_hyphen_values(true),
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
        Same => return None,
        Instead(text) => text,
        SameFor(words, text) => {
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
    use crate::cli::arguments::Cli;

    fn parsed(line: &str) -> Result<Cli, Unread> {
        parse(line.split(' ').map(OsString::from))
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
        ] {
            assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line));
        }
    }

    #[test]
    fn option_that_haul_has_no_use_for_is_named_by_its_letter_with_what_to_use() {
        let told_of = told("haul put -avzuP -e ssh a box:1");
        let names: Vec<_> = told_of.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["-e (--rsh)", "-z (--compress)", "-u (--update)"]);
        assert!(told("haul put --delete a box:1").contains("haul sync --delete"));
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
