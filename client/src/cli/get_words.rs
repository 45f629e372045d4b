//! The words of `haul get` and `haul cat`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::aliases::Meant;
use super::options::{ConnectionOptions, OutputOptions, Reaching, receipt};
use super::over_ssh::SshOptions;
use super::usage::{Usage, meant};
use crate::error::destination::DestinationError;
use crate::get::source::Source;
use crate::source::filter::Rules;
use crate::source::links::Links;

/// `haul get`.
#[derive(Debug, Args)]
pub(crate) struct GetCommand {
    /// Source at a server: a file, a link, or a directory, written as DEST of `haul put` is. Of `HOST/DIR/` and of `HOST`
    /// the contents come, of `HOST/DIR` the directory itself. All are at one server.
    #[arg(value_name = "SRC", value_parser = source)]
    pub sources: Vec<Source>,

    /// Directory on this machine that SRC goes into, made if it is missing. `-` is standard output, for a single file.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Options of the get.
    #[command(flatten)]
    pub options: GetOptions,
}

/// The options of `haul get`.
#[derive(Debug, Default, Args)]
pub(crate) struct GetOptions {
    /// Give a single file another name.
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,

    /// Rules that leave entries out.
    #[command(flatten)]
    pub rules: Rules,

    /// Treatment of symbolic links: "copy" makes them here, and tells those that lead out of DIR, "skip" leaves them out.
    #[arg(long, value_enum, value_name = "WHAT", default_value = "copy")]
    pub links: Links,

    /// Only the names in FILE (`-`: standard input), one a line, below SRC, which is one directory. The entries of a
    /// directory are not meant unless they are named as well. Lines are read as by `haul put --files-from`.
    #[arg(long, value_name = "FILE", conflicts_with = "rename")]
    pub files_from: Option<PathBuf>,

    /// With --files-from: names end with a NUL byte, as `find -print0` writes them.
    #[arg(long = "null", short = '0', requires = "files_from")]
    pub null: bool,

    /// Write the digest of each file that has come to FILE, for `b3sum --check` in DIR.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(receipt), conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,

    /// Only tell which entries would come and why; nothing is changed.
    #[arg(long, short = 'n')]
    pub dry_run: bool,

    /// Leave files and links alone that are there already, even if they are of another kind or content.
    #[arg(long)]
    pub ignore_existing: bool,

    /// "group" waits for the disk: a file that is counted survives a loss of power. "none" does not.
    #[arg(long, value_name = "LEVEL", default_value = "group", value_parser = ["group", "none"])]
    pub durability: Option<String>,

    /// Options of the connections.
    #[command(flatten)]
    pub connection: ConnectionOptions,

    /// Options of the output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// A place at a server. A path on this machine is told with the right form.
pub(super) fn source(text: &str) -> Result<Source, Usage> {
    if let Some(meant) = meant(text)?.map(Meant::used) {
        let contents = meant.ends_with_slash;
        let source = Source::from(meant.destination);
        return Ok(Source { contents: source.contents || contents, ..source });
    }
    text.parse::<Source>().map_err(|error| match error {
        DestinationError::LocalPath(_) => Usage(format!(
            "`{text}` is a path on this machine, and haul get begins with the server: haul get HOST/PATH DIR; \
             to send it, write haul put {text} HOST"
        )),
        error => Usage(error.to_string()),
    })
}

/// `haul cat`.
#[derive(Debug, Args)]
pub(crate) struct CatCommand {
    /// File at a server, written as DEST of `haul put` is; several come one after the other. All are at one server.
    #[arg(required = true, value_name = "SRC", value_parser = source)]
    pub sources: Vec<Source>,

    /// How the server is reached.
    #[command(flatten)]
    pub reaching: Reaching,

    /// How ssh leads to it.
    #[command(flatten)]
    pub ssh: SshOptions,
}
