//! Why a program could not be executed, in words.

mod interpreter;

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::{Error, Result};
use super::mask;
use super::spec::Spec;
use crate::kernel::process;

/// docker's codes: 127 where there is no such program, 126 where it may not or cannot be executed. `roots` are the layers of
/// the root file system, the top one first.
pub fn not_executed(
    spec: &Spec,
    roots: &[PathBuf],
    command: &str,
    errno: Errno,
) -> Result<(u8, String)> {
    let hidden_by = |path| hidden_by(spec, path);
    let why = match errno {
        Errno::ENOENT if command.contains('/') => {
            let text = match (hidden_by(command), interpreter(spec, roots, command)) {
                (Some(why), _) => format!("{command}: not found ({why})"),
                (None, Some(interpreter)) => no_interpreter(command, &interpreter),
                (None, None) => format!("{command}: not found"),
            };
            return Ok((127, text));
        }
        Errno::ENOENT => {
            let why = hidden_by("/usr/bin/").map_or_else(String::new, |why| format!(" ({why})"));
            return Ok((127, format!("{command}: not found in PATH{why}")));
        }
        Errno::ENOMEM => {
            return Err(Error::Step {
                step: format!("execute {command}"),
                errno,
            });
        }
        Errno::EACCES => "permission denied: not an executable file",
        errno => errno.desc(),
    };
    Ok((126, format!("{command}: cannot be executed: {why}")))
}

/// What a program names that executes it, where there is the program.
fn interpreter(spec: &Spec, roots: &[PathBuf], command: &str) -> Option<String> {
    let workdir = spec.workdir.as_ref().map(ToString::to_string);
    let program = Path::new(workdir.as_deref().unwrap_or("/")).join(command);
    interpreter::named_by(roots, &program)
}

fn no_interpreter(command: &str, interpreter: &str) -> String {
    let text = format!(
        "{command}: the interpreter that it names, `{}`, is not found",
        interpreter.escape_debug()
    );
    if interpreter.ends_with('\r') {
        format!("{text}: its lines end in CR LF, and must end in LF")
    } else {
        text
    }
}

/// Why a path of the host may not be there inside: it is masked, or, as an overlay shows one file system, not the root's.
fn hidden_by(spec: &Spec, path: &str) -> Option<String> {
    // Of another root, nothing is the host's.
    if !spec.has_hosts_root() {
        return None;
    }
    if let Some(masked) = mask::over(Path::new(path), &spec.unmask) {
        return Some(format!(
            "{0} of the host is masked; --unmask {0} shows it",
            masked.display()
        ));
    }
    let mut mounts = process::mounts_beneath_root().into_iter();
    let mount = mounts.rfind(|mount| Path::new(path).starts_with(&mount.at))?;
    if mount.holds_files {
        return None;
    }
    Some(format!(
        "{} is a file system of its own on this host, in memory or a container's, and does not show inside",
        mount.at.display()
    ))
}
