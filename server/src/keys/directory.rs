//! The directory of the server's own key: which files it has, how they are made, and who may read them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use haul_protocol::Pin;
use rcgen::{KeyPair, PublicKeyData};
use rustix::fs::{AtFlags, CWD, RenameFlags, renameat_with};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::KeyError;
use super::certificate::{Certified, content, read, self_signed};

const KEY: &str = "key.pem";
const NEXT: &str = "next-key.pem";
const CERTIFICATE: &str = "cert.pem";

/// The directory of a server's own key.
#[derive(Debug, Clone)]
pub(crate) struct Directory(PathBuf);

/// Whether a file may stand there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Stays,
    IsReplaced,
}

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether a key has been made.
    pub(crate) fn has_key(&self) -> bool {
        self.look_for_key().is_ok()
    }

    /// Fails if the key is not there.
    pub(crate) fn look_for_key(&self) -> Result<(), KeyError> {
        let file = self.key_file();
        match file.symlink_metadata() {
            Ok(_) => Ok(()),
            Err(error) => Err(KeyError::File(file, error)),
        }
    }

    /// Refuses a directory that clients of this root could write to.
    pub(crate) fn outside(&self, root: &Path) -> Result<(), KeyError> {
        match resolved(&self.0).starts_with(resolved(root)) {
            true => Err(KeyError::InRoot(self.0.clone())),
            false => Ok(()),
        }
    }

    /// The key and its certificate. If one is missing, it is made.
    pub(crate) fn load(&self) -> Result<Certified, KeyError> {
        let key = self.key()?;
        let (chain_file, key_file) = (self.certificate_file(), self.key_file());
        match Certified::read(&chain_file, &key_file) {
            Ok(found) if !found.is_due_for_renewal() => return Ok(found),
            Ok(_) => {}
            Err(KeyError::File(_, error)) if error.kind() == ErrorKind::NotFound => {}
            Err(KeyError::Mismatch(..)) => {}
            Err(error) => tracing::warn!(%error, "the certificate is made anew"),
        }
        let made = self_signed(&key)?;
        // It is as good in memory: clients look at its key, and the next start makes another one.
        if let Err(error) =
            self.write(&chain_file, made.pem().as_bytes(), 0o644, Existing::IsReplaced)
        {
            tracing::info!(%error, "the certificate is not kept");
        }
        let der = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| content(&key_file, error))?;
        Certified::new(vec![made.der().clone()], der, &chain_file, &key_file)
    }

    /// The pin of the key, which is made if it is missing.
    pub(crate) fn pin(&self) -> Result<Pin, KeyError> {
        Ok(pin(&self.key()?))
    }

    /// The pin of the next key, if there is one.
    pub(crate) fn next_pin(&self) -> Result<Option<Pin>, KeyError> {
        let file = self.next_file();
        match read_key(&file) {
            Err(KeyError::File(_, error)) if error.kind() == ErrorKind::NotFound => Ok(None),
            key => Ok(Some(pin(&key?))),
        }
    }

    /// Makes the next key, unless there is one; returns its pin.
    pub(crate) fn make_next(&self) -> Result<Pin, KeyError> {
        // A next key without a present one would announce nothing.
        self.key()?;
        Ok(pin(&self.read_or_make(&self.next_file())?))
    }

    /// Makes the next key the present one; returns its pin.
    pub(crate) fn switch(&self) -> Result<Pin, KeyError> {
        let (next, key) = (self.next_file(), self.key_file());
        let pin = self.next_pin()?.ok_or_else(|| KeyError::NoNext(next.clone()))?;
        fs::rename(&next, &key).map_err(|error| KeyError::File(next, error))?;
        self.sync()?;
        // Its certificate is that of the key before.
        self.load()?;
        Ok(pin)
    }

    /// The files that may change while a server runs.
    pub(super) fn files(&self) -> [PathBuf; 3] {
        [self.key_file(), self.certificate_file(), self.next_file()]
    }

    fn key_file(&self) -> PathBuf {
        self.0.join(KEY)
    }

    fn next_file(&self) -> PathBuf {
        self.0.join(NEXT)
    }

    fn certificate_file(&self) -> PathBuf {
        self.0.join(CERTIFICATE)
    }

    fn key(&self) -> Result<KeyPair, KeyError> {
        self.read_or_make(&self.key_file())
    }

    fn read_or_make(&self, file: &Path) -> Result<KeyPair, KeyError> {
        match read_key(file) {
            Err(KeyError::File(_, error)) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let key = KeyPair::generate().map_err(|error| KeyError::Make(error.to_string()))?;
        match self.write(file, key.serialize_pem().as_bytes(), 0o600, Existing::Stays) {
            // Another process has made one in this moment.
            Err(KeyError::File(_, error)) if error.kind() == ErrorKind::AlreadyExists => {
                read_key(file)
            }
            written => written.map(|()| key),
        }
    }

    /// Writes a whole file: no moment shows a part of it, or lets others read what is not for them.
    fn write(
        &self,
        file: &Path,
        bytes: &[u8],
        mode: u32,
        existing: Existing,
    ) -> Result<(), KeyError> {
        let failed = |error| KeyError::File(file.to_owned(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| KeyError::File(self.0.clone(), error))?;
        let temporary = file.with_extension(format!("new-{}", std::process::id()));
        let write = || {
            let mut out: File =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            // If root runs `hauld key next`, the server's own user has to read the file.
            if rustix::process::geteuid().is_root()
                && let Some((user, group)) = owner(Some(&self.0))
            {
                std::os::unix::fs::fchown(&out, Some(user), Some(group))?;
            }
            out.write_all(bytes)?;
            out.sync_all()?;
            match existing {
                Existing::IsReplaced => fs::rename(&temporary, file),
                Existing::Stays => {
                    Ok(renameat_with(CWD, &temporary, CWD, file, RenameFlags::NOREPLACE)?)
                }
            }
        };
        let written: io::Result<()> = write();
        if written.is_err() {
            // Nothing but a rest of this attempt has that name.
            let _ = rustix::fs::unlinkat(CWD, &temporary, AtFlags::empty());
        }
        written.map_err(failed)?;
        self.sync()
    }

    /// Makes names durable.
    fn sync(&self) -> Result<(), KeyError> {
        let synced = File::open(&self.0).and_then(|directory| directory.sync_all());
        synced.map_err(|error| KeyError::File(self.0.clone(), error))
    }
}

/// The path as it is without symlinks, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = absolute.ancestors().find_map(|above| {
        let rest = absolute.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    found.unwrap_or(absolute)
}

/// Reads a key that only its owner may read.
fn read_key(file: &Path) -> Result<KeyPair, KeyError> {
    let found = fs::metadata(file).map_err(|error| KeyError::File(file.to_owned(), error))?;
    if found.mode() & 0o077 != 0 {
        return Err(KeyError::Public(file.to_owned()));
    }
    let me = rustix::process::geteuid().as_raw();
    // Root may look at the keys of a server that has a user of its own.
    let is_of_directory = || owner(file.parent()).is_some_and(|(user, _)| user == found.uid());
    if found.uid() != me && found.uid() != 0 && !is_of_directory() {
        return Err(KeyError::Foreign(file.to_owned()));
    }
    let pem = read(file)?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| content(file, error))?;
    KeyPair::try_from(&der).map_err(|error| content(file, error))
}

/// User and group of a directory.
fn owner(directory: Option<&Path>) -> Option<(u32, u32)> {
    let found = fs::metadata(directory?).ok()?;
    Some((found.uid(), found.gid()))
}

fn pin(key: &KeyPair) -> Pin {
    Pin::of_spki(&key.subject_public_key_info())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_near_its_end_is_made_anew_from_the_same_key() {
        let place = tempfile::TempDir::new().unwrap();
        let directory = Directory::new(place.path());
        let pin = directory.pin().unwrap();
        let key = directory.key().unwrap();
        let mut old = rcgen::CertificateParams::new(vec![String::from("hauld")]).unwrap();
        old.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let old = old.self_signed(&key).unwrap().pem();
        for written in [old.as_str(), "", "no certificate"] {
            fs::write(directory.certificate_file(), written).unwrap();
            let loaded = directory.load().unwrap();
            assert!(loaded.pin == pin && loaded.days_left().unwrap() > 300);
            // From now on it is that one.
            let again = directory.load().unwrap();
            assert!(again.same_as(&loaded), "{written}");
        }
        // A certificate of another key, as after a switch that was cut short.
        let other = self_signed(&KeyPair::generate().unwrap()).unwrap();
        fs::write(directory.certificate_file(), other.pem()).unwrap();
        assert_eq!(directory.load().unwrap().pin, pin);
    }

    #[test]
    fn files_that_root_makes_belong_to_the_owner_of_the_directory() {
        let place = tempfile::TempDir::new().unwrap();
        let directory = Directory::new(place.path());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(place.path(), Some(1234), Some(1235)).unwrap();
        }
        let pin = directory.load().unwrap().pin;
        assert_eq!(directory.pin().unwrap(), pin);
        for file in [directory.key_file(), directory.certificate_file()] {
            let found = fs::metadata(&file).unwrap();
            assert_eq!(Some((found.uid(), found.gid())), owner(Some(place.path())));
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.key_file(), Some(4321), None).unwrap();
            assert!(matches!(directory.pin(), Err(KeyError::Foreign(_))));
        }
    }

    #[test]
    fn certificate_that_can_not_be_kept_serves_as_well() {
        let place = tempfile::TempDir::new().unwrap();
        let directory = Directory::new(place.path());
        let pin = directory.pin().unwrap();
        // A directory has its place, so that no rename puts a file there.
        fs::create_dir(directory.certificate_file()).unwrap();
        fs::write(directory.certificate_file().join("x"), "").unwrap();
        assert_eq!(directory.load().unwrap().pin, pin);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "no rest of the attempt");
    }

    #[test]
    fn directory_that_is_not_there_yet_is_known_to_be_in_the_root_or_not() {
        let place = tempfile::TempDir::new().unwrap();
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&root, place.path().join("link")).unwrap();
        for (path, is_outside) in [
            ("config", true),
            ("root-too/config", true),
            ("root", false),
            ("root/a/b", false),
            ("link/a", false),
        ] {
            let directory = Directory::new(&place.path().join(path));
            assert_eq!(directory.outside(&root).is_ok(), is_outside, "{path}");
        }
    }
}
