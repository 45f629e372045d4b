//! The README, word by word: the commands of "With accounts" do what it shows, for users who have nothing yet.

use std::ffi::OsStr;

use haul_tests::network::{Machine, Network};
use haul_tests::prelude::*;
use haul_tests::screen::Person;

/// A command of the README, and the lines that it shows behind the command.
type Step = (String, Vec<String>);

/// The commands of a section.
fn steps(section: &str) -> Vec<Step> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = readme.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let section = section.split("\n##").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for line in section.split("```").skip(1).step_by(2).flat_map(str::lines) {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command.to_owned(), Vec::new())),
            None if line.is_empty() => {}
            None => steps.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    steps
}

/// A line without the letters that are others each time: those of a key and of a token, and a time.
fn usual(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let begin = ["#haul1-", "haul_"]
            .iter()
            .find_map(|begin| Some(&word[..word.find(begin)? + begin.len()]));
        words.push(match begin {
            Some(begin) => format!("{begin}…"),
            None if words.last().is_some_and(|before| before == "in") => String::from("TIME"),
            None => word.to_owned(),
        });
    }
    words.join(" ")
}

/// Two people, each with an empty home, on two machines.
struct People {
    network: Network,
    /// Of the programs, and the homes.
    user: User,
    address: String,
}

impl People {
    fn new() -> Self {
        let (network, user) = (Network::new().unwrap(), User::new().unwrap());
        for home in ["server", "client"] {
            fs::create_dir(user.path().join(home)).unwrap();
            user.own(&user.path().join(home)).unwrap();
        }
        let address = network.server.clone();
        Self { network, user, address }
    }

    /// The port of the README, or another one where everything is on one machine.
    fn here(&self, text: &str) -> String {
        let port = self.address.rsplit_once(':').unwrap().1;
        let text = text.replace("0.0.0.0:8080", &format!("0.0.0.0:{port}"));
        let text = text.replace("box:8080", &self.address);
        match text.strip_suffix(" box") {
            // 8080 is the port if none is given.
            Some(rest) if self.network.is_real() => {
                format!("{rest} {}", self.address.trim_end_matches(":8080"))
            }
            Some(rest) => format!("{rest} {}", self.address),
            None => text,
        }
    }

    /// A shell that runs this line in the home of its user.
    fn shell(&self, machine: Machine, line: &str) -> Command {
        let home = self.user.path().join(match machine {
            Machine::Server => "server",
            Machine::Client => "client",
        });
        let mut command = self.network.command(machine, Path::new("env"));
        command.arg("-i");
        command.arg(format!("HOME={}", home.display()));
        command.arg(format!("PATH={}:/usr/bin:/bin", self.user.path().display()));
        command.args(["TERM=xterm", "LANG=C.UTF-8"]);
        if rustix::process::geteuid().is_root() {
            command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.args(["sh", "-c"]).arg(format!("cd {} && exec {line}", home.display()));
        command
    }

    /// The same on a terminal.
    fn person(&self, machine: Machine, line: &str) -> Person {
        let command = self.shell(machine, line);
        let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap());
        let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
        Person::run(&words.collect::<Vec<_>>().join(" "), &[])
    }

    /// A tree of 298 files in 12 directories, with 384.11 KiB.
    fn make_project(&self) -> PathBuf {
        let project = self.user.path().join("client/project");
        for at in 0..298 {
            let directory = match at % 12 {
                0 => project.clone(),
                of => project.join(format!("d{of}")),
            };
            fs::create_dir_all(&directory).unwrap();
            let len = if at == 0 { 1289 } else { 1320 };
            fs::write(directory.join(format!("f{at}")), vec![b'x'; len]).unwrap();
        }
        self.user.own_all(project).unwrap()
    }
}

/// The lines that a terminal has shown.
fn lines(seen: &str) -> Vec<String> {
    let lines = seen.lines().map(|line| usual(line.trim_end()));
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn commands_with_accounts_do_what_the_readme_shows() {
    let people = People::new();
    let steps = steps("With accounts");
    let [add, serve, login, put] = &steps[..] else { panic!("other commands: {steps:?}") };
    let expected = |step: &Step| -> Vec<String> {
        step.1.iter().map(|line| usual(&people.here(line))).collect()
    };

    let (code, seen) = people.person(Machine::Server, &people.here(&add.0)).ends();
    assert_eq!((code, lines(&seen)), (Some(0), expected(add)), "{}", add.0);
    let words: Vec<_> = seen.split_whitespace().collect();
    let found = |begin| *words.iter().find(|word| word.starts_with(begin)).unwrap();
    let (link, token) = (found("haul://"), found("haul_"));

    let mut server = people.shell(Machine::Server, &people.here(&serve.0));
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut listening = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut listening).unwrap();
    assert!(listening.starts_with("listening on "), "{listening}");
    assert!(serve.1.is_empty());

    let (command, _) = login.0.split_once(" haul://").unwrap();
    assert!(usual(&people.here(&login.0)) == usual(&format!("{command} {link}")), "{}", login.0);
    let mut person = people.person(Machine::Client, &format!("{command} {link}"));
    person.types("Token for", &format!("{token}\n"));
    let (code, seen) = person.ends();
    assert_eq!((code, lines(&seen)), (Some(0), expected(login)), "{}", login.0);

    let project = people.make_project();
    let output = output_of(&mut people.shell(Machine::Client, &people.here(&put.0)));
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{output:?}");
    let last = told.lines().last().unwrap_or_default();
    assert_eq!(vec![usual(last)], expected(put), "{}", put.0);
    tree::compare(&project, &people.user.path().join("server/uploads/alice/project")).unwrap();
    signal(&server, Signal::TERM);
    assert!(ended(server).status.success());
}
