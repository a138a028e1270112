//! Building what goes into a guest, and what is tested on this host: static, as the guest has no libraries.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::host;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// `cargo SUBCOMMAND` in this workspace.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(host::workspace_dir()).arg(subcommand);
    // Set by `cargo run` for us, and wrong for another package.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The same for the guest.
fn guest_cargo(subcommand: &str) -> Command {
    static_cargo(subcommand, "guest")
}

/// The same for static artefacts. `--target` gives them a directory of their own, so they and the
/// ordinary build do not replace each other, and keeps proc macros dynamic, as they must be.
fn static_cargo(subcommand: &str, profile: &str) -> Command {
    let mut cargo = static_cargo_without_messages(subcommand, profile);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo
}

fn static_cargo_without_messages(subcommand: &str, profile: &str) -> Command {
    let mut cargo = cargo(subcommand);
    cargo
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args([
            "--package",
            "ringfence",
            "--profile",
            profile,
            "--target",
            TARGET,
        ]);
    cargo
}

/// One line of cargo's JSON, of which only finished executables matter here.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// An executable that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub struct Built {
    pub name: String,
    pub kind: String,
    /// Whether it runs tests or benchmarks.
    pub is_test: bool,
    pub path: PathBuf,
}

/// The static ringfence binary.
pub fn build_ringfence() -> Result<PathBuf> {
    let built = build(guest_cargo("build").args(["--quiet", "--bin", "ringfence"]))?;
    let binary = built
        .into_iter()
        .find(|built| built.kind == "bin")
        .context("cargo built no ringfence binary")?;
    Ok(binary.path)
}

/// Static executables of the targets that `selection` (such as `--test NAME`) names, and ringfence.
pub fn build_for_guest(subcommand: &str, selection: &[String]) -> Result<Vec<Built>> {
    build(guest_cargo(subcommand).arg("--no-run").args(selection))
}

/// Executables of xtask's own tests.
pub fn build_own_tests(selection: &[&str]) -> Result<Vec<Built>> {
    let mut cargo = cargo("test");
    cargo.args([
        "--package",
        "xtask",
        "--message-format",
        "json-render-diagnostics",
    ]);
    build(cargo.arg("--no-run").args(selection))
}

/// The examples in ringfence's documentation, as tests.
pub fn doc_tests() -> Command {
    let mut cargo = static_cargo_without_messages("test", "guest");
    // rustdoc links them by itself.
    cargo
        .env("RUSTDOCFLAGS", "-C target-feature=+crt-static")
        .arg("--doc");
    cargo
}

/// A bench and ringfence as they are released, both static.
pub fn build_static_bench(name: &str) -> Result<Vec<Built>> {
    build(static_cargo("bench", "bench").args(["--quiet", "--no-run", "--bench", name]))
}

/// A program of one source file that uses no library at all, not even libc.
pub fn build_bare(source: &Path, program: &Path) -> Result<()> {
    let options = [
        "--edition=2024",
        "-Copt-level=2",
        "-Cpanic=abort",
        "-Crelocation-model=static",
        "-Cstrip=symbols",
        "-Clink-args=-nostartfiles -nostdlib -static",
    ];
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(options).arg("-o").arg(program).arg(source);
    host::run(rustc.current_dir(host::workspace_dir()))
}

/// Runs a cargo command with JSON messages and collects the executables.
pub fn build(cargo: &mut Command) -> Result<Vec<Built>> {
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", cargo.get_program().display()))?;
    if !output.status.success() {
        bail!("the build failed");
    }
    executables(&output.stdout)
}

fn executables(json: &[u8]) -> Result<Vec<Built>> {
    let mut built = Vec::new();
    for line in json
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"{"))
    {
        let message: Message =
            serde_json::from_slice(line).context("read cargo's JSON messages")?;
        if let (Some(Target { name, kind }), Some(path)) = (message.target, message.executable) {
            let kind = kind.into_iter().next().unwrap_or_default();
            let is_test = message.profile.is_some_and(|profile| profile.test);
            built.push(Built {
                name,
                kind,
                is_test,
                path,
            });
        }
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_picked_out_of_cargos_messages() {
        let json = br#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"x"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"vm_launch"},"profile":{"test":true},"executable":"/t/vm_launch-1"}
{"reason":"build-finished","success":true}
"#;
        let expected = Built {
            name: "vm_launch".into(),
            kind: "test".into(),
            is_test: true,
            path: "/t/vm_launch-1".into(),
        };
        assert_eq!(executables(json).unwrap(), [expected]);
    }
}
