//! Users of the machine who have an account on a Unix socket, and need no token there.

use std::os::unix::net::UnixStream;

use haul_tests::prelude::*;
use rustix::process::geteuid;

/// A server of accounts that also listens on a Unix socket to which every user may connect; and the socket's address.
fn served(place: &TempDir, users: &[&str]) -> (Accounts, String) {
    let socket = place.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let words = ["--durability", "none", "--listen", "127.0.0.1:0", "--listen", &address];
    let accounts = Accounts::start_with(&words, users);
    set_mode(&socket, 0o666);
    set_mode(place.path(), 0o755);
    (accounts, address)
}

#[test]
fn user_of_the_machine_has_an_account_on_a_unix_socket_and_others_need_a_token() {
    let (place, user) = (TempDir::new().unwrap(), User::new().unwrap());
    let me = geteuid().as_raw().to_string();
    let (accounts, address) = served(&place, &[&format!("alice --unix-user {me}"), "bob"]);
    fs::write(place.path().join("f"), "x").unwrap();
    haul().arg("put").arg(place.path().join("f")).arg(&address).assert().success();
    assert_eq!(accounts.text("alice/f"), "x");
    // The mapping is for Unix sockets only.
    let file = place.path().join("f");
    let tcp = haul().arg("put").arg(&file).arg(accounts.server.address()).assert();
    tcp.code(3).stderr(contains("asks for an account"));
    // A token counts more than the user.
    let mut other = haul();
    other.arg("put").arg(&file).arg(&address).env("HAUL_TOKEN", accounts.token("bob"));
    other.assert().success();
    assert_eq!(accounts.text("bob/f"), "x");
    let file = user.path().join("f");
    fs::write(&file, "x").unwrap();
    let output = user.command("haul").arg("put").arg(&file).arg(&address).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("asks for an account"), "{told}");
}

#[test]
fn user_who_has_the_account_no_more_loses_the_connection() {
    let place = TempDir::new().unwrap();
    let me = geteuid().as_raw().to_string();
    let (accounts, address) = served(&place, &[&format!("alice --unix-user {me}")]);
    let socket = address.strip_prefix("unix:").unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut hello = accounts.hello("alice", "c");
    hello.as_object_mut().unwrap().remove("token");
    stream.write_all(&frame(&hello, b"")).unwrap();
    let answer = answer(&mut stream);
    assert_eq!(answer["account"]["name"], "alice", "{answer}");
    accounts.set_users(&accounts.users().replace(&format!("[{me}]"), "[4294967294]"));
    let ended = self::answer(&mut stream);
    assert_eq!(ended["code"], "unauthorized", "{ended}");
}

/// The header of the next frame.
fn answer(stream: &mut UnixStream) -> Value {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut header = vec![0; usize::try_from(i32::from_le_bytes(prefix)).unwrap()];
    stream.read_exact(&mut header).unwrap();
    serde_json::from_slice(&header).unwrap()
}
