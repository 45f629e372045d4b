//! An image for containers, as a tar of the layout of the Open Container Initiative: hauld alone, made without any engine.

use anyhow::Context;
use serde_json::{Value, json};

use crate::VERSION;
use crate::contents::Contents;
use crate::files::{Files, gzip};
use crate::sums::sha256;

/// A user that is nobody else.
const USER: u64 = 65_532;

/// The name and the bytes of the image.
///
/// # Errors
/// If an entry can't be packed.
pub(crate) fn image(contents: &Contents, time: u64) -> anyhow::Result<(String, Vec<u8>)> {
    let architecture = contents.hauld.machine.debian();
    let mut blobs = Files::default();
    let plain = root(contents).tar("", time)?;
    let layer = blob(&mut blobs, "application/vnd.oci.image.layer.v1.tar+gzip", gzip(&plain)?);
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": {"8080/tcp": {}},
            "Env": ["HAULD_ROOT=/srv/haul", "HAULD_CONFIG_DIR=/var/lib/hauld", "HAULD_LISTEN=0.0.0.0:8080"],
            "Entrypoint": ["/usr/bin/hauld"],
            "Volumes": {"/srv/haul": {}, "/var/lib/hauld": {}},
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&plain))]},
        "history": [{"created_by": "cargo xtask dist"}],
    });
    let config = blob(&mut blobs, "application/vnd.oci.image.config.v1+json", config.to_string());
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer],
    });
    let mut manifest = blob(&mut blobs, manifest_type, manifest.to_string());
    let fields = manifest.as_object_mut().context("a manifest is an object")?;
    fields.insert(String::from("platform"), json!({"architecture": architecture, "os": "linux"}));
    fields
        .insert(String::from("annotations"), json!({"org.opencontainers.image.ref.name": VERSION}));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    blobs.add("index.json", 0o644, index.to_string());
    blobs.add("oci-layout", 0o644, json!({"imageLayoutVersion": "1.0.0"}).to_string());
    Ok((format!("hauld-{VERSION}-{architecture}.oci.tar"), blobs.tar("", time)?))
}

/// The only layer.
fn root(contents: &Contents) -> Files {
    let mut files = Files::default();
    files.add("usr/bin/hauld", 0o755, contents.hauld.bytes.clone());
    let user = format!("hauld:x:{USER}:{USER}::/var/lib/hauld:/usr/sbin/nologin\n");
    files.add("etc/passwd", 0o644, format!("root:x:0:0::/root:/usr/sbin/nologin\n{user}"));
    files.add("etc/group", 0o644, format!("root:x:0:\nhauld:x:{USER}:\n"));
    files.add("usr/share/doc/hauld/copyright", 0o644, contents.licence.as_str());
    files.directory("srv/haul", 0o750, USER);
    files.directory("var/lib/hauld", 0o700, USER);
    files.directory("tmp", 0o1777, 0);
    files
}

/// Adds a blob, and returns its descriptor.
fn blob(blobs: &mut Files, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
    let bytes = bytes.into();
    let (digest, size) = (sha256(&bytes), bytes.len());
    blobs.add(format!("blobs/sha256/{digest}"), 0o644, bytes);
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;
    use crate::files::gunzip;
    use crate::programs::Programs;

    /// The files of a tar, and the owner of each entry.
    fn unpacked(tar: &[u8]) -> anyhow::Result<BTreeMap<String, (Vec<u8>, u64)>> {
        let mut archive = tar::Archive::new(tar);
        let mut all = BTreeMap::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let (path, owner) = (entry.path()?.display().to_string(), entry.header().uid()?);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            all.insert(path, (bytes, owner));
        }
        Ok(all)
    }

    #[test]
    fn image_leads_from_its_index_to_hauld_by_digests_that_are_right() -> anyhow::Result<()> {
        let itself = std::env::current_exe()?;
        let programs = Programs { haul: itself.clone(), hauld: itself.clone() };
        let contents = Contents::of(&programs)?;
        let (name, bytes) = image(&contents, 7)?;
        assert!(name.ends_with(".oci.tar"));
        let all = unpacked(&bytes)?;
        let read = |descriptor: &Value| -> anyhow::Result<Vec<u8>> {
            let digest = descriptor["digest"].as_str().context("digest")?;
            let digest = digest.strip_prefix("sha256:").context(digest.to_owned())?;
            let (bytes, _) = all.get(&format!("blobs/sha256/{digest}")).context("no such blob")?;
            assert_eq!(sha256(bytes), digest);
            assert_eq!(descriptor["size"], bytes.len());
            Ok(bytes.clone())
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
        assert_eq!(json(&all["oci-layout"].0)?["imageLayoutVersion"], "1.0.0");
        let index = json(&all["index.json"].0)?;
        let manifest = json(&read(&index["manifests"][0])?)?;
        let config = json(&read(&manifest["config"])?)?;
        let plain = gunzip(&read(&manifest["layers"][0])?)?;
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&plain)));
        let root = unpacked(&plain)?;
        assert!(root["usr/bin/hauld"].0 == std::fs::read(itself)?);
        assert_eq!(
            (root["srv/haul/"].1, root["var/lib/hauld/"].1, root["tmp/"].1),
            (USER, USER, 0)
        );
        // Every variable is one that hauld knows.
        let command = haul_server::cli::command();
        for variable in config["config"]["Env"].as_array().context("Env")? {
            let name = variable.as_str().and_then(|it| it.split('=').next()).context("Env")?;
            let mut known = command.get_arguments().filter_map(|it| it.get_env());
            assert!(known.any(|it| it == name), "{name}");
        }
        Ok(())
    }
}
