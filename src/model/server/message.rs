//! A conversation as chat messages, its images inline.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::imageops::FilterType;
use serde_json::{Value as Json, json};

use super::ServerError;
use crate::conversation::{ImageRole, Part, Role};
use crate::imaging::{self, ByteCache, ImageError, Limits, Picture, Portable};
use crate::model::predictor::Item;

/// The largest image file that is read, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// The largest file that is sent as it is; larger ones are written anew, without what is no picture in them.
const LARGEST_AS_IS: usize = 8 << 20;
/// The most bytes of one image as it is sent, before base64.
const LARGEST_SENT: usize = 32 << 20;
/// The most pixels that are sent: more than the models' own processors keep.
const MOST_PIXELS: u64 = 1 << 24;
/// The most bytes of references and exemplars that are kept.
const KEPT: usize = 64 << 20;

/// Makes messages, and keeps the pool's images, which many conversations show.
#[derive(Debug)]
pub(super) struct Messages {
    pool: Mutex<ByteCache<PathBuf, Arc<str>>>,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self { pool: Mutex::new(ByteCache::new(KEPT)) }
    }

    /// The turns that ask, in the order of the conversation: what is predicted on is what is trained on.
    pub(super) fn of(&self, item: &Item) -> Result<Json, ServerError> {
        let roles: Vec<ImageRole> = item.conversation.images().map(|image| image.role).collect();
        let reference = roles.iter().zip(&item.images).find(|(role, _)| **role == ImageRole::Reference).map(|(_, path)| path.as_path());
        let mut images = roles.iter().zip(&item.images);
        let mut messages = Vec::new();
        for turn in &item.conversation.turns {
            let content = if turn.role == Role::Assistant {
                Json::String(turn.text())
            } else {
                let mut parts = Vec::with_capacity(turn.parts.len());
                for part in &turn.parts {
                    parts.push(match part {
                        Part::Text(text) => json!({ "type": "text", "text": text }),
                        Part::Image(_) => {
                            let (role, path) = images.next().ok_or_else(|| ServerError::Local("an image without a file".to_owned()))?;
                            json!({ "type": "image_url", "image_url": { "url": &*self.image(*role, path, reference)? } })
                        }
                    });
                }
                Json::Array(parts)
            };
            messages.push(json!({ "role": turn.role.name(), "content": content }));
        }
        Ok(Json::Array(messages))
    }

    fn image(&self, role: ImageRole, path: &Path, reference: Option<&Path>) -> Result<Arc<str>, ServerError> {
        let of_pool = matches!(role, ImageRole::Reference | ImageRole::Exemplar);
        let key = path.to_owned();
        if of_pool && let Some(kept) = self.pool.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(kept);
        }
        let limits = Limits::default();
        let url: Arc<str> = match (role, reference) {
            (ImageRole::Difference, Some(reference)) => {
                let [query, good] = [path, reference].map(|path| imaging::decode_bytes(&read(path)?, path, limits));
                png(&Picture::ImageRgb8(imaging::difference(&query?, &good?, 1.0)), path)?
            }
            _ => file(path, limits)?,
        }
        .into();
        if of_pool {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).insert(key, url.clone(), url.len());
        }
        Ok(url)
    }
}

/// A file as a data address: PNG and JPEG as they are, all else as PNG.
fn file(path: &Path, limits: Limits) -> Result<String, ServerError> {
    let bytes = read(path)?;
    let as_is = match imaging::portable(&bytes, path, limits)? {
        Portable::AsIs("png") => Some("image/png"),
        Portable::AsIs("jpg") => Some("image/jpeg"),
        Portable::AsIs(_) | Portable::Recode(_) => None,
    };
    let (width, height) = imaging::dimensions_of_bytes(&bytes, path)?;
    match as_is.filter(|_| bytes.len() <= LARGEST_AS_IS && u64::from(width) * u64::from(height) <= MOST_PIXELS) {
        Some(kind) => Ok(data(kind, &bytes)),
        None => png(&imaging::decode_bytes(&bytes, path, limits)?, path),
    }
}

fn png(picture: &Picture, path: &Path) -> Result<String, ServerError> {
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    let smaller = (pixels > MOST_PIXELS).then(|| {
        let scale = (MOST_PIXELS as f64 / pixels as f64).sqrt();
        let side = |side: u32| ((f64::from(side) * scale) as u32).max(1);
        picture.resize_exact(side(picture.width()), side(picture.height()), FilterType::CatmullRom)
    });
    let failed = |source| ImageError::Decode { path: path.to_owned(), source };
    let bytes = imaging::encode_png(smaller.as_ref().unwrap_or(picture)).map_err(failed)?;
    if bytes.len() > LARGEST_SENT {
        return Err(ServerError::LargeImage { path: path.to_owned(), limit: LARGEST_SENT, got: bytes.len() });
    }
    Ok(data("image/png", &bytes))
}

fn data(kind: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{kind};base64,");
    BASE64_STANDARD.encode_string(bytes, &mut url);
    url
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let io = |source| ImageError::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > LARGEST_FILE {
        let said = format!("expected at most {LARGEST_FILE} bytes, got {length}");
        return Err(io(std::io::Error::new(std::io::ErrorKind::FileTooLarge, said)));
    }
    std::fs::read(path).map_err(io)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_as_they_are_or_as_png() {
        let dir = tempfile::tempdir().unwrap();
        let picture = Picture::new_rgb8(6, 4);
        for (name, head) in [("a.png", "data:image/png;base64,"), ("a.jpg", "data:image/jpeg;base64,"), ("a.bmp", "data:image/png;base64,")]
        {
            let path = dir.path().join(name);
            picture.save(&path).unwrap();
            let url = file(&path, Limits::default()).unwrap();
            let sent = BASE64_STANDARD.decode(url.strip_prefix(head).unwrap()).unwrap();
            assert_eq!(sent == std::fs::read(&path).unwrap(), name != "a.bmp", "{name}");
            assert_eq!(imaging::dimensions_of_bytes(&sent, &path).unwrap(), (6, 4));
        }
        std::fs::write(dir.path().join("no.png"), b"nothing").unwrap();
        assert!(file(&dir.path().join("no.png"), Limits::default()).unwrap_err().to_string().contains("no.png"));
    }
}
