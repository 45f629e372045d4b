//! The command line of `hauld`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use haul_protocol::Shown;

use crate::announcement::Discoverable;
use crate::config::{AccessLogFile, CertificateFiles, Config, Durability, Tls};
use crate::error::StartError;
use crate::hooks::host::HookHost;
use crate::hooks::post::HookPost;
use crate::http::forwarded::TrustedProxy;
use crate::http::origins::HttpOrigin;
use crate::log::LogFormat;
pub use crate::maintenance::environment::Environment;
use crate::maintenance::key::{Fingerprint, Key};
use crate::maintenance::new_account::Link;
use crate::maintenance::partials::Partials;
use crate::maintenance::status::Status;
use crate::maintenance::users::Users;
use crate::net::listen::Listen;
use crate::services::timeouts::Timeouts;
use crate::settings_file::{self, SettingsFile, alone, with_variables};
use crate::symlinks::Symlinks;

/// Takes uploads from `haul` under one root directory: each file appears whole and verified, or not
/// at all.
///
/// Logs go to standard error (HAUL_LOG=debug shows more). For each address one line "listening on
/// ADDRESS" goes to standard output when connections are accepted. SIGTERM or Ctrl-C stops: no more
/// connections, transfers under way may finish; a second one stops at once.
#[derive(Debug, Clone, Parser)]
#[command(name = "hauld", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Something else than to serve.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Serve one client over standard input and output, and end with it: `haul` starts this over ssh. The client says which
    /// directory becomes the root; with --root it is that one, or one in it. Takes no option about addresses and accounts.
    #[arg(long)]
    pub stdio: bool,

    /// Serve the directory that this process was started in, and the client at standard input, a socket: `--stdio` starts this.
    #[arg(long, hide = true, requires = "stdio")]
    pub stdio_host: bool,

    /// Open a port of this machine for that client.
    #[arg(long, hide = true, requires = "stdio_host")]
    pub stdio_direct: bool,

    /// Answer multicast DNS for the hauld at standard input, which starts this.
    #[arg(long, hide = true)]
    pub responder: bool,

    /// File of settings, in TOML: each key is the name of an option here, without dashes in front, such as keep-free = "1GiB".
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Address to listen on: `HOST:PORT`, `[V6]:PORT` or `unix:PATH`; may be given several times. Port 0
    /// takes a free port. Sockets that systemd gives (hauld.socket) take the place of all addresses.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', default_value = "127.0.0.1:8080")]
    pub listen: Vec<Listen>,

    /// Directory that uploads go to; made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "./uploads")]
    pub root: PathBuf,

    /// Change nothing: files can be listed and read, and every other request is refused. The root must be there, and may be
    /// one that this user can't write to, or that another hauld serves.
    #[arg(long)]
    pub read_only: bool,

    /// Worker threads [default: twice the cores, at least 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Promise of an acknowledgement: "group" holds across a power cut, and flushes many changes
    /// together; "none" holds across a crash of this process.
    #[arg(long, value_enum, default_value = "group")]
    pub durability: Durability,

    /// Keep no digests with files, and believe none. Otherwise the digest of each file of more than 128 KiB is kept in the
    /// extended attribute user.haul.blake3, and files whose size, mtime and inode are unchanged are compared by it, unread.
    #[arg(long)]
    pub no_kept_digests: bool,

    /// Symbolic links that are stored: "any" as they are; "inside" only those that can't lead out of the
    /// root, of an account out of its own; "none". No link is ever followed [default: inside for accounts, otherwise any].
    #[arg(long, value_enum, value_name = "WHICH")]
    pub symlinks: Option<Symlinks>,

    /// How long an interrupted upload of a large file can be taken up again.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "7d")]
    pub keep_partials: Duration,

    /// Space that stays free on the file system of the root: what uploads take on the disk is counted, in whole
    /// blocks. The file system may take some 100 KiB more for itself.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "16MiB")]
    pub keep_free: u64,

    /// Largest file, such as 10GiB; at most 1TiB.
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1TiB")]
    pub max_file: u64,

    /// Connections at once [default: 10000, or what the limit of open files allows].
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,

    /// Addresses that take TLS: "auto" takes nothing else where other machines reach it, and both where only this machine
    /// does, if there is a key; "always" takes nothing else over TCP; "never" takes none. Unix sockets take none.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub tls: Tls,

    /// Directory of the server's key, certificate and accounts, never inside of the root [default: $STATE_DIRECTORY, /var/lib/hauld for root, or
    /// ~/.local/state/hauld].
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,

    /// PEM file of a certificate that an authority vouches for, and of those above it; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// PEM file of the key of that certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Name by which browsers and other clients of HTTP call this server, such as files.example; may be given several times.
    /// Addresses and "localhost" are always known.
    #[arg(long, value_name = "NAME", env = "HAULD_HTTP_HOST", value_delimiter = ',')]
    pub http_host: Vec<String>,

    /// Origin (scheme, host and port) of pages of another server that may ask here with a token; may be given several times.
    /// All other pages may change and read nothing.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub http_origin: Vec<HttpOrigin>,

    /// Proxy that says for which client it asks (X-Forwarded-For and the like): its address, or ADDR/BITS for all that begin with
    /// these bits; may be given several times. By it other machines reach the server, so they need accounts and https://.
    #[arg(long, value_name = "ADDR[/BITS]", value_delimiter = ',')]
    pub trusted_proxy: Vec<TrustedProxy>,

    /// File to which the audit log is appended, a line of JSON for each login, refusal, change, and change of the accounts.
    /// SIGHUP opens the file anew. Never inside of the root.
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,

    /// File to which the access log is appended, a line for each file that is stored or read, in the form of --log-format. SIGHUP opens
    /// the file anew. Never inside of the root.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,

    /// Form of the log: "text" for people, "json" for programs, an object a line.
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    pub log_format: LogFormat,
    /// Program, or URL, that is told of each change that clients have made, once it lasts: a line of JSON for each on the program's
    /// standard input, or posted, many at once, at least once each. A program is never inside of the root.
    #[arg(long, value_name = "PROGRAM|URL")]
    pub on_commit: Option<PathBuf>,

    /// Program that is asked before the bytes of a file are taken, and may refuse it. It is kept running: a line of JSON for each
    /// file on its standard input, a line for each answer on its standard output. Never inside of the root.
    #[arg(long, value_name = "PROGRAM")]
    pub before_put: Option<PathBuf>,

    /// Most bytes of changes that wait for the program of --on-commit, at least 64KiB. If there is no room for a change, it is
    /// refused as busy, and clients try again.
    #[arg(long, value_name = "SIZE", value_parser = spool, default_value = "64MiB")]
    pub hook_spool: u64,

    /// How long the program of --on-commit may run. Then it is killed, and run again.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1m")]
    pub hook_timeout: Duration,

    /// How long the program of --before-put may take for an answer. Then it is killed, and started again.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s")]
    pub hook_answer: Duration,

    /// Address at which /metrics (for Prometheus), /health and /ready are told over HTTP, in clear and to everybody who reaches
    /// it: better 127.0.0.1:9418 than one that other machines reach.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<Listen>,

    /// Tell everybody in the network of this server, by multicast DNS (UDP, port 5353): its NAME [default: that of the machine],
    /// its addresses and ports, whether they take TLS, and the pin of its key. `haul discover` finds it, and `haul put FILE
    /// HOST.local`.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub discoverable: Option<Discoverable>,

    /// Listen on an address that other machines reach, though nobody is asked who they are and nothing needs to be
    /// encrypted.
    #[arg(long)]
    pub insecure: bool,

    /// User of this machine as whom to go on once the addresses are bound; GROUP is that of new files. Only root may name
    /// another user than the one that hauld runs as already. A root that is missing is made for that user.
    #[arg(long, value_name = "NAME[:GROUP]")]
    pub user: Option<String>,

    /// Do not confine the process. Otherwise the kernel (Landlock) lets it reach nothing but the root and its own
    /// configuration.
    #[arg(long)]
    pub no_sandbox: bool,

    /// How long the header of a request may take.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    pub header_timeout: Duration,

    /// How long a peer may pause inside a body, leave answers unread, or keep a directory from others
    /// by an empty draft of its next version. While no more connections are taken, 64 KiB must
    /// come or go in 5 s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    pub body_timeout: Duration,

    /// How long a haul client may ask for nothing; classic clients may for ever. While no more connections are
    /// taken, both may for as long as a header may take.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    pub idle_timeout: Duration,

    /// How long transfers may go on after a signal to stop.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    pub grace: Duration,

    /// Unanswered requests that a client may have on one connection.
    #[arg(long, value_name = "N", default_value_t = haul_protocol::limits::WINDOW_REQUESTS,
          value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub window_requests: u64,
}

/// Commands other than to serve.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// The rests of interrupted uploads of large files, and of interrupted publishes; only while no server serves that root.
    #[command(subcommand)]
    Partials(Partials),
    /// Ask the server of a root who is connected and what is under way. Only its user and root may.
    Status(Status),
    /// Shows the pin of the server's key, which clients ask for; makes the key if there is none.
    Fingerprint(Fingerprint),
    /// The key that comes next.
    #[command(subcommand)]
    Key(Key),
    /// The accounts: who may connect, and what each may do.
    #[command(subcommand)]
    User(Users),
    /// The settings: whether a file is right, and where each comes from.
    #[command(subcommand)]
    Config(SettingsCommand),
    /// Makes an account that may only put, into fresh directories, and that ends; shows its link and its token.
    Link(Link),
    /// Starts the programs of hooks for the hauld at standard input, which has started this.
    #[command(hide = true)]
    HookHost(HookHost),
    /// Posts standard input to the URL of a hook, for the process that starts the programs of hooks.
    #[command(hide = true)]
    HookPost(HookPost),
}

/// A command about the settings.
#[derive(Debug, Clone, Subcommand)]
pub enum SettingsCommand {
    /// Reads a file of settings, and tells all that is wrong in it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Shows every setting as `hauld --config FILE` would have it, and where it comes from.
    Show {
        /// The file; without one, defaults and variables.
        #[arg(env = "HAULD_CONFIG")]
        file: Option<PathBuf>,
    },
}

impl SettingsCommand {
    /// # Errors
    /// If the file can't be read or is wrong, or nothing can be written.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), StartError> {
        let command = command();
        match self {
            Self::Check { file } => {
                let read = SettingsFile::read(file, &command)?;
                let settings = read.count();
                Arguments::of(read.apply(alone(command)).try_get_matches_from(["hauld"]))?;
                let noun = if settings == 1 { "setting" } else { "settings" };
                writeln!(out, "{}: {settings} {noun}, all right", Shown(file.display()))?;
            }
            Self::Show { file } => {
                let read = |file: &PathBuf| SettingsFile::read(file, &command);
                let file = file.as_ref().map(read).transpose()?.unwrap_or_default();
                settings_file::show(&command, &file, out)?;
            }
        }
        Ok(())
    }
}

/// The directory of the key and the accounts of a service, such as that of the package.
const OF_SERVICE: &str = "/var/lib/hauld";

/// The directory of the key of a service on this machine, if there is one and [`usual_config_dir`] is another.
#[must_use]
pub fn service_config_dir() -> Option<PathBuf> {
    let of_service = PathBuf::from(OF_SERVICE);
    let is_other = of_service.is_dir() && usual_config_dir().as_ref() != Some(&of_service);
    is_other.then_some(of_service)
}

/// The directory of the server's key if nobody names one: that of a service, or that of the user.
#[must_use]
pub fn usual_config_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(paths) = set("STATE_DIRECTORY") {
        // A service may have several (systemd.exec(5)).
        return std::env::split_paths(&paths).next();
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from(OF_SERVICE));
    }
    let state = set("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(own_home(set("HOME")?)?.join(".local/state")));
    state.map(|state| state.join("hauld"))
}

/// The user's home; none if it is another user's, as after `su` without `-`.
fn own_home(home: OsString) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    let (home, user) = (PathBuf::from(home), rustix::process::geteuid().as_raw());
    home.metadata().is_ok_and(|found| found.uid() == user).then_some(home)
}

/// All words of `hauld`, each option with its variable.
#[must_use]
pub fn command() -> clap::Command {
    with_variables(Arguments::command())
}

impl Arguments {
    /// Reads the command line, the variables `HAULD_*`, and the file of settings if one is named. Ends the process if the
    /// words are wrong, or ask for help.
    ///
    /// # Errors
    /// If the file can't be read or is wrong.
    pub fn read() -> Result<(Self, ArgMatches), StartError> {
        let mut command = command();
        if std::env::args_os().any(|word| word == "--stdio" || word == "--responder") {
            // The environment is that of the user whom ssh has let in, and means other servers.
            command = alone(command);
        }
        let matches = command.clone().get_matches();
        let arguments = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        match &arguments.config {
            Some(file)
                if arguments.command.is_none() && !arguments.stdio && !arguments.responder =>
            {
                Ok((Self::with_file(command, file)?, matches))
            }
            _ => Ok((arguments.whole()?, matches)),
        }
    }

    /// The same once more, if a file of settings is named: it may have changed.
    ///
    /// # Errors
    /// If the file can't be read or is wrong.
    pub fn read_again(&self) -> Option<Result<Self, StartError>> {
        let file = self.config.as_ref()?;
        Some(Self::with_file(command(), file))
    }

    fn with_file(command: clap::Command, file: &Path) -> Result<Self, StartError> {
        Self::of(SettingsFile::read(file, &command)?.apply(command).try_get_matches())
    }

    fn of(matches: Result<ArgMatches, clap::Error>) -> Result<Self, StartError> {
        let wrong = |error: clap::Error| StartError::Usage(error.to_string());
        Self::from_arg_matches(&matches.map_err(wrong)?).map_err(wrong)?.whole()
    }

    /// Itself, if no part of it lacks another one.
    fn whole(self) -> Result<Self, StartError> {
        match (&self.cert, &self.key) {
            (Some(_), None) => Err(StartError::Usage(String::from("`cert` needs `key`, too"))),
            (None, Some(_)) => Err(StartError::Usage(String::from("`key` needs `cert`, too"))),
            _ => Ok(self),
        }
    }

    /// The form of the log. Commands other than to serve tell people.
    #[must_use]
    pub fn log_format(&self) -> LogFormat {
        if self.command.is_some() { LogFormat::Text } else { self.log_format }
    }

    /// The configuration that these words ask for. `umask`: of the process, before it was changed.
    #[must_use]
    pub fn config(&self, umask: u32) -> Config {
        let timeouts = Timeouts {
            header: self.header_timeout,
            body: self.body_timeout,
            idle: self.idle_timeout,
            grace: self.grace,
        };
        Config {
            listen: self.listen.clone(),
            read_only: self.read_only,
            workers: self.workers,
            durability: self.durability,
            kept_digests: !self.no_kept_digests,
            symlinks: self.symlinks,
            keep_partials: self.keep_partials,
            keep_free: self.keep_free,
            max_file: self.max_file,
            max_connections: self.max_connections,
            tls: self.tls,
            config_dir: self.config_dir.clone().or_else(usual_config_dir),
            certificate: self
                .cert
                .clone()
                .zip(self.key.clone())
                .map(|(chain, key)| CertificateFiles { chain, key }),
            http_hosts: self.http_host.clone(),
            http_origins: self.http_origin.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            audit: self.audit.clone(),
            access_log: self
                .access_log
                .clone()
                .map(|path| AccessLogFile { path, format: self.log_format }),
            on_commit: self.on_commit.clone(),
            before_put: self.before_put.clone(),
            hook_spool: self.hook_spool,
            hook_timeout: self.hook_timeout,
            hook_answer: self.hook_answer,
            metrics: self.metrics.clone(),
            insecure: self.insecure,
            timeouts,
            window_requests: self.window_requests,
            umask,
            ..Config::new(&self.root)
        }
    }
}

/// The words of the command line for [`Durability`].
impl ValueEnum for Durability {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::None, Self::Group]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::None => "The file survives a crash of the server's process",
            Self::Group => "The file survives a power cut",
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

/// The words of the command line for [`Tls`].
impl ValueEnum for Tls {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (word, help) = match self {
            Self::Auto => ("auto", "Nothing else where other machines reach it"),
            Self::Always => ("always", "Nothing else over TCP"),
            Self::Never => ("never", "None"),
        };
        Some(PossibleValue::new(word).help(help))
    }
}

/// The words of the command line for [`Symlinks`].
impl ValueEnum for Symlinks {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Any, Self::Inside, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (word, help) = match self {
            Self::Any => ("any", "Any, as they are"),
            Self::Inside => ("inside", "Those that can't lead out of the root"),
            Self::None => ("none", "None"),
        };
        Some(PossibleValue::new(word).help(help))
    }
}

fn size(text: &str) -> Result<u64, String> {
    const MAX: u64 = haul_protocol::limits::MAX_PARTED_SIZE;
    match parse_size::parse_size(text) {
        Ok(size) if size <= MAX => Ok(size),
        Ok(_) => Err(String::from("more than 1TiB")),
        Err(_) => Err(String::from("not a number of bytes, such as 5000, 10MiB or 2GB")),
    }
}

/// Bytes of a spool.
fn spool(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 10;
    match size(text)? {
        size if size >= LEAST => Ok(size),
        _ => Err(String::from("less than 64KiB")),
    }
}

/// Commands that start a server, for a person who has typed `hauld` and nothing else.
pub const HOW_TO_START: &str = "\
which directory do uploads go to?
  hauld --root DIR              takes them from this machine, at 127.0.0.1:8080
  hauld --root DIR --listen 0.0.0.0:8080
                                takes them from everybody who has an account;
                                with --insecure from everybody who reaches it
  haul put FILE localhost       sends one there, from another terminal
`hauld --help` explains every option.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        command().debug_assert();
    }
}
