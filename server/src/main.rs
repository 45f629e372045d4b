//! `hauld`: reads the command line, starts the server and waits for signals.

mod service;
mod signals;

use std::fmt::Display;
use std::fs::DirBuilder;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::ArgMatches;
use haul_protocol::Shown;
use haul_server::cli::{
    Arguments, Command, Environment, HOW_TO_START, service_config_dir, usual_config_dir,
};
use haul_server::process::{self, Reach, SystemUser};
use haul_server::responder;
use haul_server::stdio::{self, Caller, StdioError};
use haul_server::{
    Announcer, Config, Given, Listen, LogFormat, Responding, Server, StartError, may_announce,
};

use signals::{Wanted, Watch};

/// Wrong arguments, a taken address or a root that can't be served.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    if is_bare() && (std::io::stdin().is_terminal() || std::io::stdout().is_terminal()) {
        // Nothing can be told if standard error is gone.
        let _ = writeln!(std::io::stderr(), "hauld: {HOW_TO_START}");
        return ExitCode::from(USAGE);
    }
    // The client's terminal shows the log of a server that it has started.
    let is_stdio = arguments.as_ref().is_ok_and(|(arguments, _)| arguments.stdio);
    let usual = if is_stdio { "warn" } else { "info" };
    let log = arguments.as_ref().map_or(LogFormat::Text, |(arguments, _)| arguments.log_format());
    log.start(usual);
    let tell = |text: &dyn Display| log.tell(text);
    let (arguments, matches) = match arguments {
        Ok(read) => read,
        Err(error) => {
            tell_each(&error, log);
            return ExitCode::from(USAGE);
        }
    };
    if let Some(command) = &arguments.command {
        return match run(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell_each(&error, log);
                ExitCode::from(USAGE)
            }
        };
    }
    if arguments.responder {
        return respond(&arguments, log);
    }
    if arguments.stdio {
        return stdio(&matches, &arguments, log);
    }
    let given = match Given::take() {
        Ok(given) => given,
        Err(error) => {
            tell(&error);
            return ExitCode::from(USAGE);
        }
    };
    // Before the first thread and the first write: a signal must find its handler.
    let watch = match Watch::start() {
        Ok(watch) => watch,
        Err(error) => {
            tell(&format_args!("could not watch signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let umask = process::prepare();
    let (server, announcer) = match start(&arguments, given, umask) {
        Ok(started) => started,
        Err(error) => {
            tell(&error);
            return ExitCode::from(USAGE);
        }
    };
    match serve(server, announcer, watch, &arguments, umask) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Answers multicast DNS for another hauld. Signals to both are for the other one, which ends this one.
fn respond(arguments: &Arguments, log: LogFormat) -> ExitCode {
    let watch = Watch::start();
    let answered = responder::run(!arguments.no_sandbox);
    drop(watch);
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.tell(&error);
            ExitCode::FAILURE
        }
    }
}

/// Serves the client at standard input and output.
fn stdio(matches: &ArgMatches, arguments: &Arguments, log: LogFormat) -> ExitCode {
    let tell = |text: &dyn Display| log.tell(text);
    if std::io::stdin().is_terminal() {
        tell(&stdio::WHAT_FOR);
        return ExitCode::from(USAGE);
    }
    let options =
        |umask| stdio::Options::new(matches, arguments, umask).unwrap_or_else(|error| error.exit());
    // The process that serves is another one, and its files get no umask.
    let served = match arguments.stdio_host {
        true => host(options(process::prepare())),
        false => relay(options(0)),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(StdioError::Told(why)) => {
            tracing::info!("{why}");
            ExitCode::from(USAGE)
        }
        Err(StdioError::Untold(why)) => {
            tell(&why);
            ExitCode::from(USAGE)
        }
        Err(StdioError::CutOff(why)) => {
            tell(&why);
            ExitCode::FAILURE
        }
    }
}

/// Relays between the client and a server.
fn relay(options: stdio::Options) -> Result<(), StdioError> {
    // Until then nothing has been done, and a signal just ends the process.
    let Some(caller) = Caller::receive(options)? else { return Ok(()) };
    let watch = watch_signals()?;
    caller.open()?.serve(|stopper| {
        follow(watch, move |is_first| match is_first {
            true => stopper.stop(),
            false => stopper.stop_now(),
        });
    })
}

/// Serves a client for a process that relays.
fn host(options: stdio::Options) -> Result<(), StdioError> {
    let watch = watch_signals()?;
    stdio::host(options, |stopper| {
        follow(watch, move |is_first| match is_first {
            true => stopper.stop(),
            false => std::process::exit(0),
        });
    })
}

fn watch_signals() -> Result<Watch, StdioError> {
    Watch::start().map_err(|error| StdioError::Untold(format!("could not watch signals: {error}")))
}

/// Has a thread tell of each signal that is to end the process, and whether it is the first.
fn follow(mut watch: Watch, mut tell: impl FnMut(bool) + Send + 'static) {
    let followed = thread::Builder::new().name(String::from("signals")).spawn(move || {
        if watch.next().is_some() {
            tell(true);
        }
        while let Some(wanted) = watch.next() {
            if wanted == Wanted::Stop {
                tell(false);
            }
        }
    });
    if let Err(error) = followed {
        tracing::warn!(%error, "signals end nothing, because a thread could not be had");
    }
}

/// Starts the server. Root binds its addresses, the user opens its root, and the sandbox is on before the first thread.
fn start(
    arguments: &Arguments,
    given: Given,
    umask: u32,
) -> Result<(Server, Option<Announcer>), StartError> {
    let config = arguments.config(umask);
    let user = arguments.user.as_deref().map(SystemUser::find).transpose()?.flatten();
    if let Some(user) = &user {
        user.make_directory(&config.root, 0o777 & !config.umask)?;
        if let Some(directory) = &config.config_dir {
            user.make_directory(directory, 0o700)?;
        }
    }
    let listening = Server::listen(&config, given)?;
    let discoverable = arguments.discoverable.as_ref().filter(|it| it.is_on());
    if discoverable.is_some() {
        may_announce(listening.addresses())?;
    }
    if let Some(user) = user {
        for address in listening.bound_addresses() {
            if let Listen::Unix(path) = address {
                user.own_socket(path)?;
            }
        }
        user.switch()?;
    }
    let ready = listening.open()?;
    if let Some(directory) = arguments.config_dir.as_deref()
        && let (Ok(path), Ok(root)) = (std::path::absolute(directory), config.root.canonicalize())
        && !path.starts_with(root)
    {
        // The first account may come while the server runs, and the sandbox lets it read only what is there. Without the
        // directory, the server runs as well as ever.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    }
    // Before the sandbox, in which no program is started.
    let log = arguments.log_format();
    let respond = |wanted| Responding::start(&ready, wanted, !arguments.no_sandbox, log);
    let responding = discoverable.map(respond).transpose()?;
    if arguments.no_sandbox {
        tracing::warn!("not confined: --no-sandbox was given");
    } else {
        let store = Reach::new(ready.root()).working_in(ready.staging());
        let mut reach = ready.bound_addresses().fold(store, Reach::listening);
        if let Some(directory) = config.config_dir.as_deref().filter(|path| path.exists()) {
            reach = reach.reading(directory);
        }
        if let Some(given) = &config.certificate {
            reach = reach.reading_file(&given.chain).reading_file(&given.key);
        }
        if let Some(file) = &arguments.config {
            reach = reach.reading_file(file);
        }
        if let Some(audit) = &config.audit {
            reach = reach.appending(audit);
        }
        if let Some(access) = &config.access_log {
            reach = reach.appending(&access.path);
        }
        reach.confine()?;
    }
    let server = ready.start()?;
    Ok((server, responding.map(Responding::announce).transpose()?))
}

/// Does something else than to serve.
fn run(command: &Command) -> Result<(), StartError> {
    let (out, people) = (&mut std::io::stdout().lock(), &mut std::io::stderr().lock());
    let (usual, of_service) = (usual_config_dir(), service_config_dir());
    let mut environment = Environment { usual, of_service, out, people };
    match command {
        Command::Partials(partials) => partials.run(environment.out),
        Command::Status(status) => status.run(environment.out),
        Command::User(users) => users.run(&mut environment),
        Command::Link(link) => link.run(&mut environment),
        Command::Fingerprint(fingerprint) => Ok(fingerprint.run(&mut environment)?),
        Command::Config(settings) => settings.run(environment.out),
        Command::Key(key) => Ok(key.run(&mut environment)?),
        Command::HookHost(host) => Ok(host.run()?),
        Command::HookPost(post) => post.run().map_err(StartError::Hook),
    }
}

/// Whether nobody has said anything. Without a terminal the defaults hold, for a service.
fn is_bare() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    std::env::args_os().len() <= 1 && !is_set("HAULD_ROOT") && !is_set("HAULD_CONFIG")
}

/// Says why there is no server, in several lines.
fn tell_each(error: &StartError, log: LogFormat) {
    error.to_string().lines().for_each(|line| log.tell(&line));
}

/// Reads the file of settings again, if there is one: either all of it counts, or nothing of it.
fn reload(
    arguments: &Arguments,
    umask: u32,
    announcer: Option<&Announcer>,
    tune: &impl Fn(&Config) -> Vec<&'static str>,
    failed: &impl Fn(),
) {
    match arguments.read_again() {
        None => {}
        Some(Ok(again)) => {
            let mut others = tune(&again.config(umask));
            others.extend((again.user != arguments.user).then_some("user"));
            others.extend((again.log_format != arguments.log_format).then_some("log-format"));
            let wanted = again.discoverable.unwrap_or_default();
            match announcer {
                Some(announcer) => announcer.change(&wanted),
                None => others.extend(wanted.is_on().then_some("discoverable")),
            }
            others.extend((again.no_sandbox != arguments.no_sandbox).then_some("no-sandbox"));
            if others.is_empty() {
                tracing::info!("the settings were read again");
            } else {
                let settings = others.join(", ");
                tracing::warn!(
                    settings,
                    "the settings were read again; these count when hauld is started again"
                );
            }
        }
        Some(Err(error)) => {
            failed();
            for line in error.to_string().lines() {
                tracing::error!("{line}");
            }
            tracing::error!("the settings stay as they were");
        }
    }
}

/// The first signal stops with grace, the second at once.
fn serve(
    server: Server,
    announcer: Option<Announcer>,
    mut watch: Watch,
    arguments: &Arguments,
    umask: u32,
) -> anyhow::Result<()> {
    let addresses: Vec<String> = server.addresses().map(ToString::to_string).collect();
    let stop = server.stopper();
    let reopen = server.log_reopener();
    let tune = server.tuner();
    let reload_failed = server.reload_failed();
    service::watch(server.watcher()).context("could not start a thread")?;
    let handle = watch.handle();
    // This thread watches signals to the end; the others are joined by one that then ends the watch.
    let joiner = thread::Builder::new()
        .name(String::from("joiner"))
        .spawn(move || {
            server.join();
            handle.close();
        })
        .context("could not start a thread")?;

    let mut out = std::io::stdout().lock();
    for address in &addresses {
        writeln!(out, "listening on {}", Shown(address))
            .context("could not write to standard output")?;
    }
    out.flush().context("could not write to standard output")?;
    drop(out);
    service::serves(&addresses);

    let mut next = || loop {
        match watch.next() {
            Some(Wanted::Reload) if reopen.is_none() && arguments.config.is_none() => {
                tracing::warn!(
                    "SIGHUP: without --config, an audit log or an access log hauld has nothing to reload, and stops; start it \
                     again"
                );
                return Some(Wanted::Stop);
            }
            Some(Wanted::Reload) => {
                service::reloads();
                if let Some(reopen) = &reopen {
                    reopen();
                }
                reload(arguments, umask, announcer.as_ref(), &tune, &reload_failed);
                service::serves(&addresses);
            }
            wanted => return wanted,
        }
    };
    if next().is_some() {
        tracing::info!("stopping; transfers under way may finish, a second signal stops at once");
        service::stops();
        stop();
        // While transfers go on to their end, nobody new is to come.
        if let Some(announcer) = &announcer {
            announcer.withdraw();
        }
        while let Some(wanted) = next() {
            if wanted == Wanted::Stop {
                tracing::warn!("stopped at once");
                return Ok(());
            }
        }
    }
    if let Some(announcer) = announcer {
        announcer.stop();
    }
    if joiner.join().is_err() {
        anyhow::bail!("the thread that waits for the others has panicked");
    }
    Ok(())
}
