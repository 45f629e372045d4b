//! Commands whose options are declared only if somebody may ask for them: most of the time that a small upload takes would go
//! into the declaration of commands that nobody runs.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches, Id};

thread_local! {
    /// The only command whose options are declared. clap's derived code takes no argument, so it finds the name here.
    static ONLY: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The words of a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Later<T>(pub(crate) T);

/// Makes a declaration in which only one command has its options, and all others just their names.
pub(super) fn only(name: &str, declare: impl FnOnce() -> Command) -> Command {
    ONLY.set(Some(name.to_owned()));
    let declared = declare();
    ONLY.set(None);
    declared
}

/// Whether the command of a name has its options in the declaration that is made now.
pub(super) fn is_wanted(name: &str) -> bool {
    ONLY.with_borrow(|only| only.as_ref().is_none_or(|only| only == name))
}

impl<T: Args> Args for Later<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        if is_wanted(command.get_name()) { T::augment_args(command) } else { command }
    }

    fn augment_args_for_update(command: Command) -> Command {
        if is_wanted(command.get_name()) { T::augment_args_for_update(command) } else { command }
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Later<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Cli;

    #[test]
    fn all_commands_have_their_names_and_one_has_its_options() {
        let all = Cli::command();
        let one = only("put", Cli::command);
        let names = |command: &Command| -> Vec<_> {
            command.get_subcommands().map(|it| it.get_name().to_owned()).collect()
        };
        let options = |command: &Command, name: &str| {
            command.find_subcommand(name).map(|it| it.get_arguments().count())
        };
        assert_eq!(names(&one), names(&all));
        assert_eq!(options(&one, "put"), options(&all, "put"));
        for name in names(&all).iter().filter(|name| *name != "put") {
            assert_eq!(options(&one, name), Some(0), "{name}");
        }
        assert_eq!(options(&Cli::command(), "sync"), options(&all, "sync"));
    }
}
