//! One resumable upload: the bytes that its clients have sent, the offsets that they were told, and whether the server and
//! the disk agree with both.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail, ensure};
use haul_tests::random::Random;

use super::plan::{Dialect, Plan};

/// An upload, for all of its clients.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) plan: Plan,
    /// The name below the root of its clients.
    pub(crate) name: String,
    path: PathBuf,
    /// The file that has its name at first.
    before: Option<Arc<Vec<u8>>>,
    pub(crate) bytes: Arc<Vec<u8>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    location: Option<String>,
    /// An answer has said that the upload has begun.
    has_begun: bool,
    /// The largest offset that any client was told.
    told: u64,
    /// No byte from here on was sent.
    sent: u64,
    /// A request was sent after which the file may be whole.
    may_be_whole: bool,
    /// A request that brought the whole file had no answer: there may be another upload of this name.
    has_twin: bool,
    /// More than one client asks about it.
    has_rivals: bool,
    end: End,
}

/// The facts that the clients of an upload know. By the time at which an answer has come they may know more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// The largest offset that any of them was told.
    pub(super) told: u64,
    pub(super) end: End,
}

/// The end of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    #[default]
    None,
    /// A client has asked for its removal.
    Removing,
    Removed,
    /// A client was told that the file is whole.
    Whole,
}

impl Upload {
    /// An upload that has not begun, of bytes that no other has.
    pub(crate) fn new(
        plan: Plan,
        name: String,
        root: &Path,
        before: Option<Arc<Vec<u8>>>,
    ) -> anyhow::Result<Self> {
        let (mut random, size) = (Random::new(plan.seed, 1), usize::try_from(plan.size)?);
        let words = std::iter::repeat_with(|| random.number().to_le_bytes());
        let bytes = words.take(size.div_ceil(8)).flatten().take(size).collect();
        let state = State { has_rivals: plan.senders > 1, ..State::default() };
        let (path, bytes, state) = (root.join(&name), Arc::new(bytes), Mutex::new(state));
        Ok(Self { plan, name, path, before, bytes, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its address, once a client knows that.
    pub(super) fn location(&self) -> Option<String> {
        self.state().location.clone()
    }

    /// The facts that its clients know in this moment.
    pub(super) fn known(&self) -> Known {
        let state = self.state();
        Known { told: state.told, end: state.end }
    }

    pub(crate) fn end(&self) -> End {
        self.state().end
    }

    /// Whether nothing more is to be sent.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.end(), End::Removed | End::Whole)
    }

    /// From now on another client asks as well.
    pub(super) fn is_shared(&self) {
        self.state().has_rivals = true;
    }

    /// Whether another client may have taken it.
    pub(super) fn has_rivals(&self) -> bool {
        self.state().has_rivals
    }

    /// A request is about to be sent that begins it. There may be another one at an address that nobody knows.
    pub(super) fn begins(&self, completes: bool) {
        let mut state = self.state();
        state.has_twin |= state.may_be_whole;
        (state.sent, state.told) = (self.plan.first, 0);
        state.may_be_whole |= completes;
    }

    /// A client knows its address: from the answer, or from one before that.
    pub(super) fn is_at(&self, location: &str, has_begun: bool) {
        let mut state = self.state();
        state.location = Some(location.to_owned());
        state.has_begun |= has_begun;
    }

    /// A request is about to be sent with bytes up to this offset.
    pub(super) fn sends(&self, end: u64, completes: bool) {
        let mut state = self.state();
        state.sent = state.sent.max(end);
        state.may_be_whole |= completes;
    }

    /// A client is told an offset, and knew this when it asked.
    pub(super) fn is_told(&self, before: Known, offset: u64) -> anyhow::Result<()> {
        let (mut state, least) = (self.state(), before.told);
        ensure!(offset >= least, "the offset is {offset}, but {least} was told before");
        ensure!(
            offset <= state.sent,
            "the offset is {offset}, but only {} bytes were sent",
            state.sent
        );
        ensure!(before.end != End::Removed, "it was removed, and is there again");
        state.told = state.told.max(offset);
        state.has_begun = true;
        Ok(())
    }

    /// A client is told that the file is whole.
    pub(super) fn is_whole(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        ensure!(state.may_be_whole, "it is said to be whole before its last byte was sent");
        ensure!(matches!(state.end, End::None | End::Whole), "it was removed, and is whole");
        state.end = End::Whole;
        drop(state);
        self.look()
    }

    /// A client is about to ask for its removal.
    pub(super) fn is_removed(&self) {
        self.state().end = End::Removing;
    }

    /// A client is told that the server knows no such upload.
    pub(super) fn is_unknown(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        match state.end {
            End::Removing | End::Removed => state.end = End::Removed,
            // The address came before the answer, and the answer was a refusal that nobody has read.
            End::None if !state.has_begun => state.location = None,
            // The whole file came with a request without an answer, and once more.
            _ if state.has_twin => {
                state.end = End::Whole;
                drop(state);
                return self.look();
            }
            End::None => bail!("it is unknown, but {} bytes of it were acknowledged", state.told),
            End::Whole => bail!("it is unknown, and its file stands there"),
        }
        Ok(())
    }

    /// Looks at the final name: there is the file of before, or, once all of it was sent, the whole one.
    pub(crate) fn look(&self) -> anyhow::Result<()> {
        let end = self.end();
        let found = match fs::read(&self.path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).context(self.name.clone()),
        };
        let may_be_whole = self.state().may_be_whole;
        let is = |wanted: Option<&Arc<Vec<u8>>>| found.as_ref() == wanted.map(AsRef::as_ref);
        let shown =
            || found.as_ref().map_or(String::from("no file"), |f| format!("{} bytes", f.len()));
        if is(self.before.as_ref()) && end != End::Whole {
            return Ok(());
        }
        if !is(Some(&self.bytes)) {
            let wanted = if end == End::Whole {
                "the whole file"
            } else {
                "that of before, or the whole file"
            };
            bail!("its name shows {}, not {wanted} of {} bytes", shown(), self.bytes.len());
        }
        ensure!(may_be_whole, "its file is visible before the last byte was sent");
        if end == End::Whole
            && self.plan.dialect != Dialect::Draft
            && let Some(wanted) = self.plan.mtime
        {
            let mtime = fs::metadata(&self.path).context(self.name.clone())?.mtime();
            ensure!(mtime == wanted.cast_signed(), "its mtime is {mtime}, not {wanted}");
        }
        Ok(())
    }
}
