//! The options that leave entries out or in, in the order in which they are given.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::settings_rules::is_given;
use crate::source::filter::{Rule, Rules};

const EXCLUDE: &str = "exclude";
const INCLUDE: &str = "include";
const FROM: &str = "exclude_from";

// Written by hand, because clap tells the order of different options only by their positions. Rules of the settings come first,
// though clap counts them last: the last rule that fits decides, and it is one of the command line. Settings have no order among
// each other, so `include` makes exceptions from `exclude`, and the files of `exclude-from` come last.
impl Args for Rules {
    fn augment_args(command: clap::Command) -> clap::Command {
        let rule = |id: &'static str| Arg::new(id).action(ArgAction::Append);
        command
            .arg(rule(EXCLUDE).long("exclude").value_name("PATTERN").help(
                "Leave out names that fit, in gitignore's syntax, relative to SRC: `*.o`, `/build/`. The \
                 last of all rules that fits decides; they go before those of `.haulignore` files",
            ))
            .arg(
                rule(INCLUDE)
                    .long("include")
                    .value_name("PATTERN")
                    .help("Take names that fit all the same; as `--exclude '!PATTERN'`"),
            )
            .arg(
                rule(FROM)
                    .long("exclude-from")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help(
                        "Leave out names that fit a line of FILE (`-`: standard input). A carriage return before a \
                         line's end and a UTF-8 byte order mark at the start belong to no pattern",
                    ),
            )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<((bool, usize, usize), Rule)> = Vec::new();
        let positions = |id: &'static str| {
            let is_given = is_given(matches, id);
            let place = [EXCLUDE, INCLUDE, FROM].iter().position(|option| *option == id);
            let place = place.filter(|_| !is_given).unwrap_or_default();
            let positions = matches.indices_of(id).unwrap_or_default();
            positions.map(move |position| (is_given, place, position))
        };
        for (id, rule) in [(EXCLUDE, Rule::Exclude as fn(String) -> Rule), (INCLUDE, Rule::Include)]
        {
            let values = matches.get_many::<String>(id).unwrap_or_default().cloned();
            found.extend(positions(id).zip(values.map(rule)));
        }
        let values = matches.get_many::<PathBuf>(FROM).unwrap_or_default().cloned();
        found.extend(positions(FROM).zip(values.map(Rule::From)));
        found.sort_by_key(|(position, _)| *position);
        let mut rules = Self::default();
        found.into_iter().for_each(|(_, rule)| rules.push(rule));
        Ok(rules)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
