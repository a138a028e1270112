//! Which image of a layout is meant, and what it is made of. An OCI layout has an `index.json`
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>), what `docker save` writes a
//! `manifest.json`, or both.

use std::io;

use oci_spec::image::{
    Arch, Descriptor, Digest, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout,
    Os,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::digest::{self, Hashed};
use super::source::Source;
use crate::launch::error::{Error, Result};

/// How deep an index may be in others.
const MOST_NESTED: u32 = 4;

/// The most layers that an overlay takes; docker makes images of up to 127.
const MOST_LAYERS: usize = 128;

/// Annotations with an image's name: the specification's, containerd's (and so docker's).
const NAMES: [&str; 2] = [
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];

/// What an image is made of.
#[derive(Debug)]
pub struct Found {
    /// How to run it.
    pub config: ImageConfiguration,
    /// Its layers, the lowest one first.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// The file that has it.
    pub file: String,
    /// The digest of that file, where it is told.
    pub digest: Option<Digest>,
    /// Bytes of that file, where they are told.
    pub size: Option<u64>,
    /// The digest of the archive in it, decompressed: what the layer is known by.
    pub diff_id: Digest,
}

/// Finds the image with a tag, or the only one. Everything but the layers is verified.
pub fn find(source: &Source, tag: Option<&str>, docker: bool) -> Result<Found> {
    if source.has("index.json") && !(docker && source.has("manifest.json")) {
        oci(source, tag)
    } else if source.has("manifest.json") {
        of_docker(source, tag)
    } else {
        Err(Error::refused(
            "has neither an index.json, as OCI layouts have, nor the manifest.json of `docker save`",
        ))
    }
}

fn oci(source: &Source, tag: Option<&str>) -> Result<Found> {
    let layout: OciLayout = json("oci-layout", &source.small("oci-layout")?)?;
    let version = layout.image_layout_version();
    if !version.starts_with("1.") {
        return Err(Error::refused(format!(
            "is an OCI layout of version {version}; 1 is known"
        )));
    }
    let index: ImageIndex = json("index.json", &source.small("index.json")?)?;
    let named = index
        .manifests()
        .iter()
        .filter(|image| tag.is_none_or(|tag| names(image).any(|name| is_called(name, tag))));
    let descriptor = one(named.collect(), tag, index.manifests())?;
    let manifest = manifest(source, descriptor, MOST_NESTED)?;
    let config = parsed(source, manifest.config())?;
    let layers = manifest.layers().iter().map(|layer| {
        let digest = layer.digest().clone();
        (blob(&digest), Some(digest), Some(layer.size()))
    });
    found(config, layers.collect())
}

/// The one image that is meant, of those that have the tag.
fn one<'a>(
    mut images: Vec<&'a Descriptor>,
    tag: Option<&str>,
    all: &[Descriptor],
) -> Result<&'a Descriptor> {
    if images.len() > 1 {
        images.retain(|image| runs_here(image));
    }
    // One image may have several names.
    images.dedup_by(|a, b| a.digest() == b.digest());
    match images.as_slice() {
        [image] => Ok(image),
        several => {
            let all = if several.is_empty() {
                all.iter().collect()
            } else {
                images
            };
            let described = all.iter().map(|image| {
                let name = names(image).last().map(str::to_owned);
                name.unwrap_or_else(|| image.digest().to_string())
            });
            Err(choice(tag, described.collect()))
        }
    }
}

/// Why there is not one image, and what there is.
fn choice(tag: Option<&str>, mut all: Vec<String>) -> Error {
    all.sort();
    all.dedup();
    let list = all.join(", ");
    Error::refused(match tag {
        _ if all.is_empty() => "has no image in it".to_owned(),
        None => format!("has several images, so choose one as PATH:TAG: {list}"),
        Some(tag) => format!("has no one image called {tag}, but {list}"),
    })
}

fn names(image: &Descriptor) -> impl Iterator<Item = &str> {
    let annotations = image.annotations().as_ref();
    NAMES
        .into_iter()
        .filter_map(move |name| annotations?.get(name).map(String::as_str))
}

/// `docker.io/library/box:latest` is called so, but also `box:latest` and `latest`.
fn is_called(name: &str, tag: &str) -> bool {
    name.strip_suffix(tag)
        .is_some_and(|before| before.is_empty() || before.ends_with(['/', ':']))
}

/// Whether an image may be for this machine. Those of no platform at all are notes about others.
fn runs_here(image: &Descriptor) -> bool {
    image.platform().as_ref().is_none_or(|platform| {
        *platform.os() == Os::Linux && *platform.architecture() == Arch::default()
    })
}

/// The manifest that a descriptor leads to, in as many steps as are left.
fn manifest(source: &Source, descriptor: &Descriptor, steps: u32) -> Result<ImageManifest> {
    let is_index = match descriptor.media_type() {
        MediaType::ImageManifest => false,
        MediaType::ImageIndex => true,
        MediaType::Other(docker) => match docker.as_str() {
            "application/vnd.docker.distribution.manifest.v2+json" => false,
            "application/vnd.docker.distribution.manifest.list.v2+json" => true,
            _ => return Err(strange(descriptor)),
        },
        _ => return Err(strange(descriptor)),
    };
    if !is_index {
        return parsed(source, descriptor);
    }
    let index: ImageIndex = parsed(source, descriptor)?;
    let ours = index.manifests().iter().find(|image| runs_here(image));
    match ours {
        Some(image) if steps > 0 => manifest(source, image, steps - 1),
        Some(_) => Err(Error::refused(
            "has an index in an index in an index, too deep",
        )),
        None => Err(Error::refused(format!(
            "has no image for linux on {}, but for {}",
            Arch::default(),
            platforms(&index)
        ))),
    }
}

fn platforms(index: &ImageIndex) -> String {
    let platforms = index.manifests().iter().filter_map(|image| {
        let platform = image.platform().as_ref()?;
        Some(format!("{} on {}", platform.os(), platform.architecture()))
    });
    platforms.collect::<Vec<_>>().join(", ")
}

fn strange(descriptor: &Descriptor) -> Error {
    Error::refused(format!(
        "{} is of the type {}, which is no image",
        descriptor.digest(),
        descriptor.media_type()
    ))
}

/// A verified JSON blob.
fn parsed<T: DeserializeOwned>(source: &Source, descriptor: &Descriptor) -> Result<T> {
    let name = blob(descriptor.digest());
    let bytes = source.small(&name)?;
    if bytes.len() as u64 != descriptor.size() {
        return Err(Error::refused(format!(
            "{name} has {} bytes and not {}",
            bytes.len(),
            descriptor.size()
        )));
    }
    digest::verify(&bytes, descriptor.digest()).map_err(|error| error.about(&name))?;
    json(&name, &bytes)
}

/// The file of a blob. The characters that a digest may have make no other path of it.
fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}

fn json<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::refused(format!("{name} cannot be understood: {error}")))
}

/// An image of `docker save`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Saved {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.repo_tags.iter().flatten()
    }
}

fn of_docker(source: &Source, tag: Option<&str>) -> Result<Found> {
    let all: Vec<Saved> = json("manifest.json", &source.small("manifest.json")?)?;
    let named: Vec<&Saved> = all
        .iter()
        .filter(|image| tag.is_none_or(|tag| image.names().any(|name| is_called(name, tag))))
        .collect();
    let [image] = named.as_slice() else {
        let described = all
            .iter()
            .map(|image| image.names().next().unwrap_or(&image.config));
        return Err(choice(tag, described.cloned().collect()));
    };
    let bytes = source.small(&image.config)?;
    // Its name is its digest: `abc….json`, or `blobs/sha256/abc…`.
    let name = image.config.trim_end_matches(".json");
    let name = name.rsplit('/').next().unwrap_or(name);
    if let Ok(digest) = format!("sha256:{name}").parse() {
        digest::verify(&bytes, &digest).map_err(|error| error.about(&image.config))?;
    }
    let config = json(&image.config, &bytes)?;
    let layers = image.layers.iter().map(|file| (file.clone(), None, None));
    found(config, layers.collect())
}

/// Puts the layers' files and the digests of the configuration together.
fn found(
    config: ImageConfiguration,
    files: Vec<(String, Option<Digest>, Option<u64>)>,
) -> Result<Found> {
    if *config.os() != Os::Linux {
        return Err(Error::refused(format!(
            "is for {} and not for linux",
            config.os()
        )));
    }
    let diff_ids = config.rootfs().diff_ids();
    if files.len() != diff_ids.len() {
        return Err(Error::refused(format!(
            "has {} layers, and digests for {}",
            files.len(),
            diff_ids.len()
        )));
    }
    if files.is_empty() || files.len() > MOST_LAYERS {
        return Err(Error::refused(format!(
            "has {} layers; there may be 1 to {MOST_LAYERS}",
            files.len()
        )));
    }
    let layers = files
        .into_iter()
        .zip(diff_ids)
        .map(|((file, digest, size), diff_id)| {
            let diff_id = diff_id.parse().map_err(|_| {
                Error::refused(format!(
                    "has a layer with the digest {diff_id}, which is none"
                ))
            })?;
            // Whether it can be verified.
            Hashed::new(io::empty(), &diff_id)?;
            Ok(Layer {
                file,
                digest,
                size,
                diff_id,
            })
        });
    let layers = layers.collect::<Result<_>>()?;
    Ok(Found { config, layers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_end_of_a_name() {
        for tag in [
            "latest",
            "box:latest",
            "library/box:latest",
            "docker.io/library/box:latest",
        ] {
            assert!(is_called("docker.io/library/box:latest", tag), "{tag}");
        }
        for tag in ["test", "ox:latest", "box", "old"] {
            assert!(!is_called("docker.io/library/box:latest", tag), "{tag}");
        }
        assert!(is_called("3.20", "3.20"));
    }
}
