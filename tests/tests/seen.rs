//! The looks of `haul` for a person: on terminals of 80 and of 40 columns, and in a pipe.

use haul_tests::fake::{Fake, PART_SIZE, opened};
use haul_tests::prelude::*;
use haul_tests::screen::{fit, is_spinner, left_in_the_end, shown, terminal};

/// A source with a long name, a file that fails, a FIFO, and files of which one is the same.
fn setting() -> Setting {
    let setting = Setting::start_with(&["--durability", "none", "--max-file", "4"]);
    setting.write("a", "a");
    setting.sync(&[]);
    let long =
        "a-directory-with-a-name/and-a-file-with-quite-a-long-name-that-fits-no-line-at-all.txt";
    setting.write(long, "b");
    setting.write("large", "larger than 4 bytes");
    symlink("a", setting.source().join("link")).unwrap();
    setting.script("mkfifo s/pipe").assert().success();
    setting
}

const SYNC: &str = "$H sync -v --connections 1 s $A";

#[test]
fn run_as_it_is_seen_on_80_columns() {
    let setting = setting();
    let output = output_of(&mut terminal(&setting, 80, SYNC));
    fit(&output.stdout, 80);
    let mut lines = left_in_the_end(&output.stdout);
    let summary: Vec<_> = lines.drain(lines.len() - 2..).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "haul: s/large: 19 bytes are over the server's limit of 4",
            "haul: skipped s/pipe: a FIFO",
            "s",
            "s/a-directory-with-a-name",
            "s/a-directory-with-a-name/and-a-file-wi…a-long-name-that-fits-no-line-at-all.txt",
            "s/link",
        ]
    );
    assert_eq!(
        summary,
        [
            "1 file, 1 link, 2 directories, 1 B in T s, 1 failed, 1 unchanged, 1 skipped;",
            "  durability none"
        ]
    );
}

#[test]
fn run_as_it_is_seen_on_40_columns() {
    let setting = setting();
    let output = output_of(&mut terminal(&setting, 40, SYNC));
    fit(&output.stdout, 40);
    let mut lines = left_in_the_end(&output.stdout);
    let summary: Vec<_> = lines.drain(lines.len() - 3..).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "  server's limit of 4",
            "haul: s/large: 19 bytes are over the",
            "haul: skipped s/pipe: a FIFO",
            "s",
            "s/a-directory-with-a-name",
            "s/a-directory-with-…s-no-line-at-all.txt",
            "s/link",
        ]
    );
    assert_eq!(
        summary,
        [
            "1 file, 1 link, 2 directories,",
            "  1 B in T s, 1 failed, 1 unchanged,",
            "  1 skipped; durability none"
        ]
    );
}

#[test]
fn names_are_whole_in_a_pipe() {
    let setting = setting();
    let output = setting.script(SYNC).output();
    let (out, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        error.contains("/and-a-file-with-quite-a-long-name-that-fits-no-line-at-all.txt\n"),
        "{error}"
    );
    assert_eq!(out.lines().count(), 1, "a summary is one line there: {out}");
    assert!(
        error.contains("haul: s/large: 19 bytes are over the server's limit of 4\n"),
        "{error}"
    );
}

#[test]
fn long_results_are_shortened_on_a_terminal_only() {
    let setting = setting();
    for columns in [80, 40] {
        for command in ["$H sync -n s $A", "$H verify s $A"] {
            let output = output_of(&mut terminal(&setting, columns, command));
            fit(&output.stdout, columns.into());
            let lines = left_in_the_end(&output.stdout);
            assert!(lines.iter().any(|line| line.contains('…')), "{lines:#?}");
            let piped = setting.script(command).output();
            assert!(!String::from_utf8(piped.stdout).unwrap().contains('…'));
        }
    }
}

#[test]
fn stats_and_errors_survive_40_columns() {
    let setting = setting();
    let nobody = "$H put s unix:/tmp/none/a-rather-long-name-of-a-socket-that-nobody-listens-on";
    for line in ["$H put --stats s $A", nobody, "$H put s s $A --as x"] {
        fit(&output_of(&mut terminal(&setting, 40, line)).stdout, 40);
    }
}

/// Reads what a terminal shows until this is there.
fn wait_for(running: &mut Child, seen: &mut Vec<u8>, wanted: impl Fn(&str) -> bool) {
    let out = running.stdout.as_mut().unwrap();
    let mut buffer = [0; 4096];
    while !shown(seen).iter().any(|line| wanted(line)) {
        let len = out.read(&mut buffer).unwrap();
        assert!(len > 0, "{:#?}", shown(seen));
        seen.extend_from_slice(&buffer[..len]);
    }
}

/// The list of names has no end yet, so nobody knows the total.
#[test]
fn bar_without_an_end_moves_until_the_walk_is_over() {
    let setting = Setting::start();
    setting.write("a", "x");
    setting.write("b", "x");
    for columns in [80, 40] {
        let line = format!("$H put --files-from names s $A/{columns}");
        let names = setting.place.path().join("names");
        setting.script("rm -f names; mkfifo names").assert().success();
        let mut list = File::options().read(true).write(true).open(&names).unwrap();
        list.write_all(b"a\nb\n").unwrap();
        let mut running =
            terminal(&setting, columns, &line).stdout(Stdio::piped()).spawn().unwrap();
        let mut seen = Vec::new();
        let counts = |line: &str| line.contains(" files, ") && !line.contains(" of ");
        if columns == 80 {
            // Another state each time.
            for at in ["[ =", "[  =", "[   ="] {
                wait_for(&mut running, &mut seen, |line| counts(line) && line.contains(at));
            }
        } else {
            wait_for(&mut running, &mut seen, counts);
        }
        drop(list);
        let rest = ended(running).stdout;
        seen.extend(rest);
        fit(&seen, columns.into());
        let lines = left_in_the_end(&seen);
        assert!(lines.last().unwrap().contains("durability none"), "{lines:#?}");
    }
}

#[test]
fn time_that_is_left_is_shown_once_the_walk_is_over() {
    let (setting, fake) = (Setting::start(), Fake::start().unwrap());
    fs::write(setting.place.path().join("large"), vec![7; 20 << 20]).unwrap();
    for columns in [80, 40] {
        let address = fake.address().unwrap();
        let line = format!("$H put --connections 1 --limit-rate 5MB large {address}");
        let mut running =
            terminal(&setting, columns, &line).stdout(Stdio::piped()).spawn().unwrap();
        let (mut peer, _) = fake.greet().unwrap();
        let (open, _) = peer.receive().unwrap();
        opened(&mut peer, &open["id"], PART_SIZE, &[]).unwrap();
        // It takes what comes, and says nothing.
        let reading = thread::spawn(move || while peer.receive().is_ok() {});
        let mut seen = Vec::new();
        wait_for(&mut running, &mut seen, |line| {
            let bar = columns == 40 || line.contains("=>");
            line.contains("0 of 1 file, ") && line.contains(":0") && line.contains(" left") && bar
        });
        fit(&seen, columns.into());
        // The terminal goes, and haul with it.
        running.kill().unwrap();
        running.wait().unwrap();
        drop(reading);
    }
}

/// Trap `wrong_totals`: files that are the same here count as behind, and the time that is left is that of the others.
#[test]
fn wrong_totals_are_shown_of_nothing_that_comes() {
    let setting = Setting::start();
    for (name, size) in [("large", 20 << 20), ("same", 500 << 20)] {
        fs::create_dir_all(setting.target()).unwrap();
        File::create(setting.target().join(name)).unwrap().set_len(size).unwrap();
    }
    for columns in [80, 40] {
        let here = setting.place.path().join(format!("{columns}"));
        fs::create_dir(&here).unwrap();
        let same = File::create(here.join("same")).unwrap();
        same.set_len(500 << 20).unwrap();
        let there = setting.target().join("same").metadata().unwrap();
        same.set_modified(there.modified().unwrap()).unwrap();
        set_mode(here.join("same"), mode(setting.target().join("same")));
        let line = format!("$H sync --connections 1 --limit-rate 1MB haul://$A/s/ {columns}");
        let mut running =
            terminal(&setting, columns, &line).stdout(Stdio::piped()).spawn().unwrap();
        let mut seen = Vec::new();
        // Twenty seconds, and not eight minutes.
        wait_for(&mut running, &mut seen, |line| {
            line.contains("1 of 2 files, ") && line.contains(" 0:") && line.contains(" left")
        });
        fit(&seen, columns.into());
        running.kill().unwrap();
        running.wait().unwrap();
    }
}

/// Holes are read as fast as the processor hashes them, which takes longer than the bar waits.
#[test]
fn verify_shows_the_bytes_that_it_has_compared() {
    let setting = Setting::start();
    for path in [setting.source().join("holes"), setting.target().join("holes")] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().set_len(512 << 20).unwrap();
    }
    let output = output_of(&mut terminal(&setting, 80, "$H verify s $A"));
    fit(&output.stdout, 80);
    let lines = shown(&output.stdout);
    let is_counted =
        |line: &String| line.contains("MiB compared, ") && line.starts_with(is_spinner);
    assert!(lines.iter().any(is_counted), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("1 the same, "), "{lines:#?}");
}
