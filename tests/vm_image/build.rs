//! Images for tests.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// Where unpacked layers are.
pub const STORE: &str = "/var/lib/ringfence/store";

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy)]
pub enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// The archive of one layer.
pub struct Layer {
    archive: tar::Builder<Vec<u8>>,
}

impl Layer {
    pub fn new() -> Self {
        Self {
            archive: tar::Builder::new(Vec::new()),
        }
    }

    /// Adds anything. The path is written as it is, however bad.
    pub fn add(mut self, path: &str, kind: EntryType, mode: u32, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.archive.append(&header, data).unwrap();
        self
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.add(path, EntryType::Regular, 0o644, "", text.as_bytes())
    }

    pub fn dir(self, path: &str) -> Self {
        self.add(path, EntryType::Directory, 0o755, "", b"")
    }

    pub fn symlink(self, path: &str, to: &str) -> Self {
        self.add(path, EntryType::Symlink, 0o777, to, b"")
    }

    /// What is known of the next member before it.
    pub fn known(mut self, records: &[(&str, &[u8])]) -> Self {
        self.archive
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self
    }

    pub fn tar(self) -> Vec<u8> {
        self.archive.into_inner().unwrap()
    }
}

/// A layer with a shell and what it calls.
pub fn base() -> Layer {
    let busybox = fs::read("/bin/busybox").unwrap();
    let mut layer =
        Layer::new()
            .dir("./bin/")
            .add("./bin/busybox", EntryType::Regular, 0o755, "", &busybox);
    for applet in [
        "sh", "cat", "ls", "id", "stat", "env", "sleep", "grep", "pwd", "echo",
    ] {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer
        .dir("etc")
        .dir("tmp")
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\n",
        )
        .file("etc/group", "root:x:0:\nwww:x:34:\nadm:x:4:web\n")
}

/// Packs a layer.
pub fn pack(tar: &[u8], how: Packed) -> Vec<u8> {
    match how {
        Packed::Plain => tar.to_vec(),
        Packed::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        Packed::Zstd => zstd::encode_all(tar, 1).unwrap(),
    }
}

/// An OCI layout in the making.
pub struct Layout {
    dir: tempfile::TempDir,
    manifests: Vec<Value>,
}

impl Layout {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        fs::write(
            dir.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Self {
            dir,
            manifests: Vec::new(),
        }
    }

    pub fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// Where a blob is.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.dir.path().join("blobs/sha256").join(hex)
    }

    /// Writes a blob, and gives what leads to it.
    pub fn put(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob(&digest), bytes).unwrap();
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    /// Packs a layer; gives what leads to it, and the digest of what is in it.
    pub fn layer(&self, tar: &[u8], how: Packed) -> (Value, String) {
        let kind = match how {
            Packed::Plain => "layer.v1.tar",
            Packed::Gzip => "layer.v1.tar+gzip",
            Packed::Zstd => "layer.v1.tar+zstd",
        };
        (self.put(kind, &pack(tar, how)), digest(tar))
    }

    /// Adds an image of such layers.
    pub fn image(&mut self, tag: &str, config: &Value, layers: &[(Value, String)]) -> Value {
        let manifest = self.manifest(config, layers);
        self.add(tag, manifest)
    }

    pub fn manifest(&self, config: &Value, layers: &[(Value, String)]) -> Value {
        let diff_ids: Vec<&String> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = self.put(
            "config.v1+json",
            configuration(config, &diff_ids).as_bytes(),
        );
        let layers: Vec<&Value> = layers.iter().map(|(layer, _)| layer).collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        self.put("manifest.v1+json", manifest.to_string().as_bytes())
    }

    /// Adds what a descriptor leads to, by a name.
    pub fn add(&mut self, tag: &str, mut descriptor: Value) -> Value {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.manifests.push(descriptor.clone());
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.dir.path().join("index.json"), index.to_string()).unwrap();
        descriptor
    }

    /// The same as one archive.
    pub fn archive(&self) -> PathBuf {
        let path = self.dir.path().with_extension("tar");
        let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
        archive.append_dir_all(".", self.dir.path()).unwrap();
        archive.finish().unwrap();
        path
    }
}

/// How to run an image.
fn configuration(config: &Value, diff_ids: &[&String]) -> String {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [],
    })
    .to_string()
}

/// What `docker save` wrote before it knew of OCI layouts.
pub fn docker_archive(at: &Path, tags: &[&str], config: &Value, layers: &[Vec<u8>]) {
    let diff_ids: Vec<String> = layers.iter().map(|tar| digest(tar)).collect();
    let config = configuration(config, &diff_ids.iter().collect::<Vec<_>>());
    let name = format!("{}.json", digest(config.as_bytes()).replace("sha256:", ""));
    let files: Vec<String> = (0..layers.len())
        .map(|at| format!("{at}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": files}]);
    let mut archive = tar::Builder::new(fs::File::create(at).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    for (file, layer) in files.iter().zip(layers) {
        add(file, layer);
    }
    add(&name, config.as_bytes());
    add("manifest.json", manifest.to_string().as_bytes());
    archive.finish().unwrap();
}

/// Takes the store away, so that a test begins without it.
pub fn empty_store() {
    let _ = fs::remove_dir_all(STORE);
}

/// What is in the store's temporary directory.
pub fn temporaries() -> Vec<PathBuf> {
    let dir = fs::read_dir(Path::new(STORE).join("tmp"));
    dir.into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

/// How many layers there are.
pub fn stored() -> usize {
    fs::read_dir(Path::new(STORE).join("layers/sha256")).map_or(0, Iterator::count)
}
