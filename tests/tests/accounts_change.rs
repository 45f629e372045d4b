//! `hauld user change` while the server runs.

use haul_tests::prelude::*;

#[test]
fn changed_rights_end_connections_and_hold_for_the_next_ones() {
    let accounts = Accounts::start(&["alice --rights reader"]);
    let mut old = accounts.peer("alice");
    refused(&old.ask(&put(1, "f", b"x"), b"x").unwrap(), 1, "forbidden");
    let output = accounts.hauld(&["user", "change", "alice", "--rights", "writer"]);
    assert!(output.status.success(), "{output:?}");
    refused(&old.receive().unwrap().0, 0, "unauthorized");
    let mut new = accounts.peer("alice");
    assert_eq!(new.ask(&put(1, "f", b"x"), b"x").unwrap()["ack"], 1);
}

#[test]
fn changed_limits_hold_for_connections_that_are_there() {
    let accounts = Accounts::start(&["alice --quota-files 1"]);
    let mut alice = accounts.peer("alice");
    assert_eq!(alice.ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
    refused(&alice.ask(&put(2, "b", b""), b"").unwrap(), 2, "quota");
    let change = |words: &[&str]| {
        let readings = accounts.readings();
        let output = accounts.hauld(&[&["user", "change", "alice"], words].concat());
        assert!(output.status.success(), "{output:?}");
        accounts.are_read_after(readings);
    };
    change(&["--quota-files", "none", "--expires", "2100-01-01"]);
    let put_it = |peer: &mut Peer, id, name| peer.ask(&put(id, name, b""), b"").unwrap();
    let mut answer = Value::Null;
    let mut id = 2;
    eventually("the quota is gone", || {
        id += 1;
        answer = put_it(&mut alice, id, "b");
        answer["ack"] == id
    });
    // The end is prolonged, and then comes.
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "x"));
    assert_eq!(answer["account"]["expires"], 4_102_444_800_u64, "{answer}");
    change(&["--expires", "never", "--connections", "1"]);
    assert_eq!(put_it(&mut alice, id + 1, "c")["ack"], id + 1);
    let (_, answer) = accounts.greeted(&accounts.hello("alice", "y"));
    refused(&answer, 0, "busy");
    let users = accounts.users();
    assert!(!users.contains("expires") && !users.contains("quota"), "{users}");
    let soon = accounts.hauld(&["user", "change", "alice", "--expires", "1s"]);
    assert!(soon.status.success(), "{soon:?}");
    refused(&alice.receive().unwrap().0, 0, "unauthorized");
}

/// A user of a machine with a service has a directory of its own, where the service looks for nothing.
#[test]
fn user_beside_a_service_is_told_whose_accounts_a_command_is_about() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = User::new().unwrap();
    let own = user.path().join("state/hauld");
    let list = |make: &str| {
        let script = format!(
            "set -e; mount -t tmpfs none /var/lib; {make} exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, "sh"]).arg(user.path().join("hauld"));
        command.args(["user", "list"]).current_dir(user.path());
        command.env("XDG_STATE_HOME", user.path().join("state")).env_remove("HAULD_CONFIG_DIR");
        let output = output_of(&mut command);
        assert!(output.status.success(), "{output:?}");
        let listed = String::from_utf8(output.stdout).unwrap();
        let empty = format!("no account in {}", own.join("users.toml").display());
        assert!(listed.contains(&empty), "{listed}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(list(""), "");
    let said = list("mkdir -m 700 /var/lib/hauld;");
    let words = format!("in {}. Those of the service are in /var/lib/hauld:", own.display());
    assert!(said.contains(&words), "{said}");
}
