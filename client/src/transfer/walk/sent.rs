//! Names at the server that have been sent, where several sources may have the same.

use std::path::Path;

use haul_protocol::Name;

use crate::plan::Root;
use crate::plan::namesakes::Namesakes;
use crate::plan::policy::Policy;
use crate::source::from_bytes;
use crate::source::seen::Seen;

/// The names of all files and symlinks that the walk has found so far.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    names: Seen,
    pub(super) namesakes: &'a Namesakes<'a>,
}

impl<'a> Sent<'a> {
    /// Of these sources, none of which was walked.
    pub(super) fn new(namesakes: &'a Namesakes<'a>) -> Self {
        Self { names: Seen::default(), namesakes }
    }

    /// Whether an earlier source has had a file or symlink of this name; from now on one has. Of very many names a few may
    /// seem to be known that are not, so then the earlier sources are asked.
    pub(super) fn is_sent_already(&self, root: &Root, name: &Name, policy: &Policy) -> bool {
        let path = from_bytes(name.as_bytes());
        let path = Path::new(&path);
        let had = self.names.had_entry(path, 0)
            && (!self.names.is_vague() || self.namesakes.earlier(root, name, policy).is_some());
        self.names.entry(path, 0);
        had
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::plan::Plan;
    use crate::plan::policy::Mode;
    use crate::source::filter::{Filter, Rules};

    #[test]
    fn name_that_only_seems_to_be_sent_among_very_many_is_not_refused() {
        let place = TempDir::new().unwrap();
        for name in ["a/x", "b/x", "b/y"] {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let sources = ["a/", "b/"].map(|name| place.path().join(name));
        let plan = Plan::new(&sources, None, None).unwrap();
        let policy = Policy::new(Mode::Put, Filter::new(&Rules::default()).unwrap());
        let (namesakes, names) = (Namesakes::new(&plan), Seen::overfull());
        let sent = Sent { names, namesakes: &namesakes };
        let is_sent = |root: usize, name: &[u8]| {
            sent.is_sent_already(&plan.roots[root], &Name::parse(name).unwrap(), &policy)
        };
        assert!(!is_sent(0, b"x") && is_sent(1, b"x") && !is_sent(1, b"y"));
    }
}
