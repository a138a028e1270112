//! What ringfence wrote down of its own workloads: kills, with all that was known then, and how each ended.

use super::{Cause, Death, Evidence, Source, Told};
use crate::launch::state::{Record, Shelf, Status};
use crate::names::local::Names;

/// Reads the records of whoever asks.
pub fn read(names: &mut Names) -> Told {
    match Shelf::own() {
        Ok(shelf) => Told {
            deaths: shelf
                .all()
                .iter()
                .flat_map(|record| deaths(record, names))
                .collect(),
            unread: Vec::new(),
        },
        Err(error) => Told::unread(Source::Ringfence, format!("{error:#}")),
    }
}

fn deaths(record: &Record, names: &mut Names) -> Vec<Death> {
    let path = record.cgroup.to_string_lossy();
    let kills = record.oom_kills.iter();
    let mut deaths: Vec<Death> = kills
        .map(|kill| Death::by_kernel(Source::Ringfence, kill.clone(), names))
        .collect();
    let end = match &record.status {
        Status::Ended { code, at, why } => {
            let why = why
                .as_ref()
                .map_or_else(String::new, |why| format!(", {why}"));
            Some(Death {
                at: Some(*at),
                name: record.name.clone(),
                aliases: Vec::new(),
                commands: Vec::new(),
                cgroup: Some((*path).into()),
                cause: Cause::of_exit((*code).into()),
                evidence: vec![Evidence {
                    source: Source::Ringfence,
                    text: format!("exit code {code}{why}"),
                }],
            })
        }
        _ => None,
    };
    deaths.extend(end);
    deaths
}
