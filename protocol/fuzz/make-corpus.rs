//! Makes the first corpus of each target from the test vectors. For `decoder`: each stream and each text whole, and in
//! pieces of 1 and 7 bytes. For the readers of the bodies of `fetch`: the bodies.

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
            fs::write(corpus.join(format!("{name}.{how}")), [lengths, stream].concat())?;
        }
    }
    for (target, names) in [("decode_wanted", &[][..]), ("decode_fetched", &[2][..])] {
        let corpus = here.join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        let kind = target.trim_start_matches("decode_");
        for file in fs::read_dir(here.join("../testdata/bodies"))? {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let vector = fs::read(&path)?;
            if let (true, Some(blank)) =
                (name.starts_with(kind), vector.windows(2).position(|pair| pair == b"\n\n"))
            {
                // As the target reads it: how many names the request has, if that matters; the body.
                fs::write(corpus.join(&*name), [names, &vector[blank + 2..]].concat())?;
            }
        }
    }
    Ok(())
}
