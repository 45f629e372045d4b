//! Configuration of a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul_protocol::limits;

use crate::http::forwarded::TrustedProxy;
use crate::http::origins::HttpOrigin;
use crate::log::LogFormat;
use crate::net::listen::Listen;
use crate::services::timeouts::Timeouts;
use crate::symlinks::Symlinks;

/// Tells a [`Server`](crate::Server) which directory it serves, and how. [`Config::new`] has the defaults of `hauld`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on. Default: 127.0.0.1:8080.
    pub listen: Vec<Listen>,
    /// Directory that uploads go to; made if it is missing.
    pub root: PathBuf,
    /// Nothing is changed: files are listed and read, and all other requests are refused. The root must be there; nothing is
    /// made in it, and it is not locked. Default: no.
    pub read_only: bool,
    /// Worker threads. Default: twice the cores, at least 4.
    pub workers: Option<u16>,
    /// The promise of an acknowledgement. Default: [`Durability::Group`].
    pub durability: Durability,
    /// Digests of large files are kept with them, and believed. Default: yes.
    pub kept_digests: bool,
    /// The symlinks that are stored. Default: those that stay inside of the root of an account, and any of a server without
    /// accounts.
    pub symlinks: Option<Symlinks>,
    /// Time for which a client can take up an interrupted upload of a large file again. Default: 7 days.
    pub keep_partials: Duration,
    /// Bytes that stay free on the file system of the root. Default: 16 MiB.
    pub keep_free: u64,
    /// Bytes of the largest file. Default: 1 TiB, which is the most.
    pub max_file: u64,
    /// Connections at once. Default: 10,000, or what the limit of open files allows.
    pub max_connections: Option<usize>,
    /// The addresses that take TLS. Default: [`Tls::Auto`].
    pub tls: Tls,
    /// Directory of the server's own key; made if it is missing and a key is needed. Default: none, and so no own key.
    pub config_dir: Option<PathBuf>,
    /// A certificate that an authority vouches for, instead of an own key. Default: none.
    pub certificate: Option<CertificateFiles>,
    /// Names by which browsers and other clients of HTTP may call this server, besides addresses and `localhost`. Default: none.
    pub http_hosts: Vec<String>,
    /// Origins of pages of other servers that may ask here with a token. Default: none.
    pub http_origins: Vec<HttpOrigin>,
    /// Proxies that are believed for which client they ask. Default: none.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// File to which the audit log is appended. Default: none.
    pub audit: Option<PathBuf>,
    /// File to which the access log is appended. Default: none.
    pub access_log: Option<AccessLogFile>,
    /// Program that is told of each change that a client has made, once it lasts. The process starts its own program a second
    /// time to run it, so only `hauld` itself can have one. Default: none.
    pub on_commit: Option<PathBuf>,
    /// Program that is asked before the bytes of a file are taken, and may refuse it; run as the one before. Default: none.
    pub before_put: Option<PathBuf>,
    /// Bytes of the changes that wait for `on_commit`: changes for which there is no room are refused as busy. Default: 64 MiB.
    pub hook_spool: u64,
    /// Time for which `on_commit` may run. Default: 1 minute.
    pub hook_timeout: Duration,
    /// Time that `before_put` has for an answer. Default: 1 s.
    pub hook_answer: Duration,
    /// Address at which `/metrics`, `/health` and `/ready` are told over HTTP, in clear and to everybody. Default: none.
    pub metrics: Option<Listen>,
    /// Serve also on addresses that other machines reach, though nothing is encrypted and nobody is asked who they are.
    pub insecure: bool,
    /// Other servers may serve directories below the root: their own directories `.haul` are nobody's. Default: no.
    pub guards_others: bool,
    /// Times for which peers may be silent.
    pub timeouts: Timeouts,
    /// Unanswered requests that a client may have on one connection. Default: [`limits::WINDOW_REQUESTS`].
    pub window_requests: u64,
    /// Permission bits that a file or directory does not get for which the client states no mode. Default: 0o022.
    pub umask: u32,
}

impl Config {
    /// Serves this directory on 127.0.0.1:8080.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            listen: vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))],
            root: root.to_owned(),
            read_only: false,
            workers: None,
            durability: Durability::Group,
            kept_digests: true,
            symlinks: None,
            keep_partials: Duration::from_secs(7 * 24 * 3600),
            keep_free: 16 << 20,
            max_file: limits::MAX_PARTED_SIZE,
            max_connections: None,
            tls: Tls::Auto,
            config_dir: None,
            certificate: None,
            http_hosts: Vec::new(),
            http_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            audit: None,
            access_log: None,
            on_commit: None,
            before_put: None,
            hook_spool: 64 << 20,
            hook_timeout: Duration::from_secs(60),
            hook_answer: Duration::from_secs(1),
            metrics: None,
            insecure: false,
            guards_others: false,
            timeouts: Timeouts::default(),
            window_requests: limits::WINDOW_REQUESTS,
            umask: 0o022,
        }
    }

    /// The settings that this server was started with, and that another configuration has otherwise, as on the command line.
    /// The ones that may change while it runs are not among them.
    pub(crate) fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let (a, b) = (self, other);
        let path = |of: &Self| of.access_log.as_ref().map(|log| log.path.clone());
        let differ = [
            ("listen", a.listen != b.listen),
            ("root", a.root != b.root),
            ("read-only", a.read_only != b.read_only),
            ("workers", a.workers != b.workers),
            ("durability", a.durability != b.durability),
            ("no-kept-digests", a.kept_digests != b.kept_digests),
            ("max-connections", a.max_connections != b.max_connections),
            ("tls", a.tls != b.tls),
            ("config-dir", a.config_dir != b.config_dir),
            ("cert, key", a.certificate != b.certificate),
            ("http-host", a.http_hosts != b.http_hosts),
            ("http-origin", a.http_origins != b.http_origins),
            ("trusted-proxy", a.trusted_proxies != b.trusted_proxies),
            ("audit", a.audit != b.audit),
            ("access-log", path(a) != path(b)),
            ("on-commit", a.on_commit != b.on_commit),
            ("before-put", a.before_put != b.before_put),
            ("hook-spool", a.hook_spool != b.hook_spool),
            ("hook-timeout", a.hook_timeout != b.hook_timeout),
            ("hook-answer", a.hook_answer != b.hook_answer),
            ("metrics", a.metrics != b.metrics),
            ("insecure", a.insecure != b.insecure),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

/// The addresses that take TLS, and those that take nothing else. Unix sockets take none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// An address that other machines reach takes nothing else, unless the server is [insecure](Config::insecure). One that
    /// only this machine reaches takes both if the server has a key.
    Auto,
    /// No TCP address takes anything else.
    Always,
    /// No address takes any.
    Never,
}

/// Files of a certificate and its key, which are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file of the certificates, the server's own one first.
    pub chain: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

/// The file of an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogFile {
    /// The file.
    pub path: PathBuf,
    /// The form of its lines.
    pub format: LogFormat,
}

/// The promise of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The file survives a crash of the server's process.
    None,
    /// The file survives a power cut.
    Group,
}

impl Durability {
    /// The word in `hello`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Group => "group",
        }
    }
}
