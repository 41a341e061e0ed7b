//! Makes a random model sure of itself.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use half::bf16;

const NORM: &str = "model.language_model.norm.weight";

/// Multiplies the last norm's weights (bf16), and with them all logits, in the checkpoint's files.
pub(crate) fn norm(model: &Path, factor: f32) {
    for entry in std::fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut length = [0; 8];
        file.read_exact(&mut length).unwrap();
        let mut header = vec![0; u64::from_le_bytes(length) as usize];
        file.read_exact(&mut header).unwrap();
        let header_end = 8 + header.len() as u64;
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        let Some(place) = header.get(NORM) else { continue };
        let [start, end]: [u64; 2] = serde_json::from_value(place["data_offsets"].clone()).unwrap();
        let mut bytes = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(header_end + start)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        for value in bytes.chunks_exact_mut(2) {
            let scaled = bf16::from_le_bytes([value[0], value[1]]).to_f32() * factor;
            value.copy_from_slice(&bf16::from_f32(scaled).to_le_bytes());
        }
        file.seek(SeekFrom::Start(header_end + start)).unwrap();
        file.write_all(&bytes).unwrap();
        println!("{}: {NORM} times {factor}", path.display());
    }
}
