//! A host with several addresses: one that never answers costs a quarter of a second.

use std::net::{TcpListener, TcpStream};

use haul_tests::prelude::*;

/// Connections that wait to be accepted at an address, so many that there is no room for more of them: who connects gets
/// no answer.
fn silent(at: &str) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(at).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        waiting.push(stream);
    }
    (listener, waiting)
}

#[test]
fn host_of_which_one_address_never_answers_is_reached_by_the_other_one() {
    let setting = Setting::start();
    setting.write("f", "x");
    let port = setting.server.address().rsplit(':').next().unwrap();
    let _silent = silent(&format!("[::1]:{port}"));
    fs::write(setting.place.path().join("hosts"), "::1 both\n127.0.0.1 both\n").unwrap();
    let put = |destination: &str, words: &[&str]| {
        let script = "set -e; mount --bind hosts /etc/hosts; exec \"$H\" put \"$@\"";
        let mut command = Client::new("unshare");
        command.current_dir(setting.place.path()).args(["-rm", "sh", "-c", script, "sh"]);
        command.args(words).args(["s", destination]).env("H", &binaries::get().haul);
        command.assert()
    };
    let began = Instant::now();
    // The server takes no TLS, and a name may lead elsewhere.
    put(&format!("both:{port}/t"), &["--insecure"]).success();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(setting.server.root().join("t/s/f").exists());
    let began = Instant::now();
    let lost = put(&format!("[::1]:{port}"), &["--retries", "0", "--timeout", "1s"]).code(3);
    let told = "no answer in 1s; is the address right, or a firewall in the way?";
    lost.stderr(contains(told));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
