//! `haul mkdir`: making directories at a server.

use haul_protocol::{Op, Right};

use super::ending::Ending;
use super::exit::Reason;
use super::oneshot;
use super::options::Reaching;
use crate::connection::rpc::Said;
use crate::credentials::Need;
use crate::net::destination::Destination;
use crate::net::root::root_above;
use crate::net::ssh::Access;

/// The rights that it can't do without.
const NEEDS: [Need; 1] = [(Right::Put, "mkdir")];

/// Makes directories, and returns the exit code. The server makes parents that are missing, and a directory that is there
/// is no failure.
pub(super) fn mkdir(destinations: &[Destination], reaching: Reaching, ending: &Ending<'_>) -> u8 {
    if destinations.iter().any(|destination| destination.path.is_none()) {
        let error = "the server's root is there already; name a directory in it: HOST/DIR, or HOST:DIR over ssh";
        return ending.fail(Reason::Usage, &error);
    }
    let mut destinations = destinations.to_vec();
    root_above(&mut destinations, Access::Makes);
    let mut reason = Reason::Done;
    for same in destinations.chunk_by(Destination::is_beside) {
        let mut left = same.iter().filter_map(|destination| destination.path.as_ref()).peekable();
        let done = oneshot::at(&same[0], &NEEDS, reaching, ending, &mut |asking, _| {
            while let Some(&name) = left.peek() {
                asking.ask(&Op::Mkdir { name: name.clone(), mode: None, replace: false })?;
                if let Said::Refused(refusal) = asking.answer()?.1 {
                    ending.refused(name, &refusal);
                    reason = Reason::Failed;
                }
                left.next();
            }
            Ok(())
        });
        if let Err(ended) = done {
            return ended.tell(ending);
        }
    }
    ending.asked(reason)
}
