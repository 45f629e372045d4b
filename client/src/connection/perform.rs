//! Doing what was decided about an item. What is done is one question for real and for dry runs; how is another one for
//! each: requests to the server ([`Network`]), or lines for people ([`super::dry_run`],
//! [`super::differences`]).

use haul_protocol::{Attributes, Op};

use super::bundle::Read;
use super::failure::Failure;
use super::{Connection, Pending, Sent};
use crate::source::Link;
use crate::work::decide::Action;
use crate::work::{Item, Kind, Listing, Removal};

/// The reason why nothing is done about an item.
pub(super) const IN_THE_WAY: &str =
    "something of another kind is in the way at the server (conflict)";

/// All that can be done about an item.
pub(super) trait Perform {
    /// Something of another kind is in its way.
    fn blocked(&mut self, item: &Item) -> Result<(), Failure>;
    /// The file gets mode and mtime.
    fn adjust(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure>;
    /// The file is sent; returned if it was only read and goes with others.
    fn file(&mut self, item: &Item) -> Result<Option<Read>, Failure>;
    /// The symlink is sent.
    fn symlink(&mut self, item: &Item) -> Result<(), Failure>;
    /// The directory is made, or takes the place of something else.
    fn directory(&mut self, item: &Item, mode: Option<u32>, action: Action) -> Result<(), Failure>;
    /// The directory gets its final mode and mtime.
    fn attributes(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure>;
    /// The entry goes, because the source lacks it.
    fn remove(&mut self, item: &Item, removal: &Removal) -> Result<(), Failure>;
    /// The next version is complete.
    fn publish(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure>;
    /// The directory is looked through for what the source lacks: a question, whatever comes of it.
    fn list(&mut self, item: &Item, listing: &Listing) -> Result<(), Failure>;
}

/// Has something done about an item.
pub(super) fn perform(
    by: &mut impl Perform,
    item: &Item,
    action: Action,
) -> Result<Option<Read>, Failure> {
    match (action, &item.kind) {
        (Action::Blocked, _) => by.blocked(item)?,
        (Action::Adjust(attributes), _) => by.adjust(item, attributes)?,
        (_, Kind::File) => return by.file(item),
        (_, Kind::Link) => by.symlink(item)?,
        (action, Kind::Directory(mode)) => by.directory(item, *mode, action)?,
        (_, Kind::Attributes(attributes)) => by.attributes(item, *attributes)?,
        (_, Kind::Remove(removal)) => by.remove(item, removal)?,
        (_, Kind::Publish(attributes)) => by.publish(item, *attributes)?,
        (_, Kind::List(listing)) => by.list(item, listing)?,
    }
    Ok(None)
}

/// By requests to the server.
pub(super) struct Network<'c, 'a>(pub(super) &'c mut Connection<'a>);

impl Network<'_, '_> {
    fn request(&mut self, item: &Item, sent: Sent, op: &Op) -> Result<(), Failure> {
        Ok(self.0.request(Pending::Item(item.clone(), sent), op)?)
    }
}

impl Perform for Network<'_, '_> {
    fn blocked(&mut self, item: &Item) -> Result<(), Failure> {
        self.0.blocked(item);
        Ok(())
    }

    fn adjust(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure> {
        let op = Op::Setattr { name: item.name.clone(), is_file: true, attributes };
        self.request(item, Sent::default(), &op)
    }

    fn file(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        self.0.send_file(item)
    }

    fn symlink(&mut self, item: &Item) -> Result<(), Failure> {
        let links = self.0.run.policy.links;
        let Link { target, mtime, stamp } = self.0.nearby.link(&item.path, links)?;
        let op = Op::Symlink { name: item.name.clone(), target, mtime };
        self.request(item, Sent { stamp: Some(stamp), ..Sent::default() }, &op)
    }

    fn directory(&mut self, item: &Item, mode: Option<u32>, action: Action) -> Result<(), Failure> {
        let replace = action == Action::Replace;
        let op = Op::Mkdir { name: item.name.clone(), mode, replace };
        self.request(item, Sent::default(), &op)
    }

    fn attributes(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure> {
        let op = Op::Setattr { name: item.name.clone(), is_file: false, attributes };
        self.request(item, Sent::default(), &op)
    }

    fn remove(&mut self, item: &Item, removal: &Removal) -> Result<(), Failure> {
        // Nobody else changes a draft.
        if item.is_doubtful_removal() && !self.0.run.policy.is_publish() {
            return Ok(self.0.ask_about_removal(item, removal)?);
        }
        self.request(item, Sent::default(), &Op::Remove { name: item.name.clone() })
    }

    fn publish(&mut self, item: &Item, attributes: Attributes) -> Result<(), Failure> {
        let op = Op::Publish { attributes, files: Some(self.0.run.course.files()) };
        self.0.run.progress.publishing(true);
        Ok(self.0.request(Pending::Publish(item.clone()), &op)?)
    }

    fn list(&mut self, item: &Item, listing: &Listing) -> Result<(), Failure> {
        Ok(self.0.ask_list(item, listing)?)
    }
}

impl Connection<'_> {
    /// The server would refuse it.
    pub(super) fn blocked(&mut self, item: &Item) {
        self.run.progress.failed(&item.path, &IN_THE_WAY);
        self.run.work.settle(1);
    }
}
