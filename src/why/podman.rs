//! What podman and conmon wrote down of each container's end.
//!
//! conmon makes a file `oom` where the counter of the container's cgroup rose, and one with the exit code. Both are lost
//! with a boot, and with the container; the names are in `containers.json`. podman before 5 takes the exit code into its
//! data base and removes the file: then podman is asked, where its command is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::docker::{End, State};
use super::{Cause, Death, Findings, Origin, Statement};
use crate::file;
use crate::kernel::process::bounded::output;

/// How long podman has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// It is asked for so many at once.
const AT_ONCE: usize = 100;
/// What it answers for each, a line of less than 600 bytes where there is no error message.
const ANSWER: &str = r#"{"id":{{json .ID}},"state":{{json .State}}}"#;

const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Where the names are, and what is written while they run.
const STORAGE: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];
/// Where exit codes are, and what is kept apart since podman 5.
const RUN: [&str; 2] = ["run/libpod", "var/run/libpod"];

#[derive(Deserialize)]
struct Container {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Answer {
    id: String,
    state: State,
}

/// Reads all containers of the system's podman below `root`, usually `/`.
pub fn read(root: &Path) -> Findings {
    let mut told = Findings::default();
    let places = STORAGE.iter().flat_map(|storage| {
        DRIVERS
            .iter()
            .map(move |driver| root.join(storage).join(format!("{driver}-containers")))
    });
    let places: Vec<PathBuf> = places.collect();
    for list in places
        .iter()
        .flat_map(|place| LISTS.map(|list| place.join(list)))
    {
        let text = match file::read(&list) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let why = format!("{}: {error}", list.display());
                told.add_unread(Origin::Podman, why);
                continue;
            }
        };
        let mut containers: Vec<Container> = serde_json::from_slice(&text).unwrap_or_default();
        containers.retain(|container| container.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let mut unknown = Vec::new();
        for container in containers {
            match end(root, &places, &container.id) {
                Some(end) => told.deaths.push(death(&container, end)),
                None => unknown.push(container),
            }
        }
        // What it says is about this host.
        if root == Path::new("/") {
            let asked = unknown.chunks(AT_ONCE).flat_map(ask);
            told.deaths.extend(asked);
        }
    }
    told
}

/// What conmon wrote down of the end of a container.
fn end(root: &Path, places: &[PathBuf], id: &str) -> Option<End> {
    let persisted = RUN.map(|run| root.join(run).join("persist").join(id));
    let exits = RUN.map(|run| root.join(run).join("exits").join(id));
    let exit = persisted
        .iter()
        .map(|dir| dir.join("exit"))
        .chain(exits)
        .find_map(|path| {
            let text = String::from_utf8(file::read(&path).ok()?).ok()?;
            Some((text.trim().parse::<i32>().ok()?, written(&path)))
        });
    let marks = places
        .iter()
        .map(|place| place.join(id).join("userdata/oom"));
    let oom = persisted
        .iter()
        .map(|dir| dir.join("oom"))
        .chain(marks)
        .find_map(|path| written(&path));
    let (code, ended) = exit.map_or((None, None), |(code, ended)| (Some(code), ended));
    let cause = match (oom, code) {
        (Some(_), _) => Cause::Oom,
        (None, code) => Cause::of_exit(code?),
    };
    let words = [
        oom.map(|_| "conmon's mark of an OOM kill".to_owned()),
        code.map(|code| format!("exit code {code}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    Some(End {
        at: oom.or(ended),
        cause,
        text: words.join(", "),
    })
}

/// What podman says of those of which nothing is written down.
fn ask(containers: &[Container]) -> Vec<Death> {
    let mut command = Command::new("podman");
    command.args(["container", "inspect", "--format", ANSWER]);
    command.args(containers.iter().map(|container| &container.id));
    // Not there, or too slow: others may know. It fails where one of them is not podman's, CRI-O's for one.
    let Ok(said) = output(command, PATIENCE) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&said.stdout);
    let answers = text.lines().filter_map(|line| {
        let answer: Answer = serde_json::from_str(line).ok()?;
        let container = containers.iter().find(|one| one.id == answer.id)?;
        Some(death(container, answer.state.end()?))
    });
    answers.collect()
}

fn death(container: &Container, end: End) -> Death {
    let names = container.names.iter().flatten();
    Death {
        at: end.at,
        name: names.clone().next().unwrap_or(&container.id).clone(),
        aliases: std::iter::once(&container.id)
            .chain(names)
            .cloned()
            .collect(),
        commands: Vec::new(),
        cgroup: None,
        cause: end.cause,
        evidence: vec![Statement {
            source: Origin::Podman,
            text: end.text,
        }],
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::symlink_metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn marks_and_exit_codes_of_both_layouts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(read(root.path()), Findings::default());
        let containers = "var/lib/containers/storage/overlay-containers";
        write(
            &format!("{containers}/containers.json"),
            &format!(r#"[{{"id":"{ID}","names":["web"]}},{{"id":"../x"}},{{"id":"77"}}]"#),
        );
        // None of them has ended.
        assert_eq!(read(root.path()), Findings::default());
        write(&format!("run/libpod/exits/{ID}"), "137");
        let one = || {
            let mut told = read(root.path());
            assert_eq!((told.deaths.len(), told.unread.len()), (1, 0));
            told.deaths.remove(0)
        };
        assert_eq!((one().cause, &*one().name), (Cause::Signal(9), "web"));
        write(
            &format!("run/containers/storage/overlay-containers/{ID}/userdata/oom"),
            "",
        );
        assert_eq!(one().cause, Cause::Oom);
        assert_eq!(
            one().evidence[0].text,
            "conmon's mark of an OOM kill, exit code 137"
        );
        assert!(one().at.is_some() && one().is_called("0123456"));
        fs::remove_dir_all(root.path().join("run")).unwrap();
        write(&format!("run/libpod/persist/{ID}/exit"), "3\n");
        assert_eq!(one().cause, Cause::Exit(3));
        write(&format!("run/libpod/persist/{ID}/exit"), "garbage");
        assert_eq!(read(root.path()), Findings::default());
    }
}
