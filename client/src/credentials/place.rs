//! The directory of haul's own files.

use std::env;
use std::path::PathBuf;

/// `HAUL_CONFIG_DIR`, or else `haul` in the user's configuration.
pub(super) fn directory() -> Option<PathBuf> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("HAUL_CONFIG_DIR").or_else(|| {
        let config = given("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let config = config.or_else(|| Some(given("HOME")?.join(".config")))?;
        Some(config.join("haul"))
    })
}
