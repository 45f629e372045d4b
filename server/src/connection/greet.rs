//! The first words of a client of the haul dialect, and their answer.
//!
//! The answer to a `hello` says that nothing which an older connection in the same place asked for takes effect any more,
//! and that nobody else changes the directory whose next version the connection is about. Changes of others may be under
//! way then. No worker waits for them: the connection does, and is woken.

use std::sync::Arc;

use haul_protocol::{Code, Hello, Pin, ServerHello, Tree, limits};

use super::close::no_tls;
use super::job::{Counted, Greeting, Job};
use super::rights::only_reads;
use super::turn::Turn;
use super::{Connection, Dialect, Haul};
use crate::accounts::ClientId;
use crate::commit::notify::waker;
use crate::metrics::Speaks;
use crate::refusal::Refusal;
use crate::services::fence::{Entered, Fence};
use crate::store::Version;
use crate::versions::leases::Begun;

/// The extensions of the protocol that this server has.
const FEATURES: [&str; 6] = ["publish", "bundle", "rename", "repeated", "accounts", "get"];

impl Connection {
    /// The first frame of the haul dialect.
    pub(super) fn hello(&mut self, mut hello: Hello, turn: &mut Turn<'_>) {
        tracing::debug!(
            peer = self.peer,
            user = self.user,
            agent = hello.agent,
            slot = hello.slot,
            "hello"
        );
        self.seen().runs(&hello.agent);
        if self.transport.is_refused() {
            if self.may_tell(turn.services) {
                self.tell_plain();
            }
            self.end(no_tls());
            return;
        }
        if hello.version != limits::VERSION {
            let message = format!(
                "version {} is not served here, version {} is",
                hello.version,
                limits::VERSION
            );
            self.refuse_connection(Code::Version, &message);
            return;
        }
        if let Some(unknown) =
            hello.must.iter().find(|feature| !FEATURES.contains(&feature.as_str()))
        {
            let message = format!("feature `{}` is not known here", unknown.escape_debug());
            self.refuse_connection(Code::Unsupported, &message);
            return;
        }
        if !self.may_change && hello.publish.is_some() {
            self.end(only_reads());
            return;
        }
        if !self.log_in(&mut hello, turn) || !self.has_root(turn) {
            return;
        }
        let account = self.login.as_ref().map(|login| login.account.name.clone());
        let client = ClientId { account, client: hello.client.clone() };
        if self.login.is_some() {
            let Some(seat) = self.take_seat(&client, hello.slot, turn) else { return };
            if !seat.is_taken() {
                tracing::info!(peer = self.peer, "waits until another connection ends");
                let greeting = Greeting::Seat { hello, client, seat, since: turn.services.now() };
                self.job = Some(Job::Greet(Box::new(greeting)));
                return;
            }
        }
        self.come_in(hello, client, turn);
    }

    /// The client has come in: its connection has a seat if it needs one.
    fn come_in(&mut self, hello: Hello, client: ClientId, turn: &mut Turn<'_>) {
        let begun = hello.publish.as_ref().map(|publish| {
            let (parents, notify) = (&turn.base.parents, turn.notify);
            turn.services.publications.enter(notify, parents, &client, publish, self.id)
        });
        match begun.transpose() {
            Ok(None) => {
                let older = self.take_place(hello, client, turn);
                self.welcome(None, older, turn);
            }
            Ok(Some(Begun::Version(version))) => {
                let older = self.take_place(hello, client, turn);
                self.welcome(Some(version), older, turn);
            }
            Ok(Some(Begun::Closing(beginning))) => {
                let older = self.take_place(hello, client, turn);
                self.job = Some(Job::Greet(Box::new(Greeting::Closing(*beginning, older))));
            }
            Err(refusal) => self.refuse_to_publish(refusal),
        }
    }

    /// The changes are over that the answer to `hello` waits for.
    pub(super) fn go_on_greeting(&mut self, greeting: Greeting, turn: &mut Turn<'_>) {
        match greeting {
            Greeting::Seat { hello, client, .. } => self.come_in(hello, client, turn),
            Greeting::Closing(beginning, older) => {
                match turn.services.publications.go_on(beginning, &turn.base.parents) {
                    Ok(version) => self.welcome(Some(version), older, turn),
                    Err(refusal) => self.refuse_to_publish(refusal),
                }
            }
            Greeting::Fenced(hello, _, counted) => self.greet(hello, counted.as_ref()),
        }
    }

    fn refuse_to_publish(&mut self, refusal: Refusal) {
        tracing::info!(peer = self.peer, %refusal, "refused to publish");
        self.end(refusal);
    }

    /// Takes the place of older connections, in the order in which each `hello` came. Returns the fences behind which changes
    /// of theirs are under way.
    fn take_place(
        &mut self,
        hello: Hello,
        client: ClientId,
        turn: &mut Turn<'_>,
    ) -> Vec<Arc<Fence>> {
        let services = turn.services;
        services.uploads.connected(&client);
        let waker = waker(turn.notify, self.id);
        let entered = services.fences.enter(&client, hello.slot, self.id, &waker);
        let Entered { fence, replaced, older } = entered;
        if let Some(older) = replaced {
            tracing::info!(
                peer = self.peer,
                slot = hello.slot,
                "takes an older connection's place"
            );
            turn.notify.wake(older);
        }
        self.is_heard(Speaks::Haul);
        self.dialect = Dialect::Haul(Haul {
            identity: hello.identity.unwrap_or(hello.client),
            client,
            slot: hello.slot,
            version: None,
            fence,
        });
        older
    }

    /// Answers `hello` once the changes behind these fences are over.
    fn welcome(
        &mut self,
        version: Option<Arc<Version>>,
        older: Vec<Arc<Fence>>,
        turn: &mut Turn<'_>,
    ) {
        let tree = version.as_ref().map(|version| {
            tracing::info!(
                peer = self.peer,
                name = version.name.as_bytes(),
                "puts a version together"
            );
            Tree { token: version.token, resumed: version.resumed }
        });
        if let Dialect::Haul(haul) = &mut self.dialect {
            haul.version = version;
        }
        self.enter_view(turn);
        let hello = ServerHello {
            version: limits::VERSION,
            agent: concat!("hauld/", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: turn.services.tuning().limits,
            durability: turn.services.durability(),
            tree,
            features: FEATURES.map(String::from).to_vec(),
            account: self.login.as_ref().map(|login| login.facts()),
            next_pin: self.next_pin(turn),
        };
        let greeting = Greeting::Fenced(hello, older, self.counted(turn));
        match greeting.is_over() {
            true => self.go_on_greeting(greeting, turn),
            false => self.job = Some(Job::Greet(Box::new(greeting))),
        }
    }

    /// The pin of the server's next key, for a client that has seen the present one.
    fn next_pin(&self, turn: &Turn<'_>) -> Option<Pin> {
        let keys = turn.services.keys.as_ref().filter(|_| self.transport.is_encrypted())?;
        keys.next_pin(self.key_at_start?)
    }

    /// The files of the account, if it has a quota.
    fn counted(&self, turn: &Turn<'_>) -> Option<Counted> {
        let account = &self.login.as_ref()?.account;
        let usage = turn.services.store.quotas.of(account.name.as_str())?;
        Some(Counted { usage, waker: waker(turn.notify, self.id) })
    }

    fn greet(&mut self, mut hello: ServerHello, counted: Option<&Counted>) {
        // A client of a drop account learns nothing of what others have sent.
        let is_drop_box = self.login.as_ref().is_some_and(|login| login.account.is_drop_box());
        if let (Some(account), Some(Counted { usage, .. }), false) =
            (&mut hello.account, counted, is_drop_box)
        {
            (account.bytes, account.files) = usage.told();
        }
        let said = self.half.greet(hello);
        self.note_unsaid(said);
    }
}
