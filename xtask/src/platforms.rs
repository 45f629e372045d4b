//! The client on other systems: the compiler checks it for Windows and macOS. It is neither linked nor run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;

/// Options of the chore.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fail if this machine lacks what a check needs, rather than say so and go on.
    #[arg(long)]
    all: bool,
}

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// The C compiler of Debian's package `gcc-mingw-w64-x86-64`; cargo finds it by this name.
const MINGW: &str = "x86_64-w64-mingw32-gcc";

/// zig, a C compiler that brings the headers of macOS; `.ci/run` has it from PyPI.
const ZIG: &str = "target/zig/ziglang/zig";

/// Checks the client for each system.
///
/// # Errors
/// If the compiler complains, or with `--all` if something is missing.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    for target in [WINDOWS, MACOS] {
        match missing(target, workspace)? {
            Some(missing) if options.all => anyhow::bail!("{target}: {missing} is missing"),
            Some(missing) => println!("{target} was not checked: {missing} is missing"),
            None => {
                check(target, workspace)?;
                println!("{target}: the client compiles");
            }
        }
    }
    Ok(())
}

/// The part that this machine lacks to check this, if there is one.
fn missing(target: &str, workspace: &Path) -> anyhow::Result<Option<String>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("rustc can't be started")?;
    let library = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if !output.status.success() || !library.is_dir() {
        return Ok(Some(format!("Rust's library (rustup target add {target})")));
    }
    let (compiler, word) = match target {
        WINDOWS => (PathBuf::from(MINGW), "--version"),
        _ => (workspace.join(ZIG), "version"),
    };
    let tried = Command::new(&compiler).arg(word).stdout(Stdio::null()).status();
    let is_there = tried.is_ok_and(|status| status.success());
    Ok((!is_there).then(|| format!("the C compiler {}", compiler.display())))
}

fn check(target: &str, workspace: &Path) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["check", "--locked", "-p", "haul-protocol", "-p", "haul-client", "--target", target])
        .env("RUSTFLAGS", "-D warnings")
        .current_dir(workspace);
    if target == MACOS {
        let (compiler, archiver) = zig(workspace)?;
        command.env("CC_aarch64_apple_darwin", compiler).env("AR_aarch64_apple_darwin", archiver);
        // Otherwise Apple's own tools are asked for a place that is not used.
        command.env("SDKROOT", "/");
    }
    let status = command.status()?;
    ensure!(status.success(), "{target}: {status}");
    Ok(())
}

/// Scripts that call zig as Apple's compiler is called: zig has one word for system and processor.
fn zig(workspace: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let zig = workspace.join(ZIG).canonicalize()?;
    let directory = workspace.join("target/platforms");
    fs::create_dir_all(&directory)?;
    let script = |name: &str, text: String| -> anyhow::Result<PathBuf> {
        let path = directory.canonicalize()?.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let zig = zig.display();
    let compiler = format!(
        "#!/bin/sh\nfor word; do\n  shift\n  case $word in\n    \
         --target=* | -arch | arm64 | -mmacosx-version-min=*) ;;\n    \
         *) set -- \"$@\" \"$word\" ;;\n  esac\ndone\n\
         exec '{zig}' cc -target aarch64-macos \"$@\"\n"
    );
    Ok((script("cc", compiler)?, script("ar", format!("#!/bin/sh\nexec '{zig}' ar \"$@\"\n"))?))
}
