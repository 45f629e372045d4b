//! The client as a library: what a program gets that embeds it, and what it leaves alone.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use haul_client::{
    BuildError, Builder, ConnectionError, Delete, FileError, Interrupt, Links, Observer, Report,
    Separator, Status, Transfer, TransferError,
};
use haul_protocol::{Code, Name};
use haul_tests::setting::Setting;

/// The address of the server, for the process that is looked at.
const ADDRESS: &str = "HAUL_TESTS_LIBRARY_ADDRESS";

/// The source of that process.
const SOURCE: &str = "HAUL_TESTS_LIBRARY_SOURCE";

/// That process writes this before and after the run.
const MARK: &[u8] = b"<library>\n";

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Log {
    done: Vec<String>,
    removed: Vec<String>,
    skipped: Vec<PathBuf>,
    failed: Vec<(PathBuf, FileError)>,
    differs: Vec<String>,
    would: Vec<String>,
    begun: usize,
}

impl Observer for Log {
    fn begun(&mut self) {
        self.begun += 1;
    }

    fn file_done(&mut self, name: &Name, bytes: u64) {
        self.done.push(format!("{name}, {bytes} bytes"));
    }

    fn symlink_done(&mut self, name: &Name) {
        self.done.push(format!("{name}, a symlink"));
    }

    fn directory_done(&mut self, name: &Name) {
        self.done.push(format!("{name}, a directory"));
    }

    fn removed(&mut self, name: &Name) {
        self.removed.push(name.to_string());
    }

    fn skipped(&mut self, path: &Path, _: &str) {
        self.skipped.push(path.to_owned());
    }

    fn failed(&mut self, path: &Path, error: &FileError) {
        self.failed.push((path.to_owned(), error.clone()));
    }

    fn differs(&mut self, finding: &str, name: &Name, _: Option<&str>) {
        self.differs.push(format!("{finding} {name}"));
    }

    fn would(&mut self, action: &str, name: &Name, why: &str, _: Option<u64>) {
        self.would.push(format!("{action} {name}: {why}"));
    }
}

fn to(setting: &Setting) -> Builder {
    Transfer::builder(setting.server.address().parse().unwrap())
}

fn run(builder: Builder) -> (Report, Log) {
    let mut log = Log::default();
    let report = builder.build().unwrap().run(&mut log).unwrap();
    (report, log)
}

/// Lines of `/proc` about this process and thread that a library has no business with. Of other threads, the signals that they
/// block change by themselves while threads begin and end.
fn process() -> Vec<String> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let kept = ["Umask:", "SigBlk:", "SigIgn:", "SigCgt:"];
    let lines = status.lines().filter(|line| kept.iter().any(|key| line.starts_with(key)));
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    lines.map(str::to_owned).chain([limits]).collect()
}

fn mark() {
    io::stdout().write_all(MARK).unwrap();
    io::stderr().write_all(MARK).unwrap();
}

/// In a process of its own, because the library must not write to that process's standard output and error.
#[test]
fn directory_is_uploaded_and_only_the_observer_is_told() {
    if let (Ok(address), Some(source)) = (std::env::var(ADDRESS), std::env::var_os(SOURCE)) {
        return upload(&address, Path::new(&source));
    }
    let setting = Setting::start();
    setting.write("a", "one");
    setting.write("below/b", "three");
    setting.write("bad", "a file");
    setting.write_there("bad/other", "a directory is in the way");
    symlink("a", setting.source().join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(setting.source().join("fifo")).status().unwrap().success());

    let name = "library::directory_is_uploaded_and_only_the_observer_is_told";
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name, "--nocapture"]);
    program.env(ADDRESS, setting.server.address()).env(SOURCE, setting.source());
    let output = program.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{out}{err}");
    let silence = String::from_utf8([MARK, MARK].concat()).unwrap();
    assert!(out.contains(&silence) && err.contains(&silence), "{out}{err}");
    assert_eq!(fs::read(setting.target().join("below/b")).unwrap(), b"three");
    assert!(setting.there("bad/other"));
}

/// The work of the process of its own.
fn upload(address: &str, source: &Path) {
    let before = process();
    let mut log = Log::default();
    let builder = Transfer::builder(address.parse().unwrap()).put([source]);
    let transfer = builder.connections(3).retries(2).timeout(Duration::from_secs(30)).build();
    mark();
    let result = transfer.unwrap().run(&mut log);
    mark();
    assert_eq!(process(), before);

    let report = result.unwrap();
    log.done.sort();
    let wanted = ["s, a directory", "s/a, 3 bytes", "s/below, a directory"];
    assert_eq!(log.done, [&wanted[..], &["s/below/b, 5 bytes", "s/link, a symlink"]].concat());
    assert_eq!((log.begun, log.skipped), (1, vec![source.join("fifo")]));
    let [(path, FileError::Refused(refusal))] = &log.failed[..] else { panic!("{:?}", log.failed) };
    assert_eq!((path, &refusal.code), (&source.join("bad"), &Code::Conflict));
    let counts = report.counts;
    assert_eq!((counts.files, counts.links, counts.directories), (2, 1, 2));
    assert_eq!((counts.failed, counts.skipped, counts.bytes_total), (1, 1, 8));
    assert_eq!(report.durability.as_deref(), Some("none"));
    assert!(!report.interrupted && !report.published && !report.is_success());
    assert!(!report.elapsed.is_zero());
}

#[test]
fn each_task_and_option_is_there() {
    let setting = Setting::start();
    setting.write("a", "one");
    setting.write("left.tmp", "out");
    setting.write_there("extra", "goes");
    let source = setting.source();
    let sync = |delete| to(&setting).sync(&source, delete).exclude("*.tmp");

    let (report, log) = run(sync(Some(Delete::default())).dry_run());
    let wanted = ["remove s/extra: not in the source", "send s/a: new"];
    let mut would = log.would.clone();
    would.retain(|line| !line.starts_with("adjust"));
    would.sort();
    assert_eq!((&would[..], report.counts.removed), (&wanted.map(String::from)[..], 1));
    assert!(setting.there("extra") && !setting.there("a"));

    let (report, log) = run(sync(Some(Delete::default().max(1))));
    assert_eq!((log.removed, report.is_success()), (vec![String::from("s/extra")], true));
    assert!(setting.there("a") && !setting.there("extra") && !setting.there("left.tmp"));

    let (report, log) = run(to(&setting).verify(&source));
    assert_eq!(
        (log.differs, report.is_success()),
        (vec![String::from("missing s/left.tmp")], false)
    );

    let receipt = setting.place.path().join("receipt");
    let (_, log) = run(to(&setting).put_as(source.join("a"), "other").receipt(&receipt));
    assert_eq!(log.done, ["other, 3 bytes"]);
    assert!(fs::read_to_string(receipt).unwrap().ends_with("  other\n"));

    let destination = setting.at("site").parse().unwrap();
    let (report, _) = run(Transfer::builder(destination).publish(&source));
    assert!(report.published && report.is_success());
    assert!(setting.server.root().join("site/left.tmp").is_file());
}

#[test]
fn wishes_that_make_no_sense_are_errors_before_anything_is_connected() {
    let nowhere = || Transfer::builder("127.0.0.1:1".parse().unwrap());
    assert!(matches!(nowhere().build(), Err(BuildError::NoTask)));
    // A glob or a query that has found nothing is no upload that has succeeded.
    let wrong = nowhere().put(Vec::<PathBuf>::new());
    assert!(matches!(wrong.build(), Err(BuildError::NoSources)));
    let wrong = nowhere().put(Vec::<PathBuf>::new()).files_from("list", Separator::Line);
    assert!(matches!(wrong.build(), Err(BuildError::NoSources)));
    let wrong = nowhere().sync("s", None).remove_source().build();
    assert!(matches!(wrong, Err(BuildError::Conflict("remove_source", "sync"))));
    let wrong = nowhere().put(["s"]).connections(0).build();
    assert!(matches!(wrong, Err(BuildError::Connections(0))));
    let wrong = nowhere().put(["s"]).remove_source().links(Links::Follow).build();
    assert!(matches!(wrong, Err(BuildError::RemovesFollowed)));
    assert!(matches!(nowhere().publish(".").build(), Err(BuildError::PublishesRoot)));
    assert!(matches!(nowhere().put(["a/x", "b/x"]).build(), Err(BuildError::Plan(_))));
    assert!(matches!(nowhere().put(["s"]).exclude("[").build(), Err(BuildError::Filter(_))));
}

#[test]
fn server_that_is_not_there_is_an_error_with_its_source_and_a_report() {
    let setting = Setting::start();
    let address = setting.server.address().parse().unwrap();
    let transfer = Transfer::builder(address).put([setting.source()]).build().unwrap();
    drop(setting.server);
    let error = transfer.run(&mut ()).unwrap_err();
    let TransferError::Connection { source: ConnectionError::Unreachable { .. }, report } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((report.durability.as_deref(), report.interrupted), (None, false));
    let source = std::error::Error::source(&error).unwrap();
    let system = source.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(system.kind(), io::ErrorKind::ConnectionRefused);
}

/// Tells another thread when bytes are under way.
struct UnderWay(Sender<()>);

impl Observer for UnderWay {
    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn status(&mut self, status: &Status) {
        if status.counts.bytes_sent > 0 {
            // Nobody waits for it a second time.
            let _ = self.0.send(());
        }
    }
}

/// A source with too much in it to be sent before the run is stopped, at the least rate.
fn endless(setting: &Setting) -> Transfer {
    for number in 0..200 {
        setting.write(&number.to_string(), &"x".repeat(10_000));
    }
    to(setting).put([setting.source()]).rate(1000).build().unwrap()
}

/// A program builds a transfer on one thread and runs it on another.
const fn goes_to_other_threads<T: Send + 'static>() {}

const _: () = goes_to_other_threads::<Transfer>();
const _: () = goes_to_other_threads::<Report>();
const _: () = goes_to_other_threads::<TransferError>();
const _: () = goes_to_other_threads::<Interrupt>();

fn stop(under_way: Receiver<()>, interrupt: Interrupt) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        under_way.recv().unwrap();
        interrupt.stop();
    })
}

#[test]
fn run_is_stopped_from_another_thread() {
    let setting = Setting::start();
    let transfer = endless(&setting);
    let (sender, receiver) = channel();
    let interrupt = transfer.interrupt();
    let stopper = stop(receiver, interrupt.clone());
    let report = transfer.run(&mut UnderWay(sender)).unwrap();
    stopper.join().unwrap();
    assert!(report.interrupted && interrupt.is_set() && !report.is_success());
    assert_eq!(report.durability.as_deref(), Some("none"));
    assert!(report.counts.files < 200 && report.counts.failed == 0);
}

#[test]
fn run_that_is_stopped_before_it_begins_sends_nothing() {
    let setting = Setting::start();
    let transfer = endless(&setting);
    transfer.interrupt().stop();
    let mut log = Log::default();
    assert!(matches!(transfer.run(&mut log), Err(TransferError::Stopped)));
    assert!(log.begun == 0 && !setting.target().exists());
}

/// Fails as soon as bytes are under way.
struct Broken;

impl Observer for Broken {
    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn status(&mut self, status: &Status) {
        assert_eq!(status.counts.bytes_sent, 0, "the observer is broken");
    }
}

#[test]
fn observer_that_panics_ends_the_run() {
    let setting = Setting::start();
    let transfer = endless(&setting);
    let panic = catch_unwind(AssertUnwindSafe(|| transfer.run(&mut Broken))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("the observer is broken"));
}

/// The source is another directory, or a file, when a transfer runs that was built before.
#[test]
fn source_that_is_replaced_between_build_and_run_loses_nothing() {
    for is_file in [false, true] {
        let setting = Setting::start();
        setting.write("a", "one");
        setting.sync(&[]);
        let all = Delete::default().force().all();
        let published = || Transfer::builder(setting.at("s").parse().unwrap());
        let builders = [
            to(&setting).sync(setting.source(), Some(all)),
            published().sync(setting.source().join(""), Some(all)),
            published().publish(setting.source()).publish_empty(),
        ];
        for builder in builders {
            let transfer = builder.build().unwrap();
            let away = setting.place.path().join("away");
            fs::rename(setting.source(), &away).unwrap();
            if is_file {
                fs::write(setting.source(), "a file").unwrap();
            } else {
                fs::create_dir(setting.source()).unwrap();
            }
            let mut log = Log::default();
            let report = transfer.run(&mut log).unwrap();
            assert!(!report.is_success() && !report.published && report.counts.removed == 0);
            assert!(setting.there("a"), "{log:?}");
            if is_file {
                fs::remove_file(setting.source()).unwrap();
            } else {
                fs::remove_dir(setting.source()).unwrap();
            }
            fs::rename(&away, setting.source()).unwrap();
        }
    }
}
