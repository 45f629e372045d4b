//! The table of options that people know from rsync, scp and curl.

/// An option of another program.
pub(super) struct Habit {
    /// How clap knows it.
    pub(super) id: &'static str,
    /// One letter, or none.
    pub(super) short: &'static str,
    /// A word, or none.
    pub(super) long: &'static str,
    /// Whether a value follows.
    pub(super) takes: Takes,
    /// The commands of haul that it is about; empty for all.
    pub(super) only: &'static [&'static str],
    /// The answer of haul to it.
    pub(super) says: Says,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// The answer of haul to an option.
pub(super) enum Says {
    /// haul does that anyway.
    Same,
    /// haul does that anyway for values that begin with one of these words, and otherwise does not.
    SameFor(&'static [&'static str], &'static str),
    /// haul does not do that; what to use.
    Instead(&'static str),
}

use Says::{Instead, Same, SameFor};
use Takes::{Nothing, Value};

macro_rules! habit {
    ($short:literal, $long:literal, $takes:expr, $says:expr) => {
        habit!($short, $long, $takes, [], $says)
    };
    ($short:literal, $long:literal, $takes:expr, $only:expr, $says:expr) => {
        Habit {
            id: concat!("habit:", $short, $long),
            short: $short,
            long: $long,
            takes: $takes,
            only: &$only,
            says: $says,
        }
    };
}

const DELETE: Says = Instead("`haul put` removes nothing at the server: use `haul sync --delete`");
const DELETE_LATE: Says =
    Instead("haul removes entries when all else is committed, and not earlier: use --delete");
const TOLD: Says = Instead("verify changes nothing, and tells extra entries anyway: leave it out");
const OWNERS: Says =
    Instead("haul carries no owners and groups: files belong to hauld's user; leave it out");
const SPECIAL: Says = Instead("haul carries no devices, sockets and FIFOs: leave it out");
const EXTENDED: Says = Instead("haul carries no ACLs and extended attributes: leave it out");
const LINKS: Says =
    Instead("use --links copy, follow or skip; on the server, hauld --symlinks inside");
const REMOTE: Says = Instead("use --hauld PATH");
const RULES: Says = Instead("use --exclude, --include, --exclude-from and .haulignore files");
const TAKEN_OVER: Says =
    Instead("`haul publish` takes unchanged files over from the present version by itself");
const RESUMES: Says =
    Instead("the same command goes on where an interrupted upload stopped: leave it out");
const ATTRIBUTES: Says = Instead("haul always carries modes and mtimes: leave it out");
const NAMES: Says = Instead("use -v to name each file, -n to be told the reasons, or --json");
const EQUAL: Says =
    Instead("use `haul sync`, with --checksum to compare bytes, or `haul put` to send all");
const TIMEOUT: Says = Instead("use --timeout TIME");
const SIZES: Says =
    Instead("let find choose: find DIR -size ... | haul put --files-from - DIR DEST");
const FAMILY: Says = Instead("write an address as HOST, such as 127.0.0.1 or [::1]");
const USERS: Says = Instead("hauld knows no users and passwords yet: leave it out");
const DURABLE: Says = Instead(
    "the server decides: hauld --durability group, the default, makes every file durable before it is told done, and the \
     summary of a run names the durability; leave it out",
);
const COMPRESS: Says = Instead("haul does not compress: leave it out");

/// All of them. A name that a command of haul has itself means what haul says.
pub(super) const HABITS: &[Habit] = &[
    // haul does these anyway.
    habit!("a", "archive", Nothing, Same),
    habit!("r", "recursive", Nothing, Same),
    habit!("l", "links", Nothing, Same),
    habit!("p", "perms", Nothing, Same),
    // As in -a: entries that haul does not carry are skipped and named.
    habit!("D", "", Nothing, Same),
    habit!("E", "executability", Nothing, Same),
    habit!("t", "times", Nothing, Same),
    habit!("P", "", Nothing, Same),
    habit!("#", "progress-bar", Nothing, Same),
    habit!("", "progress", Nothing, Same),
    habit!("", "partial", Nothing, Same),
    habit!("", "partial-dir", Value, Same),
    habit!("h", "human-readable", Nothing, Same),
    habit!("W", "whole-file", Nothing, Same),
    habit!("", "numeric-ids", Nothing, Same),
    habit!("", "no-owner", Nothing, Same),
    habit!("", "no-group", Nothing, Same),
    habit!("", "no-compress", Nothing, Same),
    habit!("", "no-motd", Nothing, Same),
    habit!("", "inc-recursive", Nothing, Same),
    habit!("", "no-inc-recursive", Nothing, Same),
    habit!("", "secluded-args", Nothing, Same),
    habit!("", "protect-args", Nothing, Same),
    habit!("", "mkpath", Nothing, Same),
    habit!("", "create-dirs", Nothing, Same),
    habit!("c", "checksum", Nothing, ["verify"], Same),
    habit!("n", "dry-run", Nothing, ["verify"], Same),
    habit!("", "delete", Nothing, ["publish"], Same),
    habit!(
        "",
        "info",
        Value,
        SameFor(&["progress", "flist"], "use -v to name each file, and --stats for all counts")
    ),
    // How haul gets there.
    habit!("", "rsync-path", Value, REMOTE),
    habit!("z", "compress", Nothing, COMPRESS),
    habit!("", "compress-level", Value, COMPRESS),
    habit!("", "compress-choice", Value, COMPRESS),
    habit!("", "port", Value, Instead("write the port in DEST: HOST:PORT/PATH")),
    habit!("4", "ipv4", Nothing, FAMILY),
    habit!("6", "ipv6", Nothing, FAMILY),
    habit!("", "contimeout", Value, TIMEOUT),
    habit!("", "connect-timeout", Value, TIMEOUT),
    habit!("", "max-time", Value, TIMEOUT),
    habit!("", "password-file", Value, USERS),
    habit!("", "user", Value, USERS),
    habit!(
        "k",
        "",
        Nothing,
        Instead(
            "haul trusts a server whose key it knows: haul trust HOST; --insecure sends everything in clear"
        )
    ),
    habit!("", "upload-file", Value, Instead("write the file as SRC: haul put FILE DEST")),
    // Options that choose entries.
    habit!("", "delete", Nothing, ["put"], DELETE),
    habit!("", "delete-before", Nothing, ["put"], DELETE),
    habit!("", "delete-during", Nothing, ["put"], DELETE),
    habit!("", "delete-after", Nothing, ["put"], DELETE),
    habit!("", "delete-delay", Nothing, ["put"], DELETE),
    habit!("", "del", Nothing, ["put"], DELETE),
    habit!("", "delete-before", Nothing, ["sync"], DELETE_LATE),
    habit!("", "delete-during", Nothing, ["sync"], DELETE_LATE),
    habit!("", "del", Nothing, ["sync"], DELETE_LATE),
    habit!("", "delete", Nothing, ["verify"], TOLD),
    habit!(
        "",
        "delete-excluded",
        Nothing,
        Instead(
            "haul never removes what a rule leaves out: run `haul sync --delete` without the rule"
        )
    ),
    habit!("", "ignore-errors", Nothing, Instead("use --force-delete, with --delete")),
    habit!("", "remove-source-files", Nothing, ["sync"], Instead("use `haul put --remove-source`")),
    habit!("f", "filter", Value, RULES),
    habit!("F", "", Nothing, RULES),
    habit!("", "include-from", Value, Instead("use --exclude-from, with `!` before each pattern")),
    habit!(
        "C",
        "cvs-exclude",
        Nothing,
        Instead(
            "for rsync's -C use --exclude or a .haulignore file; for scp's: haul does not compress"
        )
    ),
    habit!("m", "prune-empty-dirs", Nothing, Instead("empty directories are sent; use --exclude")),
    habit!("d", "dirs", Nothing, Instead("use `--exclude '/*/*'`, or --files-from")),
    habit!("", "max-size", Value, SIZES),
    habit!("", "min-size", Value, SIZES),
    habit!(
        "u",
        "update",
        Nothing,
        Instead(
            "haul does not ask which file is newer: `haul sync` sends files that differ, --ignore-existing \
             only those that are missing"
        )
    ),
    habit!(
        "",
        "existing",
        Nothing,
        Instead("haul sends entries that are missing, too; use --exclude")
    ),
    habit!("I", "ignore-times", Nothing, EQUAL),
    habit!("", "size-only", Nothing, EQUAL),
    habit!("", "modify-window", Value, EQUAL),
    habit!(
        "c",
        "checksum",
        Nothing,
        ["put"],
        Instead(
            "`haul put` sends every file, and verifies it; `haul sync --checksum` compares bytes first"
        )
    ),
    habit!(
        "R",
        "relative",
        Nothing,
        Instead("write the directories in DEST, as in box/a/b, or name entries with --files-from")
    ),
    // Options about the fate of entries at the server.
    habit!("o", "owner", Nothing, OWNERS),
    habit!("g", "group", Nothing, OWNERS),
    habit!("", "chown", Value, OWNERS),
    habit!("", "usermap", Value, OWNERS),
    habit!("", "groupmap", Value, OWNERS),
    habit!("", "devices", Nothing, SPECIAL),
    habit!("", "specials", Nothing, SPECIAL),
    habit!("A", "acls", Nothing, EXTENDED),
    habit!("X", "xattrs", Nothing, EXTENDED),
    habit!("", "chmod", Value, ATTRIBUTES),
    habit!("", "no-perms", Nothing, ATTRIBUTES),
    habit!("", "no-times", Nothing, ATTRIBUTES),
    habit!("O", "omit-dir-times", Nothing, ATTRIBUTES),
    habit!("J", "omit-link-times", Nothing, ATTRIBUTES),
    habit!(
        "H",
        "hard-links",
        Nothing,
        Instead("each name becomes a file of its own: leave it out")
    ),
    habit!("S", "sparse", Nothing, Instead("holes become zeros: leave it out")),
    habit!("L", "copy-links", Nothing, Instead("use --links follow")),
    habit!("", "no-links", Nothing, Instead("use --links skip")),
    habit!("", "copy-unsafe-links", Nothing, LINKS),
    habit!("", "safe-links", Nothing, LINKS),
    habit!(
        "k",
        "copy-dirlinks",
        Nothing,
        Instead("for rsync's -k use --links follow; for curl's: haul encrypts nothing yet")
    ),
    habit!("K", "keep-dirlinks", Nothing, Instead("no symlink on the server is ever followed")),
    habit!(
        "",
        "inplace",
        Nothing,
        Instead("each file appears whole, and none is written in place: leave it out")
    ),
    habit!("", "fsync", Nothing, DURABLE),
    habit!("", "append", Nothing, RESUMES),
    habit!("", "append-verify", Nothing, RESUMES),
    habit!("", "continue-at", Value, RESUMES),
    habit!(
        "b",
        "backup",
        Nothing,
        Instead("`haul publish` keeps the version before, --rollback brings it back")
    ),
    habit!("", "link-dest", Value, TAKEN_OVER),
    habit!("", "copy-dest", Value, TAKEN_OVER),
    habit!("", "compare-dest", Value, TAKEN_OVER),
    habit!("y", "fuzzy", Nothing, TAKEN_OVER),
    habit!(
        "T",
        "temp-dir",
        Nothing,
        Instead(
            "for curl's -T write the file as SRC; for rsync's: the server stages files by itself"
        )
    ),
    // Options of the output.
    habit!(
        "s",
        "",
        Nothing,
        Instead("use -q to be told failures only; names are never expanded at the server")
    ),
    habit!("i", "itemize-changes", Nothing, NAMES),
    habit!("", "out-format", Value, NAMES),
    habit!("", "log-file", Value, NAMES),
    habit!("", "list-only", Nothing, Instead("use `haul ls DEST`")),
];

/// Names of other programs for options that haul has itself: its id, and the name.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("delete", "delete-after"),
    ("delete", "delete-delay"),
    ("remove_source", "remove-source-files"),
    ("null", "from0"),
    ("quiet", "silent"),
    ("retries", "retry"),
];
