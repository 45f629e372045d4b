//! The words for a newcomer whose command can't be carried out as it stands.

use haul_tests::fake::nobody;
use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

#[test]
fn server_that_refuses_the_connection_is_told_with_advice_in_one_line() {
    let setting = Setting::start();
    setting.write("f", "x");
    let (_port, address) = nobody().unwrap();
    let told =
        format!("haul: could not reach {address}: Connection refused; does hauld run there?");
    let line = format!("$H put s {address}");
    let output = output_of(&mut terminal(&setting, 80, &line));
    fit(&output.stdout, 80);
    assert_eq!(left_in_the_end(&output.stdout), [told.as_str(), "0 files, 0 B in T s"]);
    for words in [
        &["ls"][..],
        &["rm"],
        &["mkdir"],
        &["publish", "--rollback"],
        &["publish", "-q", "s"],
        &["sync", "-q", "s"],
    ] {
        let mut command = setting.haul(&[words, &[&format!("{address}/x")]].concat());
        command.assert().code(3).stdout("").stderr(format!("{told}\n"));
    }
    // There is no hauld to be started.
    let mut command = setting.haul(&["put", "--classic", "s/f", &address]);
    command.assert().code(3).stderr(contains("hauld").not());
}
