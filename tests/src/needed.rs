//! Things that a test needs, and that not every machine has.

/// The variable that makes a test fail if it lacks something: `.ci/run` sets it.
const ALL: &str = "HAUL_TESTS_NEED_ALL";

/// Whether a test can run: `found` says whether `what` is there. If it is not, standard error tells that the test shows nothing.
///
/// # Panics
/// If it is not there, and `HAUL_TESTS_NEED_ALL` is set.
#[must_use]
#[track_caller]
#[expect(clippy::print_stderr, reason = "whoever reads the test's result has to know")]
pub fn is_here(found: bool, what: &str) -> bool {
    if !found {
        let at = std::panic::Location::caller();
        assert!(std::env::var_os(ALL).is_none(), "{what} is not here, and {ALL} is set");
        eprintln!("NOT HERE: {what}; the test at {at} shows nothing");
    }
    found
}

/// Whether the tests run as root, for a test that can't do without.
#[must_use]
#[track_caller]
pub fn is_root() -> bool {
    is_here(rustix::process::geteuid().is_root(), "root")
}

/// Whether file systems of FUSE can be had, for a test that can't do without.
#[must_use]
#[track_caller]
pub fn has_fuse() -> bool {
    is_here(std::path::Path::new("/dev/fuse").exists(), "/dev/fuse")
}

/// Whether openssl is installed, for a test that can't do without.
#[must_use]
#[track_caller]
pub fn has_openssl() -> bool {
    let version = std::process::Command::new("openssl").arg("version").output();
    is_here(version.is_ok_and(|output| output.status.success()), "openssl")
}
