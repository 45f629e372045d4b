//! The users of this machine, by name.

use std::collections::HashMap;

use super::account::UnixUser;

/// The file of all users (passwd(5)). Users of a directory service are not in it: accounts name them by number.
const FILE: &str = "/etc/passwd";

/// The users as they were when the server started: its sandbox keeps it from looking again.
#[derive(Debug, Default)]
pub(super) struct Machine(HashMap<String, u32>);

impl Machine {
    /// Those of this machine.
    pub(super) fn here() -> Self {
        Self::parse(&std::fs::read_to_string(FILE).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let users = text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        });
        Self(users.collect())
    }

    /// The number of a user.
    pub(super) fn id(&self, user: &UnixUser) -> Option<u32> {
        match user {
            UnixUser::Id(id) => Some(*id),
            UnixUser::Named(name) => self.0.get(name).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_numbers_of_the_file() {
        let machine = Machine::parse(
            "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/:\n+::::::\n",
        );
        let named = |name: &str| machine.id(&UnixUser::Named(name.into()));
        assert_eq!(
            (named("root"), named("alice"), named("broken"), named("+")),
            (Some(0), Some(1000), None, None)
        );
        assert_eq!(machine.id(&UnixUser::Id(7)), Some(7));
    }
}
