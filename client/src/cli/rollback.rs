//! `haul publish --rollback`: the version before the present one comes back.

use std::fmt::Display;

use haul_protocol::{Code, Mtime, Name, Op, Reply, Right};

use super::arguments::PublishCommand;
use super::ending::Ending;
use super::exit::Reason;
use super::oneshot;
use super::signals::Signals;
use super::summary::Kind;
use crate::connection::rpc::Said;
use crate::credentials::Need;
use crate::error::refused::Refused;
use crate::error::{ConnectionError, ProtocolError};
use crate::net::root::root_above;
use crate::net::ssh::Access;
use crate::transfer::error::BuildError;

/// The rights that it can't do without.
const NEEDS: [Need; 1] = [(Right::Publish, "--rollback")];

/// The feature of a server that knows `repeated` in a rollback.
const REPEATED: &str = "repeated";

/// Brings the version before back, tells which it is, and returns the exit code.
///
/// # Errors
/// If the system has no room.
pub(super) fn roll_back(words: &PublishCommand, signals: &Signals) -> anyhow::Result<u8> {
    let PublishCommand { destination, again, options, .. } = words;
    let ending = Ending::new(options.output, Kind::Run, signals);
    let mut destination = destination.clone();
    root_above([&mut destination], Access::Changes);
    let destination = &destination;
    let Some(name) = &destination.path else {
        return Ok(ending.fail(Reason::Usage, &BuildError::PublishesRoot));
    };
    let token = Some(oneshot::random()?);
    let (mut told, mut repeated) = (Ok(None), false);
    let reaching = options.connection.reaching;
    let done = oneshot::at(destination, &NEEDS, reaching, &ending, &mut |asking, _| {
        if repeated && !asking.has_feature(REPEATED) {
            told =
                Err(lost(name, &"the server lacks the feature `repeated`, as an older hauld does"));
            return Ok(());
        }
        // If the answer was lost, somebody may have published since: the server only tells then whether this rollback was
        // the last change, and never carries it out.
        asking.ask(&Op::Rollback { name: name.clone(), again: *again, token, repeated })?;
        let is_asked_again = std::mem::replace(&mut repeated, true);
        told = match asking.answer()?.1 {
            Said::Answered(Reply::Version { published, files }, _) => Ok(Some((published, files))),
            // A server that does not know.
            Said::Answered(Reply::Done, _) => Ok(None),
            // By the rollback of the lost connection, which is about to end.
            Said::Refused(refusal) if is_asked_again && refusal.code == Code::Busy => {
                return Err(ConnectionError::Ended(refusal));
            }
            Said::Refused(refusal) if is_asked_again => Err(lost(name, &refusal)),
            Said::Refused(refusal) => Err(format!("{name}: {}", Refused(&refusal))),
            _ => return Err(ProtocolError::Kind.into()),
        };
        Ok(())
    });
    Ok(match (done, told) {
        (Err(ended), _) if repeated && ended.is_lost => {
            ending.fail(ended.reason, &lost(name, &ended.error))
        }
        (Err(ended), _) => ended.tell(&ending),
        (Ok(()), Err(error)) => ending.fail(Reason::Failed, &error),
        (Ok(()), Ok(version)) => {
            ending.result(&back(name, version));
            ending.asked(Reason::Done)
        }
    })
}

/// The sentence that says that the answer was lost, and why nobody can tell what it was.
fn lost(name: &Name, why: &dyn Display) -> String {
    format!(
        "{name}: the connection was lost before the answer, and haul can't tell whether the version before came back: {why}; \
         look which version is there, and run the command again if it is still to be rolled back"
    )
}

/// The sentence that says which version is present now.
fn back(name: &Name, version: Option<(Mtime, Option<u64>)>) -> String {
    let Some((published, files)) = version else {
        return format!("{name}: the version before is back");
    };
    let time = jiff::Timestamp::new(published.s, published.ns.try_into().unwrap_or(0))
        .map(|time| time.to_zoned(jiff::tz::TimeZone::system()))
        .map_or_else(
            |_| format!("@{}", published.s),
            |time| time.strftime("%Y-%m-%d %H:%M:%S%:z").to_string(),
        );
    let files = match files {
        None => String::new(),
        Some(1) => String::from(" (1 file)"),
        Some(files) => format!(" ({files} files)"),
    };
    format!("{name}: the version that was published at {time}{files} is back")
}
