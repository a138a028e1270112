//! Debian's packages: installing them, and unpacking them without installing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::host::{self, find_tool};

/// A program and the Debian package that brings it.
pub type Tool = (&'static str, &'static str);

/// Installs what is missing, or says which command would.
pub fn install_tools(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools
        .iter()
        .filter(|(tool, _)| find_tool(tool).is_none())
        .collect();
    if missing.is_empty() {
        let names: Vec<_> = tools.iter().map(|(tool, _)| *tool).collect();
        eprintln!("tools: {}, installed", names.join(", "));
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    install(&packages).with_context(|| {
        let names: Vec<_> = missing.iter().map(|(tool, _)| *tool).collect();
        format!("missing: {}", names.join(", "))
    })
}

/// Installs the libraries that a package wants, written as in its `Depends` field.
pub fn satisfy(depends: &str) -> Result<()> {
    change("satisfy", &[depends])
}

pub fn install(packages: &[&str]) -> Result<()> {
    change("install", packages)
}

fn change(verb: &str, what: &[&str]) -> Result<()> {
    let options = ["apt-get", verb, "--yes", "--no-install-recommends"];
    let line = [&options[..], what].concat();
    let by_hand = || format!("install with `{}` as root", line.join(" "));
    if find_tool("apt-get").is_none() {
        bail!("{} or what your distribution has for it", by_hand());
    }
    let attempt = || {
        let mut command = as_root(&line)?;
        eprintln!("tools: {}", line.join(" "));
        host::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A fresh machine or an old package list knows no such package, or a version that is gone.
    attempt()
        .or_else(|_| {
            update_package_lists()?;
            attempt()
        })
        .with_context(by_hand)
}

/// `words` as root, through sudo where we are not.
pub fn as_root(words: &[&str]) -> Result<Command> {
    let (program, arguments) = if host::is_root() {
        (words[0], &words[1..])
    } else if find_tool("sudo").is_some() {
        ("sudo", words)
    } else {
        bail!("neither root nor sudo")
    };
    let mut command = Command::new(program);
    if program == "sudo" {
        // What its callers set; sudo would drop it.
        command.arg("--preserve-env=DEBIAN_FRONTEND,http_proxy,https_proxy");
    }
    command.args(arguments);
    Ok(command)
}

pub fn update_package_lists() -> Result<()> {
    host::run(&mut as_root(&["apt-get", "update"])?)
}

/// The version of a package that apt would install.
pub fn candidate(package: &str) -> Option<String> {
    let policy = host::output(Command::new("apt-cache").args(["policy", package])).ok()?;
    candidate_in(&String::from_utf8_lossy(&policy))
}

fn candidate_in(policy: &str) -> Option<String> {
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (candidate != "(none)").then(|| candidate.to_owned())
}

/// Downloads one package and unpacks it below `scratch`, installing nothing.
pub fn download(package: &str, scratch: &Path) -> Result<PathBuf> {
    let debs = scratch.join("debs");
    let fetch = || fetch_into(&debs, &[], &[package]);
    fetch().or_else(|_| {
        update_package_lists()?;
        fetch()
    })?;
    unpack(&debs, &scratch.join("unpacked"))
}

fn fetch_into(debs: &Path, options: &[String], packages: &[&str]) -> Result<()> {
    fs::create_dir_all(debs)?;
    let mut apt = Command::new("apt-get");
    // As root, apt warns that its download user may not enter our directory; it needs not.
    apt.args(["download", "--quiet", "-o", "APT::Sandbox::User=root"]);
    host::run(apt.args(options).args(packages).current_dir(debs))
}

fn unpack(debs: &Path, into: &Path) -> Result<PathBuf> {
    for deb in packages_in(debs)? {
        host::run(Command::new("dpkg").arg("--extract").arg(deb).arg(into))?;
    }
    Ok(into.to_owned())
}

fn packages_in(debs: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(debs)
        .with_context(|| format!("list {}", debs.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// The `Depends` field of a package file.
fn depends_of(deb: &Path) -> Result<String> {
    let depends = host::output(
        Command::new("dpkg-deb")
            .arg("--field")
            .arg(deb)
            .arg("Depends"),
    )?;
    Ok(String::from_utf8_lossy(&depends).trim().to_owned())
}

/// Packages of another suite than this machine's, unpacked below `scratch` with package lists of their own: the
/// machine's sources, lists and packages stay as they are.
pub struct Suite {
    options: Vec<String>,
    debs: PathBuf,
    scratch: PathBuf,
}

impl Suite {
    /// The backports of this machine's release.
    pub fn backports(scratch: &Path) -> Result<Self> {
        let archive = Archive::of_this_host()?;
        Self::of(&archive, &format!("{}-backports", archive.release), scratch)
    }

    /// A release, by its name: `trixie`.
    pub fn release(name: &str, scratch: &Path) -> Result<Self> {
        Self::of(&Archive::of_this_host()?, name, scratch)
    }

    /// Fetches the package lists from this machine's mirror.
    fn of(archive: &Archive, suite: &str, scratch: &Path) -> Result<Self> {
        let sources = scratch.join("suite.sources");
        fs::write(&sources, archive.sources(suite))?;
        let lists = scratch.join("lists");
        fs::create_dir_all(lists.join("partial"))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", lists.display()),
            // No cache of these lists beside them, and no root needed for it.
            "Dir::Cache::pkgcache=".to_owned(),
            "Dir::Cache::srcpkgcache=".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options: Vec<String> = options
            .into_iter()
            .flat_map(|option| ["-o".to_owned(), option])
            .collect();
        let mut update = Command::new("apt-get");
        host::run(update.args(&options).args(["--quiet", "update"]))
            .with_context(|| format!("read the package lists of {suite}"))?;
        Ok(Self {
            options,
            debs: scratch.join("debs"),
            scratch: scratch.to_owned(),
        })
    }

    /// What `package` depends on, as `apt-cache depends` lists it.
    pub fn depends(&self, package: &str) -> Result<String> {
        let mut cache = Command::new("apt-cache");
        let listed = host::output(cache.args(&self.options).args(["depends", package]))?;
        Ok(String::from_utf8_lossy(&listed).into_owned())
    }

    /// Downloads and unpacks `packages`. Returns the directory and what the first wants besides them.
    pub fn fetch(&self, packages: &[&str], unneeded: &[&str]) -> Result<(PathBuf, String)> {
        fetch_into(&self.debs, &self.options, packages)?;
        let mut depends = String::new();
        for deb in packages_in(&self.debs)? {
            let name = deb.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&format!("{}_", packages[0])) {
                depends = without(&depends_of(&deb)?, &[packages, unneeded].concat());
            }
        }
        Ok((unpack(&self.debs, &self.scratch.join("unpacked"))?, depends))
    }
}

/// A `Depends` field without some packages.
fn without(depends: &str, packages: &[&str]) -> String {
    let name = |wanted: &str| {
        wanted
            .split([' ', ':', '('])
            .next()
            .unwrap_or("")
            .to_owned()
    };
    let kept: Vec<&str> = depends
        .split(',')
        .map(str::trim)
        .filter(|wanted| !wanted.is_empty() && !packages.contains(&name(wanted).as_str()))
        .collect();
    kept.join(", ")
}

/// Where this machine's packages come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    pub mirror: String,
    pub release: String,
    /// The keys that its index is signed with, as the machine's own entry names them.
    signed_by: Option<String>,
}

impl Archive {
    /// The archive of this machine's release itself: no updates, security or backports.
    pub fn of_this_host() -> Result<Self> {
        let format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(SOURCESENTRY)";
        let targets = host::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
            "Origin: Debian",
        ]))?;
        let targets = String::from_utf8_lossy(&targets);
        let Some((mut archive, entry)) = main_archive(&targets) else {
            bail!("apt knows no Debian archive; try `apt-get update`")
        };
        // `FILE:NUMBER`, the number of a line in a list and of a paragraph in a sources file.
        if let Some((file, number)) = entry.rsplit_once(':') {
            let text = fs::read_to_string(file).unwrap_or_default();
            let number: usize = number.parse().unwrap_or(1);
            archive.signed_by = if file.ends_with(".sources") {
                signed_by_of_paragraph(&text, number)
            } else {
                signed_by_of_line(&text, number)
            };
        }
        Ok(archive)
    }

    /// A sources file in deb822 style, see sources.list(5).
    fn sources(&self, suite: &str) -> String {
        let signed_by = self.signed_by.as_ref();
        let keys = signed_by.map_or(String::new(), |keys| format!("Signed-By: {keys}\n"));
        format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{keys}",
            self.mirror
        )
    }
}

/// The first plain release with its main component, and the entry of the machine's sources that names it.
fn main_archive(targets: &str) -> Option<(Archive, String)> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (mirror, release, component) = (words.next()?, words.next()?, words.next()?);
        let archive = Archive {
            mirror: mirror.to_owned(),
            release: release.to_owned(),
            signed_by: None,
        };
        let entry = words.next().unwrap_or_default().to_owned();
        (component == "main" && !release.contains('-')).then_some((archive, entry))
    })
}

/// `[signed-by=KEYS]` of a line of a sources list, counted from 1.
fn signed_by_of_line(text: &str, number: usize) -> Option<String> {
    let line = text.lines().nth(number.checked_sub(1)?)?;
    let (_, keys) = line.split_once("signed-by=")?;
    let end = keys.find([' ', ']', '\t']).unwrap_or(keys.len());
    // Several are separated by commas there and by spaces in the other style.
    Some(keys[..end].replace(',', " "))
}

/// The field `Signed-By` of a paragraph, counted from 1, with its further lines where it is a key itself.
fn signed_by_of_paragraph(text: &str, number: usize) -> Option<String> {
    let paragraphs = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>();
    let mut paragraphs = paragraphs
        .split(|line| line.trim().is_empty())
        .filter(|lines| !lines.is_empty());
    let mut lines = paragraphs.nth(number.checked_sub(1)?)?.iter();
    let first = lines.find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field
            .eq_ignore_ascii_case("signed-by")
            .then(|| value.trim())
    })?;
    let more = lines.take_while(|line| line.starts_with([' ', '\t']));
    Some(more.fold(first.to_owned(), |keys, line| keys + "\n" + line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_of_the_plain_release_is_taken() {
        let targets = "http://m/debian-security/ trixie-security main /etc/apt/sources.list:1\n\
                       http://m/debian/ trixie-updates main /etc/apt/sources.list:2\n\
                       http://m/debian/ trixie contrib /etc/apt/sources.list:3\n\
                       http://m/debian/ trixie main /etc/apt/sources.list:3\n";
        let (archive, entry) = main_archive(targets).unwrap();
        assert_eq!(
            (archive.mirror.as_str(), archive.release.as_str()),
            ("http://m/debian/", "trixie")
        );
        assert_eq!(entry, "/etc/apt/sources.list:3");
        assert_eq!(main_archive(""), None);
    }

    #[test]
    fn keys_of_a_sources_entry_are_found_in_both_styles() {
        let list =
            "# deb-src\ndeb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://m/ trixie main\n";
        assert_eq!(signed_by_of_line(list, 2).unwrap(), "/k/a.gpg /k/b.gpg");
        assert_eq!(signed_by_of_line(list, 1), None);
        let sources = "Types: deb\n# a comment\nURIs: http://m/\nSigned-By: /k/a.gpg\n\n\n\
                       Types: deb\nsigned-by:\n -----BEGIN\n .\n Suites:\nSuites: x\n";
        assert_eq!(signed_by_of_paragraph(sources, 1).unwrap(), "/k/a.gpg");
        assert_eq!(
            signed_by_of_paragraph(sources, 2).unwrap(),
            "\n -----BEGIN\n .\n Suites:"
        );
        assert_eq!(signed_by_of_paragraph(sources, 3), None);
    }

    #[test]
    fn another_suite_is_of_the_same_mirror_and_keys() {
        let archive = Archive {
            mirror: "http://m/debian/".into(),
            release: "bookworm".into(),
            signed_by: Some("/k/a.gpg".into()),
        };
        assert_eq!(
            archive.sources("bookworm-backports"),
            "Types: deb\nURIs: http://m/debian/\nSuites: bookworm-backports\nComponents: main\nSigned-By: /k/a.gpg\n"
        );
    }

    #[test]
    fn dependencies_are_compared_by_whole_name() {
        assert_eq!(
            without(
                "liba1 (>= 1), qemu-data (= 2), qemu-data-x, libb:any | libc",
                &["qemu-data"]
            ),
            "liba1 (>= 1), qemu-data-x, libb:any | libc"
        );
    }

    #[test]
    fn candidate_version_is_read_from_apt() {
        let policy = "qemu:\n  Installed: (none)\n  Candidate: 1:10.0.2+ds-2\n  Version table:\n";
        assert_eq!(candidate_in(policy).unwrap(), "1:10.0.2+ds-2");
        assert_eq!(candidate_in("qemu:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }
}
