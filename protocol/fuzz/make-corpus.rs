//! Makes the first corpus of the target `decoder` from the test vectors: each stream and each text whole,
//! and in pieces of 1 and 7 bytes.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.join("corpus/decoder");
    fs::create_dir_all(&corpus)?;
    let vectors = fs::read_dir(here.join("../testdata/vectors"))?;
    for file in vectors.chain(fs::read_dir(here.join("../testdata/texts"))?) {
        let path = file?.path();
        let vector = fs::read(&path)?;
        let blank = vector.windows(2).position(|pair| pair == b"\n\n");
        let (Some(blank), Some("txt")) = (blank, path.extension().and_then(|e| e.to_str())) else {
            continue;
        };
        let stream = &vector[blank + 2..];
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        // As the target reads it: how many lengths, the lengths of pieces, the stream.
        for (how, lengths) in [("whole", &[0][..]), ("bytes", &[1, 1]), ("pieces", &[1, 7])] {
            fs::write(
                corpus.join(format!("{name}.{how}")),
                [lengths, stream].concat(),
            )?;
        }
    }
    Ok(())
}
