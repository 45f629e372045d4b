//! `verify`: instead of changing an entry at the server, the client tells that the entry differs.

use haul_protocol::{Attributes, Verdict};

use super::Connection;
use super::bundle::Read;
use super::failure::Failure;
use super::perform::Perform;
use crate::work::decide::Action;
use crate::work::foreseen::Fate;
use crate::work::known::Known;
use crate::work::{Item, Listing, Removal};

/// Tells what differs.
pub(super) struct Differences<'c, 'a>(pub(super) &'c mut Connection<'a>);

impl Differences<'_, '_> {
    fn differs(&self, item: &Item) {
        let (what, why) = match item.compared.known {
            Known::Is(Verdict::Missing) => ("missing", None),
            Known::Is(Verdict::Kind | Verdict::Directory) => {
                ("differs", Some("something of another kind is there"))
            }
            known => ("differs", Some(known.why())),
        };
        self.tell(what, item, why);
    }

    fn tell(&self, what: &'static str, item: &Item, why: Option<&'static str>) {
        self.0.run.progress.differs(what, &item.name, why);
        self.0.run.work.settle(1);
    }
}

impl Perform for Differences<'_, '_> {
    fn blocked(&mut self, item: &Item) -> Result<(), Failure> {
        self.differs(item);
        Ok(())
    }

    fn adjust(&mut self, item: &Item, _: Attributes) -> Result<(), Failure> {
        self.differs(item);
        Ok(())
    }

    fn file(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        self.differs(item);
        Ok(None)
    }

    fn symlink(&mut self, item: &Item) -> Result<(), Failure> {
        self.differs(item);
        Ok(())
    }

    fn directory(&mut self, item: &Item, _: Option<u32>, action: Action) -> Result<(), Failure> {
        if action == Action::Replace {
            self.0.run.course.foreseen().tell(&item.name, Fate::Replaced);
        }
        self.differs(item);
        Ok(())
    }

    fn attributes(&mut self, item: &Item, _: Attributes) -> Result<(), Failure> {
        self.differs(item);
        Ok(())
    }

    fn remove(&mut self, item: &Item, removal: &Removal) -> Result<(), Failure> {
        self.tell("extra", item, None);
        if let Some(above) = &removal.above {
            self.0.gone(above, true);
        }
        Ok(())
    }

    fn publish(&mut self, item: &Item, _: Attributes) -> Result<(), Failure> {
        self.differs(item);
        Ok(())
    }

    fn list(&mut self, item: &Item, listing: &Listing) -> Result<(), Failure> {
        Ok(self.0.ask_list(item, listing)?)
    }
}
