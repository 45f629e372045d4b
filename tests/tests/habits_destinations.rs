//! Destinations in the form of scp, rsync and curl, and mistakes in haul's own: each is understood, or told with the
//! right form.

use haul_tests::prelude::*;

/// What a person sees of wrong usage: standard error, which fits a terminal.
fn seen(setting: &Setting, words: &[&str]) -> String {
    let output = setting.haul(words).assert().code(2).stdout("").get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    told
}

#[test]
fn destination_of_another_program_is_wrong_usage_with_the_right_form() {
    let setting = Setting::start();
    for (given, told) in [
        (
            "box::mod",
            "haul: `box::mod` is an rsync daemon's, and haul sends to hauld: write box/mod\n",
        ),
        (
            "Me@box/in",
            "haul: `Me` is no name of an account: it has up to 32 small letters, digits, `.`,\n  `_` and `-`, and begins with a letter or digit; without an account, write\n  box/in\n",
        ),
        (
            "me:secret@box/in",
            "haul: a secret does not belong into a command line, where others can read it:\n  write me@box/in, and `haul login` reads the secret from the terminal\n",
        ),
        (
            "rsync://box/mod",
            "haul: haul can't use rsync://: run hauld there, and write haul://box/mod, with\n  its port if that is not 8080\n",
        ),
        (
            "http://box:8080/in",
            "haul: haul can't use http://: run hauld there, and write haul://box:8080/in,\n  with its port if that is not 8080\n",
        ),
        (
            "sftp://me@box/in",
            "haul: haul can't use sftp://: run hauld there, and write haul://box/in, with its\n  port if that is not 8080\n",
        ),
    ] {
        assert_eq!(seen(&setting, &["put", "s", given]), told);
        assert_eq!(seen(&setting, &["ls", given]), told);
    }
    for scheme in ["https", "ftp", "scp", "webdav"] {
        let told = seen(&setting, &["sync", "s", &format!("{scheme}://box/in")]);
        assert!(told.contains("haul://box/in"), "{told}");
    }
}

#[test]
fn port_that_is_mistyped_is_told_and_never_taken_for_a_directory() {
    let setting = Setting::start();
    for (given, told) in [
        (
            "box:18a",
            "haul: `18a` is not a port from 1 to 65535; a path comes after a slash: box/PATH;\n  over ssh: box:./18a\n",
        ),
        (
            "127.0.0.1:2860x",
            "haul: `2860x` is not a port from 1 to 65535; a path comes after a slash:\n  127.0.0.1/PATH; over ssh: 127.0.0.1:./2860x\n",
        ),
        (
            ":18222",
            "haul: `18222` is a port without a host: write localhost:18222 for this machine,\n  or HOST:18222\n",
        ),
        (
            "8080",
            "haul: `8080` is a port without a host: write localhost:8080 for this machine, or\n  HOST:8080\n",
        ),
        (
            "fe80::1:2",
            "haul: `fe80::1:2` can be an address, or an address and a port: write\n  [fe80::1:2], or [fe80::1]:2\n",
        ),
        (
            "[box]:99",
            "haul: `[box]:99` is not an IPv6 address in brackets: the right form is\n  [V6][:PORT][/PATH]\n",
        ),
    ] {
        assert_eq!(seen(&setting, &["put", "s", given]), told);
    }
}

#[test]
fn last_word_that_is_a_path_here_is_no_server() {
    let setting = Setting::start();
    fs::create_dir(setting.place.path().join("backup")).unwrap();
    fs::write(setting.place.path().join("note"), "").unwrap();
    assert_eq!(
        seen(&setting, &["put", "s", "backup"]),
        "haul: `backup` is a directory on this machine, and the last word is the server\n  \
         that files go to, HOST/PATH; if a server has that name, write haul://backup\n"
    );
    assert_eq!(
        seen(&setting, &["put", "s"]),
        "haul: `s` is a directory on this machine, and the last word is the server that\n  \
         files go to, HOST/PATH; if a server has that name, write haul://s\n"
    );
    assert!(seen(&setting, &["sync", "s", "note"]).contains("`note` is a file on this machine"));
    for given in ["./x", "/x", "../x", "~/x", "."] {
        assert_eq!(
            seen(&setting, &["verify", "s", given]).split(',').next().unwrap(),
            format!("haul: `{given}` is a path on this machine")
        );
    }
    // A server all the same, which is not there.
    setting.haul(&["put", "s", "haul://backup.invalid", "--retries", "0"]).assert().code(3);
}

#[test]
fn ipv6_address_is_understood_without_brackets_and_with_a_zone() {
    let setting = Setting::start_with(&["--durability", "none", "--listen", "[::1]:0"]);
    setting.write("f", "x");
    let port = setting.server.address().rsplit(':').next().unwrap();
    for (index, host) in ["0:0:0:0:0:0:0:1", "[::1]", "::1%lo", "[::1%lo]"].into_iter().enumerate()
    {
        let destination = format!("{host}:{port}/{index}");
        setting.haul(&["put", "s", &destination]).assert().success();
        assert!(setting.server.root().join(format!("{index}/s/f")).exists(), "{destination}");
    }
    setting.haul(&["put", "s", &format!("haul://[::1%25lo]:{port}/url")]).assert().success();
}

#[test]
fn address_to_listen_on_needs_a_host_and_a_port_in_the_right_form() {
    let place = TempDir::new().unwrap();
    for (given, told) in [
        (
            "8080",
            "a port needs an address:\n  127.0.0.1:8080 for this machine\n  0.0.0.0:8080 for all that reach it\n",
        ),
        (
            ":8080",
            "a port needs an address:\n  127.0.0.1:8080 for this machine\n  0.0.0.0:8080 for all that reach it\n",
        ),
        ("localhost", "an address needs a port:\n  localhost:8080, or port 0 for a free one\n"),
        ("::1", "it needs brackets and a port:\n  [::1]:8080\n"),
        ("127.0.0.1:18a", "`127.0.0.1:18a` is not HOST:PORT, [V6]:PORT or unix:PATH\n"),
    ] {
        let mut command = hauld_command();
        command.args(["--listen", given, "--root"]).arg(place.path().join("root"));
        let output = output_of(&mut command);
        assert_eq!(output.status.code(), Some(2));
        let all = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            all,
            format!(
                "error: invalid value '{given}' for '--listen <ADDR>': {told}\n\
                 For more information, try '--help'.\n"
            )
        );
        assert!(!place.path().join("root").exists(), "nothing is made by wrong usage");
        let first = all.lines().filter(|line| !line.contains("18a"));
        assert!(first.clone().all(|line| line.chars().count() <= 80), "{all}");
    }
}

#[test]
fn place_at_a_server_that_is_no_text_is_no_path_on_this_machine() {
    use std::os::unix::ffi::OsStrExt;

    let there = std::ffi::OsStr::from_bytes(b"box:1/\xff");
    for (command, source, destination) in
        [("sync", there, "d".as_ref()), ("get", "box:1/x".as_ref(), there)]
    {
        let place = TempDir::new().unwrap();
        let mut haul = haul();
        haul.current_dir(place.path()).arg(command).arg(source).arg(destination);
        let said = if command == "get" { "is a server" } else { "is not UTF-8" };
        haul.assert().code(2).stderr(contains(said));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{command}");
    }
}
