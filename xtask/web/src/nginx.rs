//! nginx with its module `dav`, as its own documentation has it, with two workers.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use haul_tests::eventually;
use rustix::process::{Pid, Signal, kill_process};

/// A running nginx. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    address: String,
    root: PathBuf,
}

impl Nginx {
    /// Starts one on a port that nobody had a moment ago.
    pub(crate) fn start(at: &Path) -> anyhow::Result<Self> {
        let root = at.join("root");
        fs::create_dir(&root)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let settings = at.join("nginx.conf");
        fs::write(&settings, config(at, &root, &address))?;
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(&settings)
            .arg("-p")
            .arg(at)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .context("nginx can't be started; on Debian it is in the package nginx-light")?;
        let nginx = Self { child, address, root };
        eventually("nginx listens", || TcpStream::connect(&nginx.address).is_ok());
        Ok(nginx)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The processes that carry out requests.
    pub(crate) fn workers(&self) -> anyhow::Result<Vec<u32>> {
        let id = self.child.id();
        let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        text.split_whitespace().map(|word| word.parse().context("children")).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The first process ends the others.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Bodies are written beside the root, on the same file system, so that a file is renamed and not copied.
fn config(at: &Path, root: &Path, address: &str) -> String {
    let (at, root) = (at.display(), root.display());
    format!(
        "daemon off;\nuser root;\nworker_processes 2;\npid {at}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  client_max_body_size 0;\n  client_body_temp_path {at}/bodies;\n  \
         keepalive_requests 1000000;\n\
         server {{\n    listen {address};\n    root {root};\n    \
         location / {{ dav_methods PUT DELETE MKCOL; create_full_put_path on; dav_access user:rw group:r all:r; }}\n  }}\n}}\n"
    )
}
