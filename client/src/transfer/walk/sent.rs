//! Names at the server to which entries have been sent, where several sources may have the same.

use std::path::Path;

use haul_protocol::Name;

use crate::plan::Root;
use crate::plan::namesakes::{Namesakes, Sort};
use crate::plan::policy::Policy;
use crate::source::from_bytes;
use crate::source::seen::Seen;

/// The names of all entries that the walk has found so far, each with its sort.
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

    /// The sort of entry that an earlier source has had of this name. If none has, this source has one of `sort` from now on.
    pub(super) fn before(
        &self,
        root: &Root,
        name: &Name,
        sort: Sort,
        policy: &Policy,
    ) -> Option<Sort> {
        let before = self.had(root, name, policy);
        if before.is_none() {
            self.names.entry(Path::new(&from_bytes(name.as_bytes())), sort as u32);
        }
        before
    }

    /// Whether an earlier source has had a file or symlink of this name or of a directory above.
    pub(super) fn is_at_or_below_other(&self, root: &Root, name: &Name, policy: &Policy) -> bool {
        let bytes = name.as_bytes();
        let above = (0..bytes.len()).filter(|&at| bytes[at] == b'/');
        let above = above.filter_map(|at| Name::parse(&bytes[..at]).ok());
        let had = |name: &Name| self.had(root, name, policy) == Some(Sort::Other);
        had(name) || above.into_iter().any(|name| had(&name))
    }

    /// The sort of entry that an earlier source has had of this name. Of very many names a few may seem to be known that are
    /// not, so then the earlier sources are asked.
    fn had(&self, root: &Root, name: &Name, policy: &Policy) -> Option<Sort> {
        let path = from_bytes(name.as_bytes());
        let sorts = [Sort::Other, Sort::Directory];
        let had = |sort: &Sort| self.names.had_entry(Path::new(&path), *sort as u32);
        let seems = sorts.into_iter().find(had)?;
        match self.names.is_vague() {
            true => self.namesakes.earlier(root, name, seems, policy),
            false => Some(seems),
        }
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
        for name in ["a/x", "b/x", "b/y", "a/d/f", "b/d/f"] {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let sources = ["a/", "b/"].map(|name| place.path().join(name));
        let plan = Plan::new(&sources, None, None).unwrap();
        let policy = Policy::new(Mode::Put, Filter::new(&Rules::default()).unwrap());
        let (namesakes, names) = (Namesakes::new(&plan), Seen::overfull());
        let sent = Sent { names, namesakes: &namesakes };
        let before = |root: usize, name: &[u8], sort| {
            sent.before(&plan.roots[root], &Name::parse(name).unwrap(), sort, &policy)
        };
        for sort in [Sort::Other, Sort::Directory] {
            assert_eq!([0, 1].map(|root| before(root, b"x", sort)), [None, Some(Sort::Other)]);
            assert_eq!([0, 1].map(|root| before(root, b"d", sort)), [None, Some(Sort::Directory)]);
            assert_eq!(before(1, b"y", sort), None);
        }
    }

    #[test]
    fn entry_that_was_refused_makes_no_other_one_refused() {
        let plan = Plan::new(&["a/".into(), "b/".into(), "c/".into()], None, None).unwrap();
        let policy = Policy::new(Mode::Put, Filter::new(&Rules::default()).unwrap());
        let namesakes = Namesakes::new(&plan);
        let sent = Sent::new(&namesakes);
        let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
        let before =
            |root: usize, to, sort| sent.before(&plan.roots[root], &name(to), sort, &policy);
        assert_eq!(before(0, "d", Sort::Directory), None);
        assert_eq!(before(1, "d", Sort::Other), Some(Sort::Directory));
        assert_eq!(before(2, "d", Sort::Directory), Some(Sort::Directory));
        assert_eq!(before(0, "f", Sort::Other), None);
        let is_refused = |to| sent.is_at_or_below_other(&plan.roots[1], &name(to), &policy);
        assert_eq!(
            ["f", "f/x/y", "d", "d/x", "fx"].map(is_refused),
            [true, true, false, false, false]
        );
    }
}
