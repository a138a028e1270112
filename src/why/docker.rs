//! What docker wrote down of each container's end.
//!
//! `State` of `config.v2.json`: `OOMKilled`, `ExitCode`, `FinishedAt`. docker reads the counter of the container's cgroup,
//! so `OOMKilled` says that somebody in it was killed, not that it was PID 1.

use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;

use super::{Cause, Death, Findings, Origin, Statement};
use crate::file;

/// Where it keeps its state, the usual way and as a snap.
const PLACES: [&str; 2] = [
    "var/lib/docker/containers",
    "var/snap/docker/common/var-lib-docker/containers",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
    state: State,
}

/// How a container is, or has ended; podman says it in the same words.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    running: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i32,
    error: String,
    finished_at: String,
}

/// How one has ended.
pub(super) struct End {
    pub at: Option<SystemTime>,
    pub cause: Cause,
    pub text: String,
}

impl State {
    /// `None` of one that runs, or never ran.
    pub(super) fn end(&self) -> Option<End> {
        let at = humantime::parse_rfc3339_weak(&self.finished_at).ok()?;
        // Of one that never ran it says the year 1.
        if self.running || at <= SystemTime::UNIX_EPOCH {
            return None;
        }
        let cause = match self.exit_code {
            _ if self.oom_killed => Cause::Oom,
            code => Cause::of_exit(code),
        };
        let mut text = format!("exit code {}", self.exit_code);
        if self.oom_killed {
            text.insert_str(0, "OOMKilled, ");
        }
        if !self.error.is_empty() {
            text = format!("{text}, {}", self.error);
        }
        Some(End {
            at: Some(at),
            cause,
            text,
        })
    }
}

/// Reads all containers below `root`, usually `/`.
pub fn read(root: &Path) -> Findings {
    let mut told = Findings::default();
    for place in PLACES {
        let place = root.join(place);
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let why = format!("{}: {error}", place.display());
                told.add_unread(Origin::Docker, why);
                continue;
            }
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        told.deaths.extend(ids.filter_map(|id| {
            let text = file::read(&place.join(&id).join("config.v2.json")).ok()?;
            death(&id, &text)
        }));
    }
    told
}

/// `None` for one that runs, never ran, or cannot be read.
fn death(id: &str, text: &[u8]) -> Option<Death> {
    let container: Container = serde_json::from_slice(text).ok()?;
    let end = container.state.end()?;
    Some(Death {
        at: end.at,
        name: container.name.trim_start_matches('/').to_owned(),
        aliases: vec![id.to_owned()],
        commands: Vec::new(),
        cgroup: None,
        cause: end.cause,
        evidence: vec![Statement {
            source: Origin::Docker,
            text: end.text,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_container_ended() {
        let of = |state: &str| {
            let text = format!(r#"{{"ID":"0123456789abcdef","Name":"/web","State":{state}}}"#);
            death("0123456789abcdef", text.as_bytes())
        };
        let ended = |more: &str| {
            of(&format!(
                r#"{{"Running":false,"FinishedAt":"2026-07-01T12:03:41.5Z",{more}}}"#
            ))
        };
        let killed = ended(r#""OOMKilled":true,"ExitCode":137,"Error":"""#).unwrap();
        assert_eq!(killed.cause, Cause::Oom);
        assert_eq!(killed.evidence[0].text, "OOMKilled, exit code 137");
        assert!(killed.is_called("web") && killed.is_called("0123") && !killed.is_called("012"));
        let cause = |more| ended(more).unwrap().cause;
        assert_eq!(cause(r#""ExitCode":137"#), Cause::Signal(9));
        assert_eq!(cause(r#""ExitCode":1"#), Cause::Exit(1));
        assert_eq!(
            of(r#"{"Running":true,"FinishedAt":"2026-07-01T12:03:41Z"}"#),
            None
        );
        assert_eq!(of(r#"{"FinishedAt":"0001-01-01T00:00:00Z"}"#), None);
        assert_eq!(death("x", b"{"), None);
    }

    #[test]
    fn nothing_is_there_or_may_not_be_read() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()), Findings::default());
        let container = root.path().join(PLACES[0]).join("0123456789abcdef");
        std::fs::create_dir_all(&container).unwrap();
        // Garbage is no container.
        std::fs::write(container.join("config.v2.json"), "garbage").unwrap();
        assert_eq!(read(root.path()), Findings::default());
    }
}
