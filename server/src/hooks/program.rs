//! Programs of hooks, as hauld sees them: it asks [`host`](super::host) for a run, and has the program's pipes.

use std::ffi::OsString;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};

use super::ON_COMMIT;
use super::host::{DESCRIPTORS, kept_environment};
use super::post::{self, Url};

/// The process that starts programs.
#[derive(Debug)]
pub(crate) struct Host {
    /// `None` once it is to end.
    socket: Option<OwnedFd>,
    process: Child,
}

/// Whom a hook calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Callee {
    /// This program.
    Program(PathBuf),
    /// The server behind this URL, to which hauld itself posts as the program.
    Url(Url),
}

/// Whom a hook calls, and the option that names it.
pub(crate) type Hook = (&'static str, Callee);

impl Host {
    /// Starts the process. That has to be done before this one is confined. `umask`: of the programs.
    pub(crate) fn start(hooks: &[Hook], root: &Path, umask: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut words = vec![OsString::from("hook-host"), umask.to_string().into(), root.into()];
        let mut url = None;
        for (option, callee) in hooks {
            let program = match callee {
                Callee::Program(program) => program.as_os_str().to_owned(),
                Callee::Url(to) => {
                    url = Some((post::URL, to.text()));
                    OsString::new()
                }
            };
            words.extend([OsString::from(option), program]);
        }
        let process = Command::new("/proc/self/exe")
            .arg0("hauld")
            .args(words)
            .env_clear()
            .envs(kept_environment())
            .envs(url)
            // Ctrl-C is for hauld.
            .process_group(0)
            .current_dir("/")
            .stdin(other)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { socket: Some(own), process })
    }

    /// Starts a program, by its place among the hooks.
    pub(super) fn run(&self, number: u8) -> io::Result<Running> {
        let gone = || io::Error::other("the process that starts programs has ended");
        let socket = self.socket.as_ref().ok_or_else(gone)?;
        let (control, other) = UnixStream::pair()?;
        let [input, output, error] = [(); 3].map(|()| pipe_with(PipeFlags::CLOEXEC));
        let ((input, own_input), (own_output, output), (own_error, error)) =
            (input?, output?, error?);
        let passed: [BorrowedFd<'_>; DESCRIPTORS] =
            [other.as_fd(), input.as_fd(), output.as_fd(), error.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
        let sent = [io::IoSlice::new(std::slice::from_ref(&number))];
        match sendmsg(socket, &sent, &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED) => return Err(gone()),
            sent => sent?,
        };
        for pipe in [&own_input, &own_output, &own_error] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        control.set_nonblocking(true)?;
        let (input, output, error) = (Some(own_input), Some(own_output), Some(own_error));
        Ok(Running { control, told: Vec::new(), input, output, error })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.socket = None;
        // It ends the programs, and then itself.
        if let Err(error) = self.process.wait() {
            tracing::debug!(%error, "could not wait for the process that starts programs");
        }
    }
}

/// A program that was asked for. When this is dropped, the program is killed, with all processes of its group.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) control: UnixStream,
    told: Vec<u8>,
    pub(super) input: Option<OwnedFd>,
    pub(super) output: Option<OwnedFd>,
    pub(super) error: Option<OwnedFd>,
}

/// The end of a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With exit code 0.
    Well,
    /// Otherwise, or it could not be started; in words.
    Badly(String),
}

impl Running {
    /// Reads what the other process tells. `None`: the program runs, or is about to.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        let mut piece = [0; 512];
        loop {
            match self.control.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => self.told.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.told(),
                Err(_) => break,
            }
        }
        let gone = || Ended::Badly(String::from("the process that starts programs has ended"));
        Some(self.told().unwrap_or_else(gone))
    }

    fn told(&self) -> Option<Ended> {
        let text = String::from_utf8_lossy(&self.told);
        let text = text.strip_prefix("runs\n").unwrap_or(&text);
        match text.strip_suffix('\n')? {
            "" => None,
            "done" => Some(Ended::Well),
            other => Some(Ended::Badly(other.to_owned())),
        }
    }
}

/// The callee of a hook: a URL, if the hook may have one, or a program.
///
/// # Errors
/// If the URL is wrong; if the program is not there, nobody may run it, or clients could replace it.
pub(crate) fn check(option: &str, wanted: &Path, root: &Path) -> Result<Callee, String> {
    match wanted.to_str().filter(|text| text.contains("://")) {
        Some(url) if option == ON_COMMIT => Url::new(url).map(Callee::Url),
        Some(_) => Err(String::from("a URL can't be asked before each file; name a program")),
        None => check_program(wanted, root).map(Callee::Program),
    }
}

fn check_program(program: &Path, root: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;

    let shown = program.display();
    let whole = std::path::absolute(program).map_err(|error| format!("`{shown}`: {error}"))?;
    let found = whole.metadata().map_err(|error| format!("`{shown}`: {error}"))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(format!("`{shown}` is no program: not a file that may be run"));
    }
    let real = whole.canonicalize().map_err(|error| format!("`{shown}`: {error}"))?;
    if let Ok(root) = root.canonicalize()
        && (real.starts_with(&root) || whole.starts_with(&root))
    {
        return Err(format!("`{shown}` is below the root, where clients could replace it"));
    }
    Ok(whole)
}
