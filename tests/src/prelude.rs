//! All names that most tests need, in one line: `use haul_tests::prelude::*;`.

pub use std::fs::{self, File};
pub use std::io::{BufRead, BufReader, Read, Write};
pub use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
pub use std::path::{Path, PathBuf};
pub use std::process::{Child, Command, Output, Stdio};
pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use std::thread;
pub use std::time::{Duration, Instant, SystemTime};

pub use assert_cmd::assert::Assert;
pub use predicates::prelude::*;
pub use predicates::str::contains;
pub use rustix::process::Signal;
pub use serde_json::{Value, json};
pub use tempfile::TempDir;

pub use crate::accounts::Accounts;
pub use crate::attributes::{mode, set_mode, set_mtime};
pub use crate::client::{Client, ended, haul, haul_command, output_of, signal};
pub use crate::hauld::{Hauld, hauld_command, server, server_with};
pub use crate::lost::Lost;
pub use crate::meanwhile::{Held, LARGE};
pub use crate::peer::{Peer, classic, frame, put, raw_frame, refused};
pub use crate::relay::{Event, Relay};
pub use crate::setting::{Setting, last};
pub use crate::upload::{Large, PART, Upload};
pub use crate::user::User;
pub use crate::{DEADLINE, binaries, eventually, place, tree};
