//! The settings of `haul`: the file `config.toml`, its variables, `--config`, and `haul config`.

use haul_tests::prelude::*;

/// A file of settings, and a server with a source.
struct Configured {
    setting: Setting,
    file: PathBuf,
}

impl Configured {
    fn new(text: &str) -> Self {
        let setting = Setting::start();
        let file = setting.place.path().join("config.toml");
        let configured = Self { setting, file };
        configured.write(text);
        configured
    }

    /// Writes the file; `ADDRESS` in the text becomes that of the server.
    fn write(&self, text: &str) {
        fs::write(&self.file, text.replace("ADDRESS", self.setting.server.address())).unwrap();
        fs::set_permissions(&self.file, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn haul(&self, words: &[&str]) -> Client {
        let mut haul = self.setting.haul(words);
        haul.env("HAUL_CONFIG", &self.file);
        haul
    }

    /// A place in the file, as messages tell it.
    fn line(&self, line: usize) -> String {
        format!("{}:{line}", self.file.display())
    }

    fn is_there(&self, name: &str) -> bool {
        self.setting.server.root().join(name).exists()
    }
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The messages, each on one line.
fn messages(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap().replace("\n  ", " ")
}

#[test]
fn option_counts_before_its_variable_that_before_the_file_and_that_before_the_default() {
    let configured =
        Configured::new("[defaults]\nignore-existing = true\n[sync]\nverbose = true\n");
    configured.setting.write("a", "new");
    // What becomes of an older file.
    let old = |haul: &mut Client| {
        configured.setting.write_there("a", "old");
        let _ = haul.args(["s", configured.setting.server.address()]).assert().success();
        fs::read_to_string(configured.setting.target().join("a")).unwrap()
    };
    let (name, no) = ("HAUL_IGNORE_EXISTING", "no");
    assert_eq!(old(&mut configured.haul(&["put"])), "old");
    assert_eq!(old(configured.haul(&["put"]).env(name, no)), "new");
    assert_eq!(old(configured.haul(&["put", "--ignore-existing"]).env(name, no)), "old");
    assert_eq!(old(&mut configured.haul(&["put", "--ignore-existing=false"])), "new");
    assert_eq!(old(&mut configured.setting.haul(&["put"])), "new");
}

#[test]
fn default_of_one_command_is_none_of_another_and_a_flag_that_excludes_it_counts() {
    let configured = Configured::new("[put]\nverbose = true\n");
    configured.setting.write("a", "x");
    let at = configured.setting.server.address();
    let told = messages(&configured.haul(&["put", "s", at]).assert().success());
    assert!(told.contains("s/a"), "{told}");
    configured.setting.write("a", "newer");
    let told = messages(&configured.haul(&["sync", "s", at]).assert().success());
    assert!(!told.contains("s/a"), "{told}");
    let quiet = configured.haul(&["put", "-q", "s", at]).assert().success();
    assert_eq!((stdout(&quiet), messages(&quiet)), (String::new(), String::new()));
}

#[test]
fn names_are_left_out_by_the_file_unless_the_command_line_takes_them() {
    let configured = Configured::new("[defaults]\nexclude = [\"*.o\", \"*.a\"]\n");
    for name in ["x.c", "x.o", "y.o", "y.a"] {
        configured.setting.write(name, name);
    }
    let _ = configured
        .haul(&["put", "--include", "x.o", "s", configured.setting.server.address()])
        .assert()
        .success();
    let there = |name| configured.setting.there(name);
    assert!(there("x.c") && there("x.o") && !there("y.o") && !there("y.a"));
}

#[test]
fn alias_stands_for_its_destination_in_every_command() {
    let configured = Configured::new("[alias]\nbox = \"ADDRESS/in\"\n\"box.all\" = \"ADDRESS\"\n");
    configured.setting.write("a", "text");
    let done = |words: &[&str]| stdout(&configured.haul(words).assert().success());
    done(&["put", "s", "box"]);
    assert!(configured.is_there("in/s/a"));
    done(&["put", "s/a", "box/b/c"]);
    done(&["put", "s/a", "box:d"]);
    assert!(configured.is_there("in/b/c/a") && configured.is_there("in/d/a"));
    assert_eq!(done(&["cat", "box/d/a"]), "text");
    assert_eq!(done(&["ls", "box.all"]), "in/\n");
    done(&["verify", "s", "box"]);
    done(&["mkdir", "box/m/n"]);
    done(&["mv", "box/d/a", "box/m/"]);
    done(&["rm", "-r", "box:b"]);
    assert!(configured.is_there("in/m/a") && !configured.is_there("in/b"));
    done(&["publish", "s", "box:site"]);
    assert!(configured.is_there("in/site/a"));
    done(&["get", "box/s", "here"]);
    done(&["sync", "box:s/", "back"]);
    done(&["sync", "s/", "box/forth"]);
    assert!(configured.is_there("in/forth/a"));
    for path in ["here/s/a", "back/a"] {
        assert_eq!(fs::read(configured.setting.place.path().join(path)).unwrap(), b"text");
    }
    let _ = configured.haul(&["shell", "box/m"]).write_stdin("ls\n").assert().stdout("a\nn/\n");
}

#[test]
fn path_on_this_machine_is_never_taken_for_the_alias_of_its_name() {
    let configured = Configured::new("[alias]\nbox = \"ADDRESS/in\"\n");
    configured.setting.write("a", "x");
    fs::create_dir(configured.setting.place.path().join("box")).unwrap();
    fs::write(configured.setting.place.path().join("box/sub"), "here").unwrap();
    // Somebody has forgotten the server.
    for (words, kind) in
        [(&["put", "s", "box"][..], "a directory"), (&["sync", "s", "box/sub"], "a file")]
    {
        let told = configured.haul(words).assert().code(2);
        let told = messages(&told);
        assert!(told.contains(kind) && told.contains("write box:"), "{told}");
        assert!(told.contains("`box` is an alias of "), "{told}");
    }
    assert!(!configured.is_there("in"));
    let _ = configured.haul(&["put", "s", "box:"]).assert().success();
    assert!(configured.is_there("in/s/a"));
    // A source on this machine.
    let _ = configured.haul(&["put", "box", "box:"]).assert().success();
    let _ = configured.haul(&["sync", "box", "box:sync"]).assert().success();
    assert!(configured.is_there("in/box/sub") && configured.is_there("in/sync/box/sub"));
    let told = configured.haul(&["sync", "box/s", "back"]).assert().code(2);
    let told = messages(&told);
    assert!(told.contains("no `box/s` on this machine") && told.contains("box:s;"), "{told}");
    assert!(told.contains(&configured.line(2)), "{told}");
    let _ = configured.haul(&["sync", "box:s", "back"]).assert().success();
    assert!(configured.setting.place.path().join("back/s/a").exists());
}

#[test]
fn error_about_a_server_tells_the_alias_and_what_it_stands_for() {
    let configured = Configured::new("[alias]\ngone = \"unix:gone.sock:/in\"\nbox = \"ADDRESS\"\n");
    configured.setting.write("a", "x");
    let meant = format!("`gone` is an alias of unix:gone.sock:/in ({})", configured.line(2));
    for words in [
        &["put", "s", "gone"][..],
        &["sync", "s", "gone/x"],
        &["get", "gone/x", "."],
        &["ls", "gone"],
        &["rm", "gone/x"],
        &["cat", "gone:x"],
    ] {
        let haul = configured.haul(words).assert().code(3);
        let told = messages(&haul);
        assert_eq!(told.matches(&meant).count(), 1, "{words:?}: {told}");
        assert!(told.contains("unix:gone.sock"), "{told}");
    }
    let words = ["put", "--json", "s", "gone"];
    assert!(stdout(&configured.haul(&words).assert().code(3)).contains(&meant));
    // The port is no path below the alias.
    let told = configured.haul(&["put", "s", "box:9000"]).assert().code(2);
    let told = messages(&told);
    assert!(told.contains("haul://box:9000") && told.contains(&configured.line(3)), "{told}");
}

#[test]
fn path_of_an_alias_is_left_out_where_a_server_as_a_whole_is_meant() {
    let configured = Configured::new("[alias]\nbox = \"box.invalid:9000/in\"\n");
    let own = configured.setting.place.path().join("own");
    let told = configured.haul(&["trust", "--remove", "box"]).env("HAUL_CONFIG_DIR", &own).output();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("no key of box.invalid:9000 is trusted here"), "{told}");
    let told = configured.haul(&["logout", "box"]).env("HAUL_CONFIG_DIR", &own).output();
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("no token is stored for box.invalid:9000"), "{told}");
}

#[test]
fn file_that_is_wrong_stops_every_command_and_is_told_line_by_line() {
    let configured = Configured::new(
        "[defaults]\ntimout = \"3s\"\ndelete = true\n[alias]\n\"a b\" = \"box\"\n[put]\nconnections = 99\n",
    );
    configured.setting.write("a", "x");
    let at = configured.setting.server.address();
    for words in
        [&["put", "s", at][..], &["ls", at], &["sync", "--delete", "s", at], &["trust", "--list"]]
    {
        let told = configured.haul(words).assert().code(2).stdout("");
        let told = messages(&told);
        let lines: Vec<_> = told.lines().collect();
        for (line, (number, text)) in lines.iter().zip([
            (2, "`timout` is no setting; did you mean `timeout`?"),
            (3, "`delete` is no setting: it is asked for each time"),
            (5, "`a b` is no name of an alias"),
            (7, "`connections` can't be \"99\""),
        ]) {
            let start = format!("haul: {}: {text}", configured.line(number));
            assert!(line.starts_with(&start), "{told}");
        }
        assert_eq!(lines.len(), 4, "{told}");
    }
    assert!(!configured.is_there("s"));
    let events = stdout(&configured.haul(&["put", "--json", "s", at]).assert().code(2));
    assert!(events.contains("timout") && events.contains("\"exit\":2"), "{events}");
    for words in [&["--help"][..], &["--version"], &["put", "--help"], &["put", "-h"]] {
        let _ = configured.haul(words).assert().success();
    }
    let _ = configured.haul(&["config", "show"]).assert().code(2);
    // An empty name is no file.
    let _ = configured.haul(&["--config", "", "ls", at]).assert().success();
    let _ = configured.haul(&["ls", at]).env("HAUL_CONFIG", "").assert().success();
}

#[test]
fn file_that_can_not_be_read_or_that_others_change_stops_every_command_and_keeps_nobody_waiting() {
    let configured = Configured::new("");
    let place = configured.setting.place.path();
    let (fifo, large, open) = (place.join("fifo"), place.join("large"), place.join("open"));
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, 0o600.into(), 0).unwrap();
    File::create(&large).unwrap().set_len(1 << 40).unwrap();
    fs::write(&open, "").unwrap();
    for (mode, is_refused) in [(0o664, true), (0o646, true), (0o644, false)] {
        set_mode(&open, mode);
        let haul = configured.setting.haul(&["trust", "--list", "--config"]).arg(&open).output();
        let told = String::from_utf8(haul.stderr).unwrap();
        assert_eq!(told.contains("chmod go-w"), is_refused, "{mode:o}: {told}");
        assert_eq!(haul.status.code(), Some(if is_refused { 2 } else { 0 }));
    }
    for (path, said) in [
        (fifo.as_path(), "not a regular file"),
        (Path::new("/dev/zero"), "not a regular file"),
        (place, "not a regular file"),
        (&large, "larger than 1 MiB"),
        (&place.join("none"), "there is no such file of settings, which --config names"),
    ] {
        let told = configured.setting.haul(&["trust", "--list", "--config"]).arg(path).output();
        assert_eq!(told.status.code(), Some(2));
        let told = String::from_utf8(told.stderr).unwrap();
        assert!(told.contains(&format!("{}: {said}", path.display())), "{told}");
    }
}

#[test]
fn file_is_found_where_the_other_files_of_the_client_are_and_may_be_missing() {
    let server = server();
    let home = TempDir::new().unwrap();
    let run = |variables: &[(&str, &Path)]| {
        let mut haul = haul_command();
        for name in ["HAUL_CONFIG", "HAUL_CONFIG_DIR", "XDG_CONFIG_HOME", "HOME"] {
            haul.env_remove(name);
        }
        output_of(haul.envs(variables.iter().copied()).args(["ls", "box"]))
    };
    let write = |directory: &str, alias: &str| {
        let directory = home.path().join(directory);
        fs::create_dir_all(&directory).unwrap();
        let text = format!("[alias]\nbox = \"{alias}\"\n");
        let file = directory.join("config.toml");
        fs::write(&file, text).unwrap();
        set_mode(&file, 0o600);
    };
    write(".config/haul", server.address());
    write("xdg/haul", &format!("{}/xdg", server.address()));
    write("own", "unix:none");
    let (xdg, own) = (home.path().join("xdg"), home.path().join("own"));
    assert!(run(&[("HOME", home.path())]).status.success());
    assert!(run(&[("HOME", home.path()), ("XDG_CONFIG_HOME", Path::new("xdg"))]).status.success());
    let told = run(&[("HOME", home.path()), ("XDG_CONFIG_HOME", &xdg)]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told = run(&[("HOME", home.path()), ("HAUL_CONFIG_DIR", &own)]);
    assert_eq!(told.status.code(), Some(3), "{told:?}");
    let empty = TempDir::new().unwrap();
    let mut haul = haul_command();
    haul.env_remove("HAUL_CONFIG").env("HAUL_CONFIG_DIR", empty.path());
    let told = output_of(haul.args(["ls", server.address()]));
    assert!(told.status.success(), "{told:?}");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn file_is_checked_and_each_value_is_shown_with_its_place() {
    let configured = Configured::new(
        "[alias]\nbox = \"ADDRESS\"\n[defaults]\ntimeout = \"90s\"\n[put]\nconnections = 3\nretries = 4\n",
    );
    let file = configured.file.to_str().unwrap();
    let checked = stdout(&configured.haul(&["config", "check"]).assert().success());
    assert_eq!(checked, format!("{file}: 3 settings, 1 alias, all right\n"));
    let mut show = configured.haul(&["config", "show"]);
    let told = stdout(&show.env("HAUL_RETRY_FOR", "7s").assert().success());
    let address = configured.setting.server.address();
    for (setting, from) in [
        (format!("box = \"{address}\" "), configured.line(2)),
        (String::from("timeout = \"90s\" "), configured.line(4)),
        (String::from("retry-for = \"7s\" "), String::from("HAUL_RETRY_FOR")),
        (String::from("links = \"copy\" "), String::from("default")),
        (String::from("connections = 3 "), configured.line(6)),
        (String::from("# limit-rate is not set"), String::new()),
    ] {
        let is_shown = |line: &str| line.starts_with(&setting) && line.ends_with(&from);
        assert!(told.lines().any(is_shown), "{setting} {from}: {told}");
    }
    let words = ["config", "show", "put", "--retries", "9", "-v"];
    let told = stdout(&configured.haul(&words).assert().success());
    assert!(told.starts_with("[put]\n"), "{told}");
    for (setting, from) in [
        ("retries = 9 ", String::from("# command line")),
        ("verbose = true ", String::from("# command line")),
        ("connections = 3 ", format!("# {}", configured.line(6))),
    ] {
        let is_shown = |line: &str| line.starts_with(setting) && line.ends_with(&from);
        assert!(told.lines().any(is_shown), "{setting}: {told}");
    }
    let told = configured.haul(&["config", "show", "put", "--retries", "x"]).assert().code(2);
    assert!(messages(&told).contains("--retries"));
    let _ = configured.haul(&["config", "show", "login"]).assert().success();
    let _ = configured.haul(&["config", "show", "partials"]).assert().code(2);
    // What is shown is a file of the same effect.
    let again = configured.setting.place.path().join("again.toml");
    fs::write(&again, stdout(&configured.haul(&["config", "show"]).assert().success())).unwrap();
    set_mode(&again, 0o600);
    let _ = haul().args(["config", "check"]).arg(&again).assert().success();
}

#[test]
fn wrong_line_missing_file_and_no_file_are_told_by_the_check() {
    let configured = Configured::new("[alias]\nbox = \"./dir\"\nc = \"d\"\nd = \"e\"\n[defalts]\n");
    let told = configured.haul(&["config", "check"]).assert().code(2).stdout("");
    let told = messages(&told);
    assert!(told.starts_with(&format!("haul: {}: `box`: ", configured.line(2))), "{told}");
    for (line, said) in [
        (3, "`c` stands for `d`, where `d` is an alias itself"),
        (5, "[defalts] means nothing; did you mean [defaults]?"),
    ] {
        assert!(told.contains(&format!("{}: {said}", configured.line(line))), "{told}");
    }
    let empty = TempDir::new().unwrap();
    let mut check = haul_command();
    check.env_remove("HAUL_CONFIG").env("HAUL_CONFIG_DIR", empty.path());
    let told = output_of(check.args(["config", "check"]));
    let expected = format!(
        "{}/config.toml: there is no such file, and nothing is set\n",
        empty.path().display()
    );
    assert_eq!((String::from_utf8(told.stdout).unwrap(), told.status.code()), (expected, Some(0)));
    let _ = haul().args(["config", "check", "/there/is/none"]).assert().code(2);
    let _ = haul().args(["config", "check", "--config", ""]).assert().success();
}

#[test]
fn variable_with_a_wrong_value_stops_the_command() {
    let configured = Configured::new("");
    let mut haul = configured.haul(&["ls", configured.setting.server.address()]);
    let told = haul.env("HAUL_TIMEOUT", "soon").assert().code(2);
    let told = messages(&told);
    assert!(told.contains("HAUL_TIMEOUT: `timeout` can't be \"soon\""), "{told}");
    let mut haul = configured.haul(&["ls", configured.setting.server.address()]);
    let _ = haul.env("HAUL_TIMEOUT", " ").env("HAUL_INSECURE", "maybe").assert().success();
}

/// The option removes what the source lacks: no variable and no file turns it on.
#[test]
fn nothing_is_removed_because_of_a_variable() {
    let configured = Configured::new("[sync]\nmax-delete = 3\n");
    configured.setting.write("a", "x");
    configured.setting.write_there("b", "y");
    let mut haul = configured.haul(&["sync", "s", configured.setting.server.address()]);
    let _ = haul.env("HAUL_DELETE", "true").assert().success();
    assert!(configured.setting.there("b") && configured.setting.there("a"));
}

#[test]
fn lines_of_the_shell_have_the_settings_of_their_commands() {
    let configured = Configured::new("[put]\nverbose = true\n[alias]\nbox = \"ADDRESS\"\n");
    configured.setting.write("a", "x");
    let mut shell = configured.haul(&["shell", "box"]);
    let told = messages(&shell.write_stdin("put s\n").assert().success());
    assert!(told.contains("s/a"), "{told}");
}

#[test]
fn file_that_is_named_and_missing_is_told_with_the_name_of_the_variable_or_option() {
    let setting = Setting::start();
    setting.write("a", "x");
    let none = setting.place.path().join("none.toml");
    let none = none.to_str().unwrap();
    let told = |haul: &mut Client, by: &str| {
        let told = messages(&haul.assert().code(2));
        let message = format!("{none}: there is no such file of settings, which {by} names");
        assert!(told.contains(&message), "{told}");
    };
    let put = ["put", "s", setting.server.address()];
    told(setting.haul(&put).env("HAUL_CONFIG", none), "HAUL_CONFIG");
    told(setting.haul(&["--config", none]).args(put), "--config");
    told(&mut setting.haul(&["config", "check", none]), "the command line");
    assert!(!setting.server.root().join("s").exists());
}
