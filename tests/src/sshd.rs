//! A real sshd on a free port of loopback, with keys, configuration and known hosts of its own: nothing of whoever runs the
//! tests is read or written, but for the start-up files of the user's shell.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::{Client, haul, haul_command};
use crate::{binaries, eventually, place};

/// Debian's package `openssh-server` has it.
const SSHD: &str = "/usr/sbin/sshd";

/// sshd needs it as root, and makes it only when the system starts it.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// How often another port is tried when somebody else has taken a free one.
const TRIES: usize = 5;

/// A running sshd, which is stopped when this is dropped.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    place: TempDir,
}

impl Sshd {
    /// Anybody with the key may run any command.
    #[must_use]
    pub fn start() -> Self {
        Self::with("", "")
    }

    /// The same; `key` stands before the key in `authorized_keys`, and `config` in the configuration.
    #[must_use]
    pub fn with(key: &str, config: &str) -> Self {
        let place = place::in_memory().unwrap();
        fs::create_dir(place.path().join("home")).unwrap();
        fs::create_dir(place.path().join("s")).unwrap();
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
            let status = keygen.arg(place.path().join(name)).status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "ssh-keygen of openssh-client is needed"
            );
        }
        let public = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
        let key = format!("{key}{}", public("user.pub"));
        fs::write(place.path().join("authorized_keys"), key).unwrap();
        fs::write(place.path().join("known_hosts"), format!("box {}", public("host.pub"))).unwrap();
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all(PRIVILEGE_SEPARATION).unwrap();
        }
        for _ in 0..TRIES {
            if let Some(child) = start(place.path(), config) {
                return Self { child, place };
            }
        }
        panic!("{SSHD} of openssh-server does not start: {}", log(place.path()));
    }

    /// The directory of this machine, in which haul runs.
    #[must_use]
    pub fn here(&self) -> &Path {
        self.place.path()
    }

    /// A directory for what comes to the other machine.
    #[must_use]
    pub fn there(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// The program that haul runs in the place of ssh: ssh with the configuration of this sshd.
    #[must_use]
    pub fn ssh(&self) -> String {
        format!("ssh -F {}", self.here().join("config").display())
    }

    /// `haul` with this command and these words. The machine's name is `box`.
    pub fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.args(words).current_dir(self.here()).args(["--ssh", &self.ssh()]);
        command.env("HAUL_CONFIG_DIR", self.here().join("config-of-haul"));
        command.arg("--hauld").arg(&binaries::get().hauld);
        command
    }

    /// The same, to be started.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = haul_command();
        command.args(words).current_dir(self.here()).args(["--ssh", &self.ssh()]);
        command.env("HAUL_CONFIG_DIR", self.here().join("config-of-haul"));
        command.arg("--hauld").arg(&binaries::get().hauld);
        command
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(place: &Path) -> String {
    fs::read_to_string(place.join("log")).unwrap_or_default()
}

/// Starts sshd on a port that was free; `None` if it does not listen.
fn start(place: &Path, more: &str) -> Option<Child> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = place.display();
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let user = user.trim();
    let sshd = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
         PidFile {at}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin yes\nPrintMotd no\nUseDNS no\n{more}\n"
    );
    fs::write(place.join("sshd_config"), sshd).unwrap();
    let ssh = format!(
        "Host *\n HostName 127.0.0.1\n HostKeyAlias box\n Port {port}\n User {user}\n IdentityFile {at}/user\n \
         IdentitiesOnly yes\n IdentityAgent none\n UserKnownHostsFile {at}/known_hosts\n GlobalKnownHostsFile /dev/null\n \
         StrictHostKeyChecking yes\n BatchMode yes\n ControlMaster no\n"
    );
    fs::write(place.join("config"), ssh).unwrap();
    let log_file = fs::File::create(place.join("log")).unwrap();
    let mut command = Command::new(SSHD);
    command.args(["-D", "-e", "-f"]).arg(place.join("sshd_config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{SSHD} of openssh-server: {error}"));
    let (mut listens, mut ended) = (false, false);
    eventually("sshd listens or ends", || {
        listens = log(place).contains("Server listening on");
        ended = child.try_wait().unwrap().is_some();
        listens || ended
    });
    listens.then_some(child)
}
