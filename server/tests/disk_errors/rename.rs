//! A rename on a disk that fails: the entry has its old name, or the client is told that the new one may not last.

use fail::FailScenario;
use haul_protocol::{Name, Op};
use haul_server::Durability;

use super::client::{Client, Setup};

#[test]
fn rename_that_fails_leaves_the_old_name_or_is_uncertain() {
    let scenario = FailScenario::setup();
    let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
    for durability in [Durability::None, Durability::Group] {
        for (operation, to, code, is_renamed, group_only) in [
            ("rename", "other", "io", false, false),
            ("mkdir", "new/other", "io", false, false),
            // The directory above the new one, before the rename; and the parents, after it.
            ("fsync_directory", "new/other", "io", false, true),
            ("fsync_directory", "other", "uncertain", true, true),
        ] {
            if group_only && durability == Durability::None {
                continue;
            }
            let setup = Setup::new(durability);
            let mut client = Client::connect(&setup);
            fail::cfg(format!("disk::{operation}"), "1*return(EIO)").unwrap();
            let op = Op::Rename { name: name("small"), to: name(to), replace: false };
            let (answer, _) = client.ask(&op, b"");
            fail::remove(format!("disk::{operation}"));
            let what = format!("{durability:?} {operation} {to}");
            assert_eq!(Client::code(&answer), code, "{what}");
            assert_eq!(setup.root.path().join("small").exists(), !is_renamed, "{what}");
            assert_eq!(setup.read(if is_renamed { to } else { "small" }), b"old", "{what}");
            assert_eq!(setup.root.path().join(to).exists(), is_renamed, "{what}");
            if !is_renamed {
                assert_eq!(Client::code(&client.ask(&op, b"").0), "ack", "{what}");
            }
        }
    }
    scenario.teardown();
}
