//! The page in a real Chromium, driven by `tests/browser/page.mjs`. `.ci/run` installs both.

use std::path::{Path, PathBuf};
use std::process::Command;

use haul_tests::prelude::*;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs scenarios of a script; all of its output is in the message of a failure.
fn browse(server: &Hauld, words: &[&str]) {
    browse_with(server, None, words);
}

/// The same; `config`: the configuration directory of the server, and a directory with the token of each account.
fn browse_with(server: &Hauld, config: Option<[&Path; 2]>, words: &[&str]) {
    let [config, tokens] = config.unwrap_or([Path::new(""); 2]);
    let modules = top().join("target/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| String::from("/usr/bin/chromium"));
    assert!(
        Path::new(&chromium).exists(),
        "the tests of the page need Debian's package `chromium`"
    );
    assert!(
        modules.join("node_modules/playwright-core").exists(),
        "the tests of the page need playwright-core: .ci/run installs it into target/browser"
    );
    let screenshots = top().join("target/screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let work = TempDir::new().unwrap();
    let port = server.address().rsplit(':').next().unwrap();
    let output = Command::new("node")
        .arg(top().join("tests/browser/page.mjs"))
        .args(["haul.lan", port])
        .arg(server.root())
        .arg(work.path())
        .arg(&screenshots)
        .args(words)
        .env("BROWSER_MODULES", &modules)
        .env("CHROMIUM", &chromium)
        .env("TOKENS", tokens)
        .env("CONFIG", config)
        .env("HAULD", hauld_command().get_program())
        .output()
        .expect("the tests of the page need node");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for word in words {
        assert!(text.contains(&format!("ok {word} ")), "{word} was not run: {text}");
    }
}

fn known_by_name() -> Hauld {
    server_with(&["--http-host", "haul.lan"])
}

#[test]
fn folder_is_dropped_and_conflicts_are_asked_about_once() {
    browse(
        &known_by_name(),
        &[
            "folder_of_250_entries_arrives_byte_for_byte",
            "conflict_is_asked_once_and_the_choice_holds",
            "large_file_arrives",
            "large_file_that_is_dropped_again_after_a_reload_goes_on",
        ],
    );
}

#[test]
fn progress_is_honest_and_an_upload_outlasts_pauses_and_lost_networks() {
    browse(
        &known_by_name(),
        &[
            "progress_is_what_the_server_has_and_pause_stops_it",
            "lost_network_is_told_and_the_upload_goes_on",
        ],
    );
}

#[test]
fn troubles_of_an_upload_are_told_and_can_be_mended() {
    browse(
        &known_by_name(),
        &[
            "cancelled_files_leave_nothing_and_the_page_goes_on",
            "refused_file_says_why_and_can_be_tried_again",
            "attempts_become_rarer_while_the_network_is_lost",
            "large_and_deep_files_that_are_there_are_asked_about_too",
            "upload_that_another_request_has_taken_goes_on_where_it_is",
        ],
    );
}

#[test]
fn files_are_given_and_fetched_in_all_ways() {
    browse(
        &known_by_name(),
        &[
            "folder_button_keeps_the_paths",
            "each_file_has_a_bar_of_its_own",
            "directory_opens_while_files_are_on_their_way",
            "files_are_pasted_and_fetched_by_a_click_and_none_of_them_runs",
            "directory_of_thousands_is_whole_sorted_and_readable",
        ],
    );
}

#[test]
fn page_serves_everybody() {
    browse(
        &known_by_name(),
        &[
            "keyboard_is_enough",
            "list_has_the_order_that_a_person_chooses",
            "empty_directory_and_a_missing_entry_are_told_kindly",
            "reader_is_told_all",
            "dark_and_small_screens_fit",
            "forms_do_without_script",
        ],
    );
}

#[test]
fn link_with_a_token_logs_in_and_leads_to_the_place_for_uploads() {
    let accounts = Accounts::start_with(
        &["--http-host", "haul.lan"],
        &["alice", "carol", "box --rights drop"],
    );
    let tokens = TempDir::new().unwrap();
    for name in ["alice", "carol", "box"] {
        fs::write(tokens.path().join(name), accounts.token(name)).unwrap();
    }
    browse_with(
        &accounts.server,
        Some([accounts.config.path(), tokens.path()]),
        &[
            "link_logs_in_and_out",
            "login_that_ends_within_an_upload_is_told_and_the_upload_goes_on_after_a_new_one",
        ],
    );
}
