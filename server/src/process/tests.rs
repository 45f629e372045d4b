//! The sandbox: a thread of each test is confined, and tries what it may, because a domain of Landlock is a thread's own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Reach;
use crate::net::listen::Listen;

/// A root and a directory beside it, each with files `a` and `b` and a directory `d`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        for directory in ["root", "beside"] {
            let path = place.path().join(directory);
            fs::create_dir_all(path.join("d")).unwrap();
            fs::write(path.join("a"), "a").unwrap();
            fs::write(path.join("b"), "b").unwrap();
        }
        Self(place)
    }

    fn root(&self, name: &str) -> PathBuf {
        self.0.path().join("root").join(name)
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join("beside").join(name)
    }

    /// Runs a function in a thread that is confined to the root and more, with the kernel's version of Landlock. A kernel
    /// without Landlock can't be tested.
    fn confined(
        &self,
        more: impl FnOnce(Reach<'_>) -> Reach<'_> + Send,
        run: impl FnOnce(i32) + Send,
    ) {
        let root = File::open(self.root("")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let reach = more(Reach::new(root.as_fd()));
                if let Some(abi) = reach.restrict().unwrap() {
                    run(abi);
                }
            });
        });
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(result: std::io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn nothing_outside_of_the_root_can_be_opened_or_changed() {
    let place = Place::new();
    let mut log = File::create(place.beside("log")).unwrap();
    symlink(place.beside("a"), place.root("leads_out")).unwrap();
    place.confined(
        |reach| reach,
        |_| {
            denied(fs::read("/etc/passwd"));
            denied(fs::read(place.beside("a")));
            denied(fs::read(place.root("leads_out")));
            denied(fs::read(place.root("../beside/a")));
            denied(fs::read("/proc/self/environ"));
            denied(fs::read_dir(place.beside("")));
            denied(fs::write(place.beside("new"), "x"));
            denied(File::options().write(true).open(place.beside("a")));
            denied(fs::remove_file(place.beside("a")));
            denied(fs::remove_dir(place.beside("d")));
            denied(fs::create_dir(place.beside("new")));
            denied(symlink("x", place.beside("new")));
            denied(fs::rename(place.beside("a"), place.beside("new")));
            denied(fs::rename(place.root("a"), place.beside("new")));
            denied(fs::rename(place.beside("a"), place.root("new")));
            denied(fs::hard_link(place.root("a"), place.beside("new")));
            denied(File::options().write(true).truncate(true).open(place.beside("a")));
            // It was open before.
            log.write_all(b"one line").unwrap();
        },
    );
    assert_eq!(fs::read(place.beside("a")).unwrap(), b"a");
    assert_eq!(fs::read(place.beside("log")).unwrap(), b"one line");
}

#[test]
fn below_the_root_everything_can_be_done_that_the_store_does() {
    let place = Place::new();
    place.confined(
        |reach| reach,
        |_| {
            fs::create_dir(place.root("new")).unwrap();
            fs::write(place.root("new/file"), "x").unwrap();
            fs::rename(place.root("new/file"), place.root("d/file")).unwrap();
            fs::rename(place.root("d"), place.root("new/d")).unwrap();
            fs::hard_link(place.root("a"), place.root("new/d/a")).unwrap();
            symlink("a", place.root("new/link")).unwrap();
            File::options().write(true).open(place.root("a")).unwrap().set_len(0).unwrap();
            assert_eq!(fs::read_dir(place.root("new/d")).unwrap().count(), 2);
            let flags = OFlags::RDWR | OFlags::TMPFILE;
            if let Ok(file) = rustix::fs::openat(CWD, place.root("new"), flags, Mode::RWXU) {
                let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::chmod(&descriptor, Mode::RUSR).unwrap();
                let target = place.root("unnamed");
                rustix::fs::linkat(CWD, descriptor, CWD, target, AtFlags::SYMLINK_FOLLOW).unwrap();
            }
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            let (one, other) = (place.root("new/d"), place.root("b"));
            rustix::fs::renameat_with(CWD, one, CWD, other, exchange).unwrap();
            fs::remove_dir_all(place.root("b")).unwrap();
        },
    );
}

#[test]
fn directory_that_is_worked_in_has_the_rights_of_the_root_and_no_more() {
    let place = Place::new();
    fs::create_dir(place.root("d/staged")).unwrap();
    fs::copy("/bin/true", place.root("d/staged/program")).unwrap();
    let [root, staged] = ["", "d/staged"].map(|name| File::open(place.root(name)).unwrap());
    let confined = || {
        let reach = Reach::new(root.as_fd()).working_in(std::iter::once(staged.as_fd()));
        if reach.restrict().unwrap().is_none() {
            return;
        }
        fs::write(place.root("d/staged/file"), "x").unwrap();
        fs::rename(place.root("d/staged/file"), place.root("file")).unwrap();
        fs::rename(place.root("file"), place.root("d/staged/file")).unwrap();
        denied(Command::new(place.root("d/staged/program")).status());
        denied(UnixListener::bind(place.root("d/staged/socket")));
        denied(fs::rename(place.root("d/staged/file"), place.beside("file")));
        denied(fs::read(place.root("d/staged/../../../beside/a")));
    };
    std::thread::scope(|scope| scope.spawn(confined).join().unwrap());
    assert!(!fs::exists(place.beside("file")).unwrap());
}

#[test]
fn below_the_root_no_program_runs_and_nothing_but_files_is_made() {
    let place = Place::new();
    fs::copy("/bin/true", place.root("program")).unwrap();
    place.confined(
        |reach| reach,
        |_| {
            denied(Command::new(place.root("program")).status());
            denied(Command::new("/bin/true").status());
            denied(UnixListener::bind(place.root("socket")));
            let pipe = rustix::fs::mknodat(CWD, place.root("p"), FileType::Fifo, Mode::RUSR, 0);
            assert_eq!(pipe, Err(Errno::ACCESS));
        },
    );
}

#[test]
fn configuration_can_be_read_and_not_changed() {
    let place = Place::new();
    place.confined(
        |reach| reach.reading(&place.beside("")),
        |_| {
            assert_eq!(fs::read(place.beside("a")).unwrap(), b"a");
            assert_eq!(fs::read_dir(place.beside("")).unwrap().count(), 3);
            denied(fs::write(place.beside("a"), "x"));
            denied(fs::write(place.beside("new"), "x"));
            denied(fs::rename(place.beside("a"), place.beside("b")));
            denied(fs::remove_file(place.beside("a")));
            denied(fs::read("/etc/passwd"));
        },
    );
}

/// As certbot keeps them: `live` has links, and each renewal makes new files in `archive`.
#[test]
fn certificate_can_be_read_after_it_was_replaced() {
    let place = Place::new();
    let (live, archive) = (&place.beside("live"), &place.beside("archive"));
    fs::create_dir(live).unwrap();
    fs::create_dir(archive).unwrap();
    let renew = |number: &str| {
        fs::write(archive.join(number), number).unwrap();
        symlink(format!("../archive/{number}"), live.join("new")).unwrap();
        fs::rename(live.join("new"), live.join("cert")).unwrap();
    };
    renew("1");
    let (ask, asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for () in asked {
                renew("2");
                tell.send(()).unwrap();
            }
        });
        let (beside, cert) = (place.beside("a"), live.join("cert"));
        let run = move |_| {
            assert_eq!(fs::read(&cert).unwrap(), b"1");
            denied(fs::read(beside));
            ask.send(()).unwrap();
            told.recv().unwrap();
            assert_eq!(fs::read(cert).unwrap(), b"2");
        };
        place.confined(|reach| reach.reading_file(&live.join("cert")), run);
    });
}

#[test]
fn audit_file_can_be_made_anew_and_not_be_read_or_removed() {
    let place = Place::new();
    place.confined(
        |reach| reach.appending(&place.beside("audit")),
        |_| {
            let open = || File::options().append(true).create(true).open(place.beside("audit"));
            open().unwrap().write_all(b"x").unwrap();
            open().unwrap().write_all(b"y").unwrap();
            denied(fs::read(place.beside("audit")));
            denied(fs::remove_file(place.beside("audit")));
            denied(fs::rename(place.beside("audit"), place.beside("b")));
        },
    );
}

#[test]
fn socket_of_its_own_can_be_removed_and_none_be_made() {
    let place = Place::new();
    let path = place.beside("socket");
    let listener = UnixListener::bind(&path).unwrap();
    place.confined(
        |reach| reach.listening(&Listen::Unix(path.clone())),
        |_| {
            fs::remove_file(&path).unwrap();
            denied(UnixListener::bind(&path));
        },
    );
    drop(listener);
}

#[test]
fn no_port_is_bound_and_nothing_is_connected_to() {
    let place = Place::new();
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = open.local_addr().unwrap();
    let name = SocketAddr::from_abstract_name(place.root("").as_os_str().as_encoded_bytes());
    let name = name.unwrap();
    let _listener = UnixListener::bind_addr(&name).unwrap();
    place.confined(
        |reach| reach,
        |abi| {
            if abi >= 4 {
                denied(TcpStream::connect(address));
                denied(TcpListener::bind("127.0.0.1:0"));
            }
            if abi >= 6 {
                denied(UnixStream::connect_addr(&name));
            }
            if abi >= 10 {
                denied(UdpSocket::bind("127.0.0.1:0"));
            }
            // A listener goes on.
            open.set_nonblocking(true).unwrap();
            assert_eq!(open.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        },
    );
}

#[test]
fn processes_outside_get_no_signal() {
    let place = Place::new();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = Pid::from_child(&child);
    place.confined(
        |reach| reach,
        |abi| {
            if abi >= 6 {
                assert_eq!(kill_process(pid, Signal::TERM), Err(Errno::PERM));
            }
        },
    );
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The thread that runs a test has others beside it.
#[test]
fn process_with_several_threads_is_not_confined() {
    let place = Place::new();
    let root = File::open(place.root("")).unwrap();
    let error = Reach::new(root.as_fd()).confine().unwrap_err().to_string();
    assert!(error.contains("threads run already"), "{error}");
    fs::read(place.beside("a")).unwrap();
}

#[test]
fn missing_directory_is_named() {
    let place = Place::new();
    place.confined(
        |reach| reach,
        |_| {
            let root = File::open(place.root("")).unwrap();
            let reach = Reach::new(root.as_fd()).reading(&place.root("missing"));
            let error = reach.restrict().unwrap_err().to_string();
            assert!(error.contains("root/missing"), "{error}");
        },
    );
}
