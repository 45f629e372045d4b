//! The file of settings of `haul`, `config.toml`: TOML with aliases, and with defaults of options, each key an option's name
//! on the command line.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Command;
use thiserror::Error;

use super::aliases::Aliases;
use super::settings_lines::{DEFAULTS, Setting, lines};
use super::settings_rules::one_line;

/// Most bytes of a file.
const MOST: u64 = 1 << 20;

/// The settings of a file.
#[derive(Debug, Default)]
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    pub(super) aliases: Aliases,
    pub(super) settings: Vec<Setting>,
}

/// A file that can't be read, or whose lines are wrong.
#[derive(Debug, Error)]
pub(super) enum SettingsError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no such file, and somebody has named it.
    #[error("{}: there is no such file of settings, which {by} names", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The option or the variable.
        by: &'static str,
    },
    /// Others can change the file.
    #[error(
        "{path} can be changed by other users, and it says which programs and servers haul uses: chmod go-w {path}",
        path = .0.display()
    )]
    Open(PathBuf),
    /// The file is another user's.
    #[error("{} belongs to another user, and it says which programs and servers haul uses: --config \"\" does without it", .0.display())]
    Foreign(PathBuf),
    /// Lines of the file are wrong: one text each, in the form that editors jump to.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

impl SettingsFile {
    /// Reads a file, and has the options of a declaration check each value. Without a file nobody needs the declaration, which
    /// costs more to make than most commands take.
    ///
    /// # Errors
    /// If the file can't be read, others can change it, or a line is wrong.
    pub(super) fn read(path: &Path, command: &dyn Fn() -> Command) -> Result<Self, SettingsError> {
        let bytes = bytes(path)?;
        Self::parse(path, &bytes, &command())
    }

    /// The same of its bytes.
    ///
    /// # Errors
    /// If a line is wrong.
    pub(super) fn parse(
        path: &Path,
        bytes: &[u8],
        command: &Command,
    ) -> Result<Self, SettingsError> {
        let (aliases, settings) = lines(path, bytes, command).map_err(|mut wrong| {
            wrong.sort();
            wrong.dedup();
            let told = wrong
                .iter()
                .map(|(line, text)| format!("{}:{line}: {}", path.display(), one_line(text)));
            SettingsError::Wrong(told.collect())
        })?;
        Ok(Self { path: path.to_owned(), aliases, settings })
    }

    /// The default of a command's option: in the command's own table, or in that for all.
    pub(super) fn find(&self, command: &str, option: &str) -> Option<&Setting> {
        let of =
            |table: &str| self.settings.iter().find(|it| it.table == table && it.option == option);
        of(command).or_else(|| of(DEFAULTS))
    }
}

/// The whole file, if it is one of settings by its size, and nobody but this user and the system can change it.
fn bytes(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let file = open(path).map_err(failed)?;
    check_owner(&file, path)?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MOST {
        true => Err(failed(io::Error::other("larger than 1 MiB"))),
        false => Ok(bytes),
    }
}

/// Opens a regular file. A FIFO is none: nobody may ever write to it, and haul would wait for that.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.read(true).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

#[cfg(unix)]
fn check_owner(file: &File, path: &Path) -> Result<(), SettingsError> {
    use std::os::unix::fs::MetadataExt;

    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let found = file.metadata().map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return Err(SettingsError::Foreign(path.to_owned()));
    }
    match found.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(SettingsError::Open(path.to_owned())),
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have modes")]
fn check_owner(_: &File, _: &Path) -> Result<(), SettingsError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: impl AsRef<[u8]>) -> Result<SettingsFile, String> {
        SettingsFile::parse(Path::new("c"), text.as_ref(), &crate::cli::command())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn aliases_and_defaults_are_read_with_their_lines() {
        let text = "# ours\n[alias]\nbox = \"me@host:path\"\n\"box.2\" = \"unix:/run/h\"\n[defaults]\ntimeout = 90\n\
                    [put]\nexclude = [\"*.o\", \"/build/\"]\nverbose = true\n";
        let file = parsed(text).unwrap();
        let names: Vec<_> = file.aliases.all().iter().map(|it| (&*it.name, it.line)).collect();
        assert_eq!(names, [("box", 3), ("box.2", 4)]);
        assert_eq!(file.find("sync", "timeout").map(|it| it.line), Some(6));
        let exclude = file.find("put", "exclude").unwrap();
        assert_eq!((exclude.line, exclude.values.len()), (8, 2));
        assert_eq!(file.find("sync", "exclude"), None);
    }

    #[test]
    fn table_of_a_command_counts_before_that_for_all() {
        let file = parsed("[defaults]\ntimeout = \"1m\"\n[get]\ntimeout = \"2m\"\n").unwrap();
        assert_eq!(file.find("get", "timeout").unwrap().values, ["2m"]);
        assert_eq!(file.find("put", "timeout").unwrap().values, ["1m"]);
    }

    #[test]
    fn every_wrong_line_is_told_with_its_place() {
        let text = "timeout = \"3s\"\nnonsense = 1\nls = 3\n[alias]\n\"a b\" = \"box\"\nx = \"./dir\"\ny = 3\n[defaults]\n\
                    timout = \"3s\"\nretry_for = \"3s\"\ntimeout = \"soon\"\ndelete = true\nconnections = 65\n\
                    exclude = []\nverbose = \"maybe\"\nzzz = 1\nssh = \"'\"\n[put]\nchecksum = true\nexclude-from = \"-\"\n\
                    links = \"some\"\nclassic = true\n[get]\nlinks = \"follow\"\ncongestion = \"bbr\"\n[pubish]\n[trust]\n\
                    token = \"x\"\n[config]\n";
        let told = parsed(text).unwrap_err();
        let lines: Vec<_> = told.lines().collect();
        let expected = [
            "c:1: `timeout` stands in no table: ",
            "c:2: `nonsense` stands in no table: ",
            "c:3: `ls` is a table",
            "c:5: `a b` is no name of an alias",
            "c:6: `x`: `./dir` is a path on this machine",
            "c:7: `y` takes a destination in quotes",
            "c:9: `timout` is no setting; did you mean `timeout`?",
            "c:10: `retry_for` is no setting; did you mean `retry-for`?",
            "c:11: `timeout` can't be \"soon\": ",
            "c:12: `delete` is no setting: it is asked for each time",
            "c:13: `connections` can't be \"65\": ",
            "c:14: `exclude` takes at least one value",
            "c:15: `verbose` can't be \"maybe\": ",
            "c:16: `zzz` is no setting; haul config show tells all",
            "c:17: `ssh` can't be \"'\": `'` is not a command",
            "c:19: `checksum` is no setting of [put]; haul config show put tells all",
            "c:20: `exclude-from` can't be \"-\": standard input",
            "c:21: `links` can't be \"some\": it is one of copy, follow, skip",
            "c:22: `classic` is no setting: ",
            "c:24: `links` can't be \"follow\": a server reads no file through a symlink",
            "c:25: `congestion` is no setting: ",
            "c:26: [pubish] means nothing; did you mean [publish]?",
            "c:28: `token` is no setting: a secret",
            "c:29: [config] means nothing; ",
        ];
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{start}\n{told}");
        }
        assert_eq!(lines.len(), expected.len(), "{told}");
    }

    #[test]
    fn file_that_is_no_toml_or_no_text_is_told_with_its_line() {
        for (text, line) in [
            (&b"[put]\nverbose = true\nverbose = true"[..], 3),
            (b"\n\n[defaults", 3),
            (b"[alias]\nx = \"\xff\"\n", 2),
            (b"\x00", 1),
        ] {
            let told = parsed(text).unwrap_err();
            assert!(told.starts_with(&format!("c:{line}: ")), "{told}");
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_told_unless_one_is_off_or_of_another_table() {
        let told = parsed("[put]\nquiet = true\nverbose = true\n").unwrap_err();
        assert_eq!(told, "c:3: `verbose` does not go with `quiet` (line 2)");
        for text in [
            "[put]\nquiet = true\nverbose = false\n",
            "[put]\nquiet = true\n[get]\nverbose = true\n",
            "[defaults]\nquiet = true\n[put]\nverbose = true\n",
        ] {
            assert!(parsed(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn default_that_one_command_does_not_take_is_one_of_the_others() {
        assert!(parsed("[defaults]\nlinks = \"follow\"\n").is_ok());
        assert!(parsed("[defaults]\nmax-delete = 100\n").is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parsed(bytes);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]a-z.=\"'{}#,\n\r\t \\\\0-9\\PC]{0,48}") {
            let _ = parsed(text);
        }

        #[test]
        fn no_key_or_value_panics(
            table in "alias|defaults|put|get|sync|ls|[a-z]{0,4}",
            key in "[a-z-]{0,9}|timeout|exclude|links|verbose|ssh|box",
            value in ".{0,20}",
        ) {
            let value = toml::Value::from(value).to_string();
            let _ = parsed(format!("[{table}]\n{key} = {value}"));
        }
    }
}
