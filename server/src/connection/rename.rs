//! The request `rename`, and the look at symlinks before it.

use haul_protocol::{Code, EntryKind, LinkTarget, Name, Op, RequestId};

use super::job::Job;
use super::renaming::Renaming;
use super::turn::Turn;
use super::walk::{Doing, Found, Walk};
use super::{Connection, Dialect};
use crate::commit::notify::ReplyTo;
use crate::refusal::Refusal;
use crate::store::{Change, Replaces};
use crate::symlinks::Symlinks;

impl Connection {
    /// Whether the server looks at the entry before it carries a request out. Such a request comes after earlier changes of its
    /// connection, which may have made a symlink.
    pub(super) fn looks_first(&self, op: &Op, turn: &Turn<'_>) -> bool {
        let Op::Rename { name, to, .. } = op else { return false };
        !self.symlinks(turn).may_move_unseen(name, to)
    }

    /// Gives an entry another name, perhaps after a look at symlinks in several turns.
    pub(super) fn rename(
        &mut self,
        id: RequestId,
        (name, to, replace): (Name, Name, bool),
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        if !self.symlinks(turn).may_move_unseen(&name, &to) {
            match turn.services.store.kind(&turn.base.parents, &name)? {
                Some(EntryKind::Link { target }) => {
                    self.may_rename_link((&name, &to), &target, turn)?;
                }
                Some(EntryKind::Directory) => {
                    let Dialect::Haul(haul) = &self.dialect else { return Ok(()) };
                    let client = haul.client.clone();
                    let walk = Walk::begin(Doing::Look { to: to.clone() }, name.clone(), &client);
                    let renaming = Renaming { id, client, walk, name, to, replace };
                    self.job = Some(Job::Rename(Box::new(renaming)));
                    return Ok(());
                }
                _ => {}
            }
        }
        let change = Change::Rename { name, to, replace, replaces: Replaces::Anything };
        self.submit(ReplyTo::Ack(id), change, None, turn);
        Ok(())
    }

    /// Looks at some entries, as many as the turn allows, and gives the directory its name after the last one.
    pub(super) fn go_on_renaming(&mut self, mut renaming: Box<Renaming>, turn: &mut Turn<'_>) {
        let id = renaming.id;
        while !renaming.walk.is_over() {
            let found = renaming.walk.next((turn, &renaming.client), &[]);
            let looked = match found {
                Ok(Found::Link(name, to, target)) => {
                    self.may_rename_link((&name, &to), &target, turn)
                }
                Ok(_) => Ok(()),
                // It has gone, so the rename tells.
                Err((name, refusal))
                    if name == renaming.name && *refusal.code() == Code::NotFound =>
                {
                    break;
                }
                Err((_, refusal)) => Err(refusal),
            };
            if let Err(refusal) = looked {
                return self.refuse(id, refusal);
            }
            if turn.share.is_over(false) && !renaming.walk.is_over() {
                self.job = Some(Job::Rename(renaming));
                return;
            }
        }
        self.submit(ReplyTo::Ack(id), renaming.change(), None, turn);
    }

    /// Whether a symlink may get another name. On a connection about a directory both are names of the draft.
    fn may_rename_link(
        &self,
        (name, to): (&Name, &Name),
        target: &LinkTarget,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let (name, to) = (self.whole_name(name)?, self.whole_name(to)?);
        self.may_move_link((&name, &to), target, turn)
    }

    /// Whether a symlink may get another name.
    pub(super) fn may_move_link(
        &self,
        (name, to): (&Name, &Name),
        target: &LinkTarget,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let seen = [name, to].map(|name| self.view.outward(name).unwrap_or_else(|| name.clone()));
        let [name, to] = &seen;
        self.symlinks(turn).check_move((name, to), target).map_err(Refusal::from)
    }

    /// The symlinks that the client may make.
    pub(super) fn symlinks(&self, turn: &Turn<'_>) -> Symlinks {
        Symlinks::of_client(turn.services.tuning().symlinks, self.login.is_some())
    }
}
