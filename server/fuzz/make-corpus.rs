//! Makes the first corpus of each target. For `http`: streams that must be refused and sound ones, whole and in pieces of 1 and 7
//! bytes. For `tus` and `bodies`: fields and bodies as clients send them.

use std::path::Path;
use std::{fs, io};

const TUS: [&str; 8] = [
    "\nTus-Resumable: 1.0.0\r\nUpload-Length: 7\r\nUpload-Metadata: filename YS9i,mtime MTcwMDAwMDAwMA==\r\n",
    "to=x%2Fy\nTus-Resumable: 1.0.0\r\nUpload-Defer-Length: 1\r\nUpload-Metadata: relativePath bnVsbA==,name Yg==\r\n",
    "\nTus-Resumable: 1.0.0\r\nUpload-Offset: 3\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 3\r\nUpload-Checksum: sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\r\n",
    "\nUpload-Metadata: filename Li4vYQ==,replace bm8=\r\nUpload-Checksum: blake3 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\r\n",
    "name=b%20c\nUpload-Draft-Interop-Version: 8\r\nUpload-Complete: ?0\r\nUpload-Length: 10\r\nContent-Length: 3\r\n",
    "\nUpload-Draft-Interop-Version: 6\r\nUpload-Complete: ?1;a=b\r\nUpload-Offset: 7\r\nContent-Length: 3\r\nContent-Type: application/partial-upload\r\n",
    "\nContent-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:, md5=:AAAA:\r\nRepr-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:\r\n",
    "\nWant-Repr-Digest: sha-512=3, sha-256=10\r\nTransfer-Encoding: chunked\r\n",
];

const BODIES: [&str; 4] = [
    "{\"name\":\"a/b.txt\",\"size\":5,\"mtime\":1700000000}\nhello{\"name\":\"empty folder\"}\n{\"name\":\"c.txt\",\"size\":0,\"replace\":true}\n",
    "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%22.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x\r\nContent-Disposition: form-data; name=\"replace\"\r\n\r\nyes\r\n--x--\r\n",
    "<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/><x:y xmlns:x=\"u\" z='&lt;1'>t</x:y></D:prop></D:propfind>",
    "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><![CDATA[<]]>&#x41;</D:lockinfo>",
];

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["http", "tus", "bodies"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    // As the targets read it: how many lengths, the lengths of pieces, the bytes.
    let ways = [("whole", &[0][..]), ("bytes", &[1, 1]), ("pieces", &[2, 1, 7])];
    for (name, stream) in haul_server::fuzzing::streams() {
        for (how, lengths) in ways {
            let file = corpus.join("http").join(format!("{name}.{how}"));
            fs::write(file, [lengths, &stream].concat())?;
        }
    }
    for (index, body) in BODIES.iter().enumerate() {
        for (how, lengths) in ways {
            let file = corpus.join("bodies").join(format!("{index}.{how}"));
            fs::write(file, [lengths, body.as_bytes()].concat())?;
        }
    }
    for (index, fields) in TUS.iter().enumerate() {
        fs::write(corpus.join("tus").join(index.to_string()), fields)?;
    }
    Ok(())
}
