//! An sshd of its own for each turn, and the commands that reach it. Nothing of the user's own is read or written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::peer::{Place, path_of};

/// The configuration of the client.
const CLIENT: &str = "ssh.conf";

/// The remote program: `hauld`, told how durable files have to be.
const REMOTE: &str = "remote-hauld";

/// The directory of the program that stands in for ssh, and gives it its configuration.
const PROGRAMS: &str = "programs";

/// The server.
pub(crate) fn server(at: &Place<'_>) -> anyhow::Result<Command> {
    for key in ["host", "user"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        ensure!(keygen.arg(at.directory.join(key)).status()?.success(), "no key");
    }
    let (place, port) = (at.directory.display(), at.port);
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\n\
         AuthorizedKeysFile {place}/user.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n",
    );
    at.file(
        CLIENT,
        &format!(
            "IdentityFile {place}/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\n\
             BatchMode yes\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        ),
    )?;
    let durability = if at.durable { "group" } else { "none" };
    let hauld = at.binaries.hauld.display();
    let remote = format!("#!/bin/sh\nexec {hauld} --durability {durability} \"$@\"\n");
    let remote = at.file(REMOTE, &remote)?;
    fs::set_permissions(remote, fs::Permissions::from_mode(0o755))?;
    let ssh = path_of("ssh").context("ssh is there")?;
    let settings = at.directory.join(CLIENT);
    let wrapper = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", ssh.display(), settings.display());
    fs::create_dir_all(at.directory.join(PROGRAMS))?;
    let wrapper = at.file(&format!("{PROGRAMS}/ssh"), &wrapper)?;
    fs::set_permissions(wrapper, fs::Permissions::from_mode(0o755))?;
    // If sshd is not a service here, nobody has made this directory. If that fails, sshd says so.
    let _ = fs::create_dir_all("/run/sshd");
    // sshd starts itself again for each connection, and wants to be named in full for that.
    let mut sshd = Command::new(path_of("sshd").context("sshd is there")?);
    sshd.args(["-D", "-e", "-f"]).arg(at.file("sshd.conf", &config)?);
    Ok(sshd)
}

/// Arguments of `haul put` to it.
pub(crate) fn haul(haul: &mut Command, source: &Path, port: u16, at: &Place<'_>) {
    haul.args(["put", "--quiet", "--hauld"]).arg(at.directory.join(REMOTE));
    // A program with the name of ssh, and no `--ssh`, so that haul chooses the cipher as for any user.
    let mut programs = vec![at.directory.join(PROGRAMS)];
    programs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    haul.envs(std::env::join_paths(programs).map(|programs| ("PATH", programs)));
    haul.env_remove("HAUL_SSH");
    haul.arg(source).arg(format!("ssh://127.0.0.1:{port}{}", at.target().display()));
    haul.env("HAUL_CONFIG_DIR", at.directory.join("haul"));
}

/// Arguments of `rsync -a -e ssh` to it.
pub(crate) fn rsync(rsync: &mut Command, source: &Path, port: u16, at: &Place<'_>) {
    rsync.args(["-a", "--whole-file", "-e", &format!("{} -p {port}", ssh(at))]);
    rsync.args(at.durable.then_some("--fsync"));
    rsync.arg(source).arg(target(at));
}

/// Arguments of `scp -r` to it.
pub(crate) fn scp(scp: &mut Command, source: &Path, port: u16, at: &Place<'_>) {
    scp.arg("-F").arg(config(at)).args(["-q", "-r", "-p", "-P", &port.to_string()]);
    scp.arg(source).arg(target(at));
}

/// The words that run the client of ssh.
fn ssh(at: &Place<'_>) -> String {
    format!("ssh -F {}", config(at).display())
}

fn config(at: &Place<'_>) -> PathBuf {
    at.directory.join(CLIENT)
}

fn target(at: &Place<'_>) -> String {
    format!("127.0.0.1:{}/", at.target().display())
}
