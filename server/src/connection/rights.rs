//! Whether an account may ask for something, and the names in the store that the client means. Requests of the haul dialect ask
//! here when they begin, those of HTTP once their account is known.

use haul_protocol::{Code, Name, Op, Refusal, Right, Rights};

use super::Connection;
use crate::accounts::View;
use crate::store::{Change, Replaces};

impl Connection {
    /// A request of the client as one about the store, if the account has the rights that it needs. `view`: the root that names
    /// are below.
    pub(super) fn let_in(&self, op: Op, view: &View) -> Result<Op, Refusal> {
        self.may_begin(op.needs(), !is_reading(op.needs()))?;
        inward(op, view)
    }

    /// Whether the account may begin a request that needs these rights. `changes`: the request may change something, which a
    /// server that only reads refuses to everybody.
    pub(super) fn may_begin(&self, needs: Rights, changes: bool) -> Result<(), Refusal> {
        if changes && !self.may_change {
            return Err(only_reads());
        }
        self.may(needs)
    }

    /// Whether a change may replace an entry that stands there. All that is in a draft is the client's own, as is all that is in
    /// the directory of a client of a drop account.
    pub(super) fn may_replace(&self, change: &Change) -> bool {
        let is_seen = self.version().is_none() || matches!(change, Change::Version(_));
        !is_seen || self.replaces() == Replaces::Anything
    }

    /// Whether the account is a drop account.
    pub(super) fn is_in_drop_box(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.account.is_drop_box())
    }

    /// Whether the account may replace entries that clients see.
    pub(super) fn replaces(&self) -> Replaces {
        match &self.login {
            Some(login)
                if !login.account.rights.contains(Right::Replace)
                    && !login.account.is_drop_box() =>
            {
                Replaces::Nothing
            }
            _ => Replaces::Anything,
        }
    }

    /// The name by which a large file of a drop account goes on: that of the client below the account's root, because the next
    /// run of the client has another directory. `None`: the name itself.
    pub(super) fn goes_on_as(&self, name: &Name) -> Option<Name> {
        let account = &self.login.as_ref()?.account;
        let told = self.view.outward(name).filter(|_| account.is_drop_box())?;
        account.view.inward(told).ok()
    }

    /// Whether the account has these rights. The refusal tells the first one that it lacks.
    pub(super) fn may(&self, rights: Rights) -> Result<(), Refusal> {
        let Some(login) = &self.login else { return Ok(()) };
        let account = &login.account;
        let Some(right) = rights.iter().find(|right| !account.rights.contains(*right)) else {
            return Ok(());
        };
        let what = match right {
            Right::Put => "put anything",
            Right::Replace => "replace anything",
            Right::Delete => "delete",
            Right::List => "list or compare",
            Right::Get => "read",
            Right::Publish => "publish",
            _ => "do that",
        };
        let message = format!("account `{}` may not {what} here", account.name);
        Err(Refusal::new(Code::Forbidden, message))
    }
}

/// Whether these rights are enough to change nothing.
fn is_reading(rights: Rights) -> bool {
    rights.iter().all(|right| matches!(right, Right::List | Right::Get))
}

/// The refusal of a change where nothing may be changed.
pub(super) fn only_reads() -> Refusal {
    let message = "hauld was started to read only here, and changes nothing";
    Refusal::new(Code::Permission, message)
}

/// Puts each name of a request below the client's root.
fn inward(op: Op, view: &View) -> Result<Op, Refusal> {
    Ok(match op {
        Op::Put { name, size, digest, attributes } => {
            Op::Put { name: view.inward(name)?, size, digest, attributes }
        }
        Op::Open(mut wanted) => {
            wanted.name = view.inward(wanted.name)?;
            Op::Open(wanted)
        }
        Op::Mkdir { name, mode, replace } => Op::Mkdir { name: view.inward(name)?, mode, replace },
        Op::Symlink { name, target, mtime } => {
            Op::Symlink { name: view.inward(name)?, target, mtime }
        }
        Op::Setattr { name, is_file, attributes } => {
            Op::Setattr { name: view.inward(name)?, is_file, attributes }
        }
        Op::Remove { name } => Op::Remove { name: view.inward(name)? },
        Op::Rename { name, to, replace } => {
            Op::Rename { name: view.inward(name)?, to: view.inward(to)?, replace }
        }
        Op::Rollback { name, again, token, repeated } => {
            Op::Rollback { name: view.inward(name)?, again, token, repeated }
        }
        Op::Get { name, offset, part_size, state, whole } => {
            Op::Get { name: view.inward(name)?, offset, part_size, state, whole }
        }
        Op::List { name, after } => Op::List {
            name: view.directory(name)?,
            after: after.map(|after| view.inward(after)).transpose()?,
        },
        // Without a name, or with names in a body that has not come yet.
        op @ (Op::Bundle { .. }
        | Op::Part { .. }
        | Op::Commit { .. }
        | Op::Abort { .. }
        | Op::Check { .. }
        | Op::Adopt
        | Op::Publish { .. }
        | Op::Fetch
        | Op::Ping) => op,
        // A request of a later version of the protocol may have names that are not known here.
        op => return Err(not_served(&op)),
    })
}

/// The refusal of a request that this server does not know.
pub(super) fn not_served(op: &Op) -> Refusal {
    let message = format!("command `{}` is not served here", op.command());
    Refusal::new(Code::UnknownCommand, message)
}
