//! Packages of Debian: an `ar` of a version, a tar of facts and scripts, and a tar of files (deb(5)).

use std::io::Write;

use crate::VERSION;
use crate::contents::{Contents, SETTINGS, SOCKET, UNIT, USER};
use crate::elf::Program;
use crate::files::{Files, gzip};

/// Where Debian's zsh looks for completions of packages.
const ZSH: &str = "vendor-completions";

const HAUL: &str = "fast, verified copies of files and directories to another machine
 haul copies files and whole directories to another machine, over ssh or to
 a hauld that listens. Each file is there whole and verified or not at all,
 and an interrupted copy goes on where it stopped.";

const HAULD: &str = "server that takes files from haul, browsers and other clients of HTTP
 hauld serves one directory to haul, browsers, curl, WebDAV and tus clients.
 It is also the other half of haul over ssh, for which nothing needs to be
 set up. The service is not started before its owner says so:
 systemctl enable --now hauld.";

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    name: &'static str,
    architecture: &'static str,
    /// Fields of the control file beside the usual ones.
    fields: Vec<(&'static str, String)>,
    description: &'static str,
    scripts: Vec<(&'static str, &'static str)>,
    /// Files that a user may change.
    settings: Vec<&'static str>,
    files: Files,
}

/// The client.
///
/// # Errors
/// If a file can't be made.
pub(crate) fn haul(contents: &Contents) -> anyhow::Result<Package> {
    let mut files = Files::default();
    files.add("usr/bin/haul", 0o755, contents.haul.bytes.clone());
    if contents.is_static() {
        // For `--install-hauld`.
        let name = format!("usr/lib/haul/hauld-{}", contents.hauld.machine.name());
        files.add(name, 0o755, contents.hauld.bytes.clone());
    }
    let [completions, _] = Contents::completions(ZSH)?;
    files.take(&completions, "usr/share/");
    add_pages(&mut files, &contents.haul_pages)?;
    add_documents(&mut files, contents, &contents.haul_documents, "haul")?;
    let mut fields = vec![("Recommends", String::from("openssh-client"))];
    fields.extend(depends(&contents.haul, &[]));
    Ok(Package {
        name: "haul",
        architecture: contents.haul.machine.debian(),
        fields,
        description: HAUL,
        scripts: Vec::new(),
        settings: Vec::new(),
        files,
    })
}

/// The server, with its unit and its user.
///
/// # Errors
/// If a file can't be made.
pub(crate) fn hauld(contents: &Contents) -> anyhow::Result<Package> {
    let mut files = Files::default();
    files.add("usr/bin/hauld", 0o755, contents.hauld.bytes.clone());
    files.add("etc/hauld/hauld.toml", 0o644, SETTINGS);
    files.add("usr/lib/systemd/system/hauld.service", 0o644, UNIT);
    files.add("usr/lib/systemd/system/hauld.socket", 0o644, SOCKET);
    files.add("usr/lib/sysusers.d/hauld.conf", 0o644, USER);
    let [_, completions] = Contents::completions(ZSH)?;
    files.take(&completions, "usr/share/");
    add_pages(&mut files, &contents.hauld_pages)?;
    add_documents(&mut files, contents, &contents.hauld_documents, "hauld")?;
    // `passwd` has useradd, for a machine without systemd.
    let mut fields = depends(&contents.hauld, &["passwd"]);
    fields.push(("Suggests", String::from("haul")));
    Ok(Package {
        name: "hauld",
        architecture: contents.hauld.machine.debian(),
        fields,
        description: HAULD,
        scripts: vec![
            ("postinst", include_str!("../hauld.postinst")),
            ("prerm", include_str!("../hauld.prerm")),
            ("postrm", include_str!("../hauld.postrm")),
        ],
        settings: vec!["/etc/hauld/hauld.toml"],
        files,
    })
}

/// The packages that a program needs, and others.
fn depends(program: &Program, others: &[&str]) -> Vec<(&'static str, String)> {
    let mut needed = Vec::new();
    if program.interpreter.is_some() {
        needed.push(match program.glibc {
            Some((major, minor)) => format!("libc6 (>= {major}.{minor})"),
            None => String::from("libc6"),
        });
        needed.push(String::from("libgcc-s1"));
    }
    needed.extend(others.iter().map(ToString::to_string));
    if needed.is_empty() { Vec::new() } else { vec![("Depends", needed.join(", "))] }
}

fn add_pages(files: &mut Files, pages: &Files) -> anyhow::Result<()> {
    for (path, mode, bytes) in pages.files() {
        files.add(format!("usr/share/man/{path}.gz"), mode, gzip(bytes)?);
    }
    Ok(())
}

fn add_documents(
    files: &mut Files,
    contents: &Contents,
    documents: &Files,
    name: &str,
) -> anyhow::Result<()> {
    let place = format!("usr/share/doc/{name}/");
    files.take(documents, &place);
    files.add(format!("{place}changelog.gz"), 0o644, gzip(&contents.changes)?);
    files.add(format!("{place}copyright"), 0o644, contents.licence.as_str());
    Ok(())
}

impl Package {
    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        format!("{}_{VERSION}_{}.deb", self.name, self.architecture)
    }

    /// The facts of the package.
    fn control(&self) -> String {
        let mut control = format!(
            "Package: {}\nVersion: {VERSION}\nArchitecture: {}\nMaintainer: The developers of haul <haul@localhost>\n\
             Installed-Size: {}\nSection: net\nPriority: optional\n",
            self.name,
            self.architecture,
            self.files.kibibytes()
        );
        for (field, value) in &self.fields {
            control.push_str(&format!("{field}: {value}\n"));
        }
        control + "Description: " + self.description + "\n"
    }

    /// Its bytes, in which every time is the same.
    ///
    /// # Errors
    /// If an entry can't be packed.
    pub(crate) fn bytes(&self, time: u64) -> anyhow::Result<Vec<u8>> {
        let mut control = Files::default();
        control.add("control", 0o644, self.control());
        if !self.settings.is_empty() {
            control.add("conffiles", 0o644, self.settings.join("\n") + "\n");
        }
        for (name, script) in &self.scripts {
            control.add(*name, 0o755, *script);
        }
        let mut deb = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&control.tar("", time)?)?),
            ("data.tar.gz", gzip(&self.files.tar("", time)?)?),
        ] {
            // ar(5): name, time, owner, group, mode, size.
            let size = bytes.len();
            writeln!(deb, "{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 100_644)?;
            deb.extend(&bytes);
            if bytes.len() % 2 == 1 {
                deb.push(b'\n');
            }
        }
        Ok(deb)
    }
}
