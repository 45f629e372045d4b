//! Reading the accounts again, and the ends of logins.

use std::fs;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use haul_protocol::Rights;
use tempfile::TempDir;

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn token(secret: u8) -> AccessToken {
    AccessToken::new([secret; 5], [secret; 32])
}

fn section(token: &AccessToken, rest: &str) -> String {
    format!("[[user.alice.token]]\nid = \"{}\"\nhash = \"b3:{}\"\n{rest}", token.id(), token.hash())
}

fn write(place: &TempDir, text: &str) {
    let (new, path) = (place.path().join("new"), place.path().join("users.toml"));
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn alice(rest: &str) -> String {
    format!("[user.alice]\nrights = [\"put\"]\n{rest}")
}

fn open(place: &TempDir) -> Accounts {
    Accounts::open(Some(place.path()), false).unwrap()
}

fn log_in(accounts: &Accounts, token: &AccessToken) -> Result<Arc<Login>, Denied> {
    accounts.log_in(token, || Origin::Local, 0, Waker::noop().clone())
}

fn look(accounts: &Accounts) -> bool {
    accounts.look(true, |_| ())
}

#[test]
fn nobody_logs_in_to_new_accounts_before_all_is_prepared_for_them() {
    let place = TempDir::new().unwrap();
    write(&place, &alice(&section(&token(1), "")));
    let accounts = open(&place);
    write(&place, &(alice("root = \"other\"\n") + &section(&token(2), "")));
    let mut roots = Vec::new();
    let has_changed = accounts.look(true, |all| {
        roots.extend(all.iter().map(|account| account.view.root().unwrap().to_string()));
        assert!(log_in(&accounts, &token(2)).is_err());
    });
    assert!(has_changed && roots == ["other"], "{roots:?}");
    assert!(log_in(&accounts, &token(2)).is_ok());
    assert!(!accounts.look(true, |_| panic!("nothing has changed")));
    assert!(!accounts.look(false, |_| panic!("nothing is read")));
}

#[test]
fn login_is_over_when_its_token_account_root_or_rights_go_and_not_before() {
    for (after, is_over) in [
        (alice(&section(&token(1), "")) + &section(&token(2), ""), false),
        (alice("connections = 3\nquota_files = 1\n") + &section(&token(1), ""), false),
        // Another token, as after a rotation that keeps the old one for a while.
        (alice(&section(&token(2), "")) + &section(&token(1), "expires = 9999-01-01\n"), false),
        (alice(&section(&token(2), "")), true),
        // The same id with another secret.
        (
            alice(&section(&token(1), ""))
                .replace(&*token(1).hash().to_string(), &token(2).hash().to_string()),
            true,
        ),
        (alice(&section(&token(1), "expires = 2020-01-01\n")), true),
        (alice("expires = 2020-01-01\n") + &section(&token(1), ""), true),
        (alice("root = \"other\"\n") + &section(&token(1), ""), true),
        (alice(&section(&token(1), "")).replace("put", "list"), true),
        (alice(&section(&token(1), "")).replace("alice", "bob"), true),
        (String::new(), true),
    ] {
        let place = TempDir::new().unwrap();
        write(&place, &alice(&section(&token(1), "")));
        let accounts = open(&place);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let login = accounts.log_in(&token(1), || Origin::Local, 0, waker).unwrap();
        assert_eq!(login.facts().rights, Rights::drop_box());
        assert!(!look(&accounts) && !login.is_over());
        write(&place, &after);
        assert!(look(&accounts));
        assert_eq!(login.is_over(), is_over, "{after}");
        assert_eq!(woken.0.load(Ordering::SeqCst), usize::from(is_over));
        assert!(!look(&accounts) && accounts.are_needed());
    }
}

#[test]
fn torn_file_keeps_the_accounts_and_a_sound_one_replaces_them() {
    let place = TempDir::new().unwrap();
    let whole = alice(&section(&token(1), ""));
    write(&place, &whole);
    let accounts = open(&place);
    let login = log_in(&accounts, &token(1)).unwrap();
    for torn in [&whole[..whole.len() / 2], "[user.alice]\nright = []\n"] {
        write(&place, torn);
        assert!(!look(&accounts) && !login.is_over());
        assert!(log_in(&accounts, &token(1)).is_ok());
    }
    fs::remove_file(place.path().join("users.toml")).unwrap();
    assert!(!look(&accounts) && !login.is_over());
    write(&place, &whole.replace(&*token(1).hash().to_string(), &token(2).hash().to_string()));
    assert!(look(&accounts) && log_in(&accounts, &token(1)).is_err());
}

#[test]
fn file_that_could_not_be_read_is_read_again_though_it_has_not_changed() {
    let place = TempDir::new().unwrap();
    write(&place, &alice(&section(&token(1), "")));
    let accounts = open(&place);
    let path = place.path().join("users.toml");
    let state = || {
        let present = accounts.present.lock();
        (present.stamp, present.failed.clone())
    };
    let first = state();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!look(&accounts));
    let failed = state();
    assert!(failed.0 == first.0 && failed.1.is_some());
    assert!(!look(&accounts) && state() == failed && log_in(&accounts, &token(1)).is_ok());
    // Its text is looked at once.
    fs::remove_dir(&path).unwrap();
    write(&place, "[user.alice]\nright = []\n");
    assert!(!look(&accounts) && state().0 != first.0 && state().1.is_none());
    write(&place, "");
    assert!(look(&accounts) && state().1.is_none() && log_in(&accounts, &token(1)).is_err());
}

#[test]
fn server_serves_nobody_without_an_account_once_it_has_had_one() {
    let place = TempDir::new().unwrap();
    let accounts = open(&place);
    assert!(!accounts.are_needed() && !accounts.are_there());
    write(&place, &alice(""));
    assert!(look(&accounts) && accounts.are_needed() && accounts.are_there());
    write(&place, "");
    assert!(look(&accounts) && accounts.are_needed() && !accounts.are_there());
    assert!(Accounts::open(None, true).unwrap().are_needed());
    assert!(!Accounts::open(None, false).unwrap().are_needed());
}

#[test]
fn wrong_tokens_are_answered_ten_times_a_minute_and_right_ones_always() {
    let place = TempDir::new().unwrap();
    write(&place, &alice(&section(&token(1), "")));
    let accounts = open(&place);
    let denied: Vec<_> = (0..12).map(|_| log_in(&accounts, &token(2)).unwrap_err()).collect();
    assert_eq!(denied[..10], [Denied::Told; 10]);
    assert_eq!(denied[10..], [Denied::Silently; 2]);
    assert!(log_in(&accounts, &token(1)).is_ok());
}

#[test]
fn account_that_has_ended_stays_so_if_the_clock_is_set_back() {
    let end = "2100-01-01";
    for rest in [format!("expires = {end}\n"), String::new()] {
        let of_token = if rest.is_empty() { format!("expires = {end}\n") } else { String::new() };
        let place = TempDir::new().unwrap();
        write(&place, &(alice(&rest) + &section(&token(1), &of_token) + &section(&token(2), "")));
        let accounts = open(&place);
        let login = log_in(&accounts, &token(1)).unwrap();
        assert!(!look(&accounts) && !login.is_over());
        // The clock shows the end once, and never again.
        accounts.latest.see(4_102_444_800);
        assert_eq!(log_in(&accounts, &token(1)).unwrap_err(), Denied::Told);
        assert!(!accounts.knows(&token(1)) && !login.is_over());
        assert!(!look(&accounts) && login.is_over());
        // A server that is started now knows it, too.
        let accounts = open(&place);
        assert_eq!(log_in(&accounts, &token(1)).unwrap_err(), Denied::Told);
        assert_eq!(log_in(&accounts, &token(2)).is_ok(), rest.is_empty());
    }
}

#[test]
fn logins_that_are_gone_are_forgotten() {
    let place = TempDir::new().unwrap();
    write(&place, &alice(&section(&token(1), "")));
    let accounts = open(&place);
    let one = log_in(&accounts, &token(1)).unwrap();
    (0..100).for_each(|_| drop(log_in(&accounts, &token(1)).unwrap()));
    look(&accounts);
    assert_eq!(accounts.logins.lock().len(), 1);
    drop(one);
}
