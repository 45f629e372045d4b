//! `haul publish --rollback`: the version before the present one comes back.

use std::io;

use haul_protocol::{Code, Mtime, Name, Op, Reply};

use super::arguments::PublishCommand;
use super::commands::wrong;
use super::console;
use super::exit;
use super::oneshot::{self, Tries};
use super::signals::Signals;
use crate::connection::rpc::Said;
use crate::error::{ConnectionError, ProtocolError};
use crate::transfer::error::BuildError;

/// Brings the version before back, tells which it is, and returns the exit code.
///
/// # Errors
/// If the system has no room.
pub(super) fn roll_back(words: &PublishCommand, signals: &Signals) -> anyhow::Result<u8> {
    let PublishCommand { destination, again, options, .. } = words;
    let Some(name) = &destination.path else { return Ok(wrong(&BuildError::PublishesRoot)) };
    // A request that is sent again after a lost answer is the same rollback, and not a second one.
    let token = Some(oneshot::random()?);
    let op = Op::Rollback { name: name.clone(), again: *again, token };
    let mut told = Ok(None);
    let tries = Tries::from(&options.connection);
    let ended = oneshot::at(&destination.server, tries, signals, &mut |asking, lost| {
        asking.ask(&op)?;
        told = match asking.answer()?.1 {
            Said::Answered(Reply::Version { published, files }, _) => Ok(Some((published, files))),
            // A server that does not know.
            Said::Answered(Reply::Done, _) => Ok(None),
            // By the rollback of the lost connection, which is about to end.
            Said::Refused(refusal) if lost > 0 && refusal.code == Code::Busy => {
                return Err(ConnectionError::Ended(refusal));
            }
            Said::Refused(refusal) => Err(refusal),
            _ => return Err(ProtocolError::Kind.into()),
        };
        Ok(())
    })?;
    if let Some(code) = ended {
        return Ok(code);
    }
    match told {
        Err(refusal) => {
            oneshot::refused(name, &refusal);
            return Ok(exit::FAILED);
        }
        Ok(_) if options.output.quiet => {}
        Ok(version) => console::line(&mut io::stdout(), &format_args!("{}", back(name, version))),
    }
    Ok(exit::OK)
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
