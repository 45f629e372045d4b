//! Carrying out a change: it becomes visible, and the directories whose entries it changed are noted.

use super::change::Change;
use super::dirty::Touched;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::quota::Amount;
use crate::store::replaces::Replaces;
use crate::store::root::Parents;

impl Change {
    /// As [`apply`](Self::apply), unless the name is in a directory that is being published.
    pub(in crate::store) fn apply_guarded(
        self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let _leave = match (&self, self.name()) {
            (Self::Rename { name, to, .. }, _) => store.guard.enter_trees([name, to])?,
            (_, Some(name)) => store.guard.enter(name)?,
            (_, None) => return self.apply(store, parents, touched),
        };
        parents.refresh(store.guard.swaps());
        self.apply(store, parents, touched)
    }

    /// Makes it visible, and notes the directories whose entries changed by that. No entry of another spelling is reached.
    pub(in crate::store) fn apply(
        self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if !store.spelling.may_fold() {
            return self.carry_out(store, parents, touched);
        }
        // An exchange of versions waits for locks of its own.
        let (_turn, stays) = match &self {
            Self::Version(swap) => (None, store.look_before(parents, swap.name(), None)?),
            Self::Rollback { wanted, .. } => {
                (None, store.look_before(parents, &wanted.name, None)?)
            }
            Self::Rename { name, to, .. } => {
                let turn = store.spelling.turn();
                store.look_before(parents, name, None)?;
                (Some(turn), store.look_before(parents, to, Some(name))?)
            }
            change => {
                let turn = store.spelling.turn();
                let name = change.name().filter(|_| !matches!(change, Self::Flush(_)));
                let stays = name.map(|name| store.look_before(parents, name, None)).transpose()?;
                (Some(turn), stays.flatten().filter(|_| !matches!(change, Self::Remove { .. })))
            }
        };
        let removed = if let Self::Remove { name } = &self { Some(name.clone()) } else { None };
        let may_take_names = !self.only_adds();
        let done = self.carry_out(store, parents, touched);
        if may_take_names {
            store.spelling.has_changed(parents, removed.as_ref());
        }
        done?;
        stays.map_or(Ok(()), |name| store.check_spelling(parents, &name))
    }

    fn carry_out(
        self,
        store: &Store,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        match self {
            Self::File { staged, name } => staged.publish(&name, parents, touched),
            Self::Tree(tree) => tree.publish(parents, touched).into_iter().collect(),
            Self::Upload(finished) => finished.publish(store, parents, touched),
            Self::Link { name, target, mtime, replaces } => {
                store.make_link(parents, &name, (&target, mtime), replaces, touched)
            }
            Self::Directory { name, mode, replace, replaces } => {
                store.counted(parents, &name, Some(Amount::DIRECTORY), None, || {
                    if replace {
                        store.replace_by_directory(parents, &name, mode, replaces)?;
                    }
                    store.make_directory(parents, &name, mode, replaces, touched)
                })
            }
            Self::Remove { name } => {
                let remove = || store.remove(parents, &name, touched);
                store.counted(parents, &name, None, None, remove)
            }
            Self::Rename { name, to, replace, replaces } => {
                let is_new_only = replace && replaces == Replaces::Nothing;
                let replace = replace && !is_new_only;
                let rename = || store.rename_entry(parents, (&name, &to), replace, touched);
                match store.counted_rename(parents, (&name, &to), rename) {
                    Err(StoreError::Conflict { .. })
                        if is_new_only && store.stands_there(parents, &to) =>
                    {
                        Err(StoreError::Exists { name: to.to_string() })
                    }
                    renamed => renamed,
                }
            }
            Self::Attributes { name, is_file, attributes, replaces } => {
                if replaces == Replaces::Nothing {
                    store.may_set(parents, &name, is_file, &attributes)?;
                }
                let set = store.set_attributes(parents, &name, is_file, &attributes, touched);
                if is_file && set.is_ok() {
                    store.touched_file(parents, &name);
                }
                set
            }
            Self::Properties { name, is_file, edits, modified, replaces } => {
                let what = (&edits, modified);
                let set = store.set_properties(parents, (&name, is_file), what, replaces, touched);
                if is_file && modified.is_some() && set.is_ok() {
                    store.touched_file(parents, &name);
                }
                set
            }
            Self::Version(swap) => swap.apply(store, parents, touched),
            Self::Rollback { wanted, closed } => store.roll_back(parents, &wanted, closed, touched),
            Self::Confirm(published) => published.confirm(store, parents, touched),
            Self::Flush(_) => Ok(()),
        }
    }
}

impl Store {
    /// Carries a change out at once, without waiting for the disk.
    pub(crate) fn apply(&self, parents: &Parents, change: Change) -> Result<(), StoreError> {
        change.apply_guarded(self, parents, &mut Touched::ignored())
    }

    /// The same, in the next version of a directory.
    pub(crate) fn apply_unseen(&self, parents: &Parents, change: Change) -> Result<(), StoreError> {
        change.apply(self, parents, &mut Touched::ignored())
    }
}
