//! `cargo xtask bench`: the measurements, each where it belongs. Timings are never asserted.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guest::Added;
use crate::kernel::Kernel;
use crate::session::Streams;
use crate::vm::{self, MachineArgs};
use crate::{apt, cargo, host, setup};

/// The bench that runs on this host and in the virtual machine.
const LAUNCH: &str = "launch";

const GUEST_TIMEOUT: Duration = Duration::from_mins(30);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only benches whose name begins so: a file in benches/ (with or without its `vm_`)
    name: Option<String>,
    /// In the virtual machine: boot this kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    kernel: Kernel,
    /// Passed on to the benches
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

pub fn run(args: &Args) -> Result<i32> {
    let folder = host::workspace_dir().join("benches");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("list {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| {
            let short = name.strip_prefix("vm_").unwrap_or(name);
            args.name.as_ref().is_none_or(|wanted| {
                // A suite's name is written with either.
                let wanted = wanted.replace('-', "_");
                name.starts_with(&wanted) || short.starts_with(&wanted)
            })
        })
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("no such bench; they are in {}", folder.display());
    }
    let mut worst = 0;
    for name in names {
        let code = if name.starts_with("vm_") {
            in_guest(&name, args)?
        } else if name == LAUNCH {
            launch(args)?
        } else {
            let status = cargo::cargo("bench")
                .args(["--quiet", "--package", "ringfence", "--bench", &name, "--"])
                .args(&args.arguments)
                .status()
                .context("start cargo")?;
            status.code().unwrap_or(1)
        };
        worst = worst.max(code);
    }
    Ok(worst)
}

/// The same programs on this host and, with limits, in the Debian guest: static, and built as for a release.
fn launch(args: &Args) -> Result<i32> {
    setup::ensure_peers();
    setup::ensure(args.kernel)?;
    setup::ensure_debian()?;
    let scratch = tempfile::Builder::new()
        .prefix("ringfence-bench-")
        .tempdir_in(host::workspace_dir().join("target"))
        .context("create a temporary directory")?;
    let first = scratch.path().join("first");
    let source = host::workspace_dir().join("benches/launch/first.rs");
    cargo::build_bare(&source, &first)?;
    let built = cargo::build_static_bench(LAUNCH)?;
    let find = |name: &str| {
        let found = built.iter().find(|built| built.name == name);
        found.map(|built| built.path.clone())
    };
    let bench = find(LAUNCH).context("cargo built no such bench")?;
    let ringfence = find("ringfence").context("cargo built no ringfence")?;
    let command = |bench: &Path, ringfence: &Path, first: &Path| {
        let mut words: Vec<OsString> = vec!["env".into()];
        for (name, path) in [("RINGFENCE", ringfence), ("FIRST", first)] {
            let mut set = OsString::from(format!("{name}="));
            set.push(path);
            words.push(set);
        }
        words.push(bench.into());
        words.extend(args.arguments.iter().cloned());
        words
    };

    eprintln!("bench {LAUNCH}: on this host");
    let words = command(&bench, &ringfence, &first);
    let status = apt::as_root(&["env"])?
        .args(&words[1..])
        .status()
        .context("start the bench")?;

    eprintln!(
        "bench {LAUNCH}: in the virtual machine (kernel {}): only ratios within this run count",
        args.kernel
    );
    let mut machine = MachineArgs::with_kernel(args.kernel);
    machine.debian = true;
    let guest = |name: &str| Path::new("/benches").join(name);
    machine.added = [(bench, LAUNCH), (first, "first")]
        .map(|(host, name)| Added {
            host,
            guest: guest(name),
        })
        .into();
    let words = command(&guest(LAUNCH), Path::new("/bin/ringfence"), &guest("first"));
    let streams = Streams::inherited()?;
    let ended = vm::boot_with(&ringfence, &machine, &words, Some(GUEST_TIMEOUT), streams)?;
    Ok(status.code().unwrap_or(1).max(ended.code()))
}

fn in_guest(name: &str, args: &Args) -> Result<i32> {
    eprintln!(
        "bench {name}: in the virtual machine (kernel {}): only ratios within this run count",
        args.kernel
    );
    let built = cargo::build_for_guest("bench", &["--bench".to_owned(), name.to_owned()])?;
    // ringfence itself is built with it.
    let program = built
        .into_iter()
        .find(|built| built.name == name)
        .context("cargo built no such bench")?;
    let mut machine = MachineArgs::with_kernel(args.kernel);
    let guest = format!("/benches/{name}");
    machine.added = vec![Added {
        host: program.path,
        guest: guest.clone().into(),
    }];
    let mut command: Vec<OsString> = vec![
        "env".into(),
        "RINGFENCE=/bin/ringfence".into(),
        guest.into(),
    ];
    command.extend(args.arguments.iter().cloned());
    let streams = Streams::inherited()?;
    Ok(vm::boot(&machine, &command, Some(GUEST_TIMEOUT), streams)?.code())
}
