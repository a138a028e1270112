//! Images as OCI layouts have them, and `docker save`: a root file system in layers, and how to run it.
//!
//! 1. `layout`: which image is meant; index, manifest and configuration are verified by digest.
//! 2. [`Image::complete`]: what the user left open is the image's: command, environment, user, directory.
//! 3. `store`: a layer that was unpacked before is there. `layer`: another one is verified, decompressed and
//!    bounded; `tree`: its files are made.
//!
//! Volumes and ports that an image names are not made; its annotations and labels say nothing to the launcher.

mod archive;
mod digest;
mod layer;
mod layout;
mod source;
mod store;
mod tree;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::signal::Signal;
use oci_spec::image::{Arch, Config};

use super::error::{Error, Result};
use super::spec::{EnvVar, ImageRef, Spec};
use crate::kernel::unit::Bytes;
use crate::text;
use layer::Bounds;
use layout::Layer;
use source::Source;
use store::Making;

pub use store::sweep;

/// A verified image, whose layers may not be unpacked yet.
#[derive(Debug)]
pub struct Image {
    /// As it was typed, for messages.
    name: String,
    source: Source,
    config: Config,
    /// The lowest one first; none twice.
    layers: Vec<Layer>,
    /// The machine that it is made for, where that is not this one.
    made_for: Option<Arch>,
}

impl Image {
    /// Finds and verifies an image.
    pub fn open(of: &ImageRef) -> Result<Self> {
        let name = of.to_string();
        let about = |error: Error| error.about(&format!("the image {name}"));
        let (path, tag) = of.split().map_err(about)?;
        let source = Source::open(&path).map_err(about)?;
        let found = layout::find(&source, tag.as_deref(), of.is_of_docker()).map_err(about)?;
        let architecture = found.config.architecture();
        Ok(Self {
            source,
            made_for: (*architecture != Arch::default()).then(|| architecture.clone()),
            config: found.config.config().clone().unwrap_or_default(),
            layers: without_repeats(found.layers),
            name,
        })
    }

    /// What the user should know.
    pub fn notice(&self) -> Option<String> {
        let made_for = self.made_for.as_ref()?;
        let (name, here) = (&self.name, Arch::default());
        Some(format!(
            "the image {name} is for {made_for}, and this machine is {here}"
        ))
    }

    /// Where its layers are once they are unpacked, the top one first.
    pub fn layers(&self) -> Vec<PathBuf> {
        let layers = self.layers.iter().rev();
        layers.map(|layer| store::path_of(&layer.diff_id)).collect()
    }

    /// A spec in which the image fills in what the user left open, as docker does it.
    pub fn complete(&self, spec: &Spec) -> Result<Spec> {
        let config = &self.config;
        let mut spec = spec.clone();
        let mut command = match &spec.entrypoint {
            Some(entrypoint) if entrypoint.is_empty() => Vec::new(),
            Some(entrypoint) => vec![entrypoint.clone()],
            None => config.entrypoint().clone().unwrap_or_default(),
        };
        if spec.command.is_empty() && spec.entrypoint.is_none() {
            command.extend(config.cmd().iter().flatten().cloned());
        }
        command.append(&mut spec.command);
        if command.is_empty() {
            return Err(Error::refused(format!(
                "the image {} names no command to run; write one behind `--`",
                self.name
            )));
        }
        spec.command = command;
        // One without a value would be copied from the launcher.
        let env = config.env().iter().flatten();
        let env = env.filter(|variable| variable.contains('='));
        let mut env: Vec<EnvVar> = env.filter_map(|variable| variable.parse().ok()).collect();
        env.append(&mut spec.env);
        spec.env = env;
        let about = |what: &str, error: &dyn std::fmt::Display| {
            Error::refused(format!("the image {}: its {what}: {error}", self.name))
        };
        if let (None, Some(dir)) = (&spec.workdir, non_empty(config.working_dir().as_ref())) {
            let dir = Path::new("/").join(dir).display().to_string();
            spec.workdir = Some(dir.parse().map_err(|error| about("directory", &error))?);
        }
        if let (None, Some(user)) = (&spec.user, non_empty(config.user().as_ref())) {
            spec.user = Some(user.parse().map_err(|error| about("user", &error))?);
        }
        Ok(spec)
    }

    /// The signal that asks it to end, and what to say where there is no such one here.
    pub fn stop_signal(&self) -> (Signal, Option<String>) {
        let Some(name) = non_empty(self.config.stop_signal().as_ref()) else {
            return (Signal::SIGTERM, None);
        };
        let known = match name.parse::<i32>() {
            Ok(number) => Signal::try_from(number).ok(),
            Err(_) => Signal::from_str(&format!("SIG{}", name.trim_start_matches("SIG"))).ok(),
        };
        let told = || {
            format!(
                "the image {} wants to be stopped by {name}, which ringfence cannot send: it sends SIGTERM",
                self.name
            )
        };
        (known.unwrap_or(Signal::SIGTERM), known.is_none().then(told))
    }

    /// Unpacks the layers that are not there yet, all or none. `go_on` is asked every now and then.
    pub fn unpack(
        &self,
        go_on: &mut dyn FnMut() -> bool,
        notice: &mut dyn FnMut(String),
    ) -> Result<()> {
        let about = |error: Error| error.about(&format!("the image {}", self.name));
        if self.missing().next().is_none() {
            return Ok(());
        }
        let waits = |who| {
            notice(format!(
                "waiting for {who}, which unpacks before {}",
                self.name
            ));
        };
        let making = Making::begin(go_on, waits).map_err(about)?;
        let missing: Vec<&Layer> = self.missing().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut bounds = Bounds {
            room: making.room()?,
            go_on,
        };
        notice(self.announcement(&missing));
        for layer in &missing {
            let to = making.directory(&layer.diff_id).map_err(about)?;
            layer::unpack(&self.source, layer, &to, &mut bounds)
                .map_err(|error| about(error.about(&layer.file)))?;
        }
        let digests: Vec<_> = missing.iter().map(|layer| &layer.diff_id).collect();
        making.finish(&digests).map_err(about)
    }

    fn missing(&self) -> impl Iterator<Item = &Layer> {
        let mut layers = self.layers.iter();
        std::iter::from_fn(move || layers.find(|layer| !store::path_of(&layer.diff_id).is_dir()))
    }

    fn announcement(&self, missing: &[&Layer]) -> String {
        let sizes = missing
            .iter()
            .filter_map(|layer| Some(self.source.file(&layer.file).ok()?.left()));
        let size = text::bytes(Bytes(sizes.sum()));
        let layers = match missing.len() {
            1 => "1 layer".to_owned(),
            count => format!("{count} layers"),
        };
        format!("unpacking {layers}, {size}, of the image {}", self.name)
    }
}

fn non_empty(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// An overlay does not take a directory twice. Only the highest one counts: what a lower one has or takes away,
/// it has or takes away too.
fn without_repeats(mut layers: Vec<Layer>) -> Vec<Layer> {
    let mut seen = HashSet::new();
    layers.reverse();
    layers.retain(|layer| seen.insert(layer.diff_id.clone()));
    layers.reverse();
    layers
}
