//! What ringfence wrote down of its own workloads: kills, with all that was known then, and how each ended.

use super::{Cause, Death, Findings, Origin, Statement};
use crate::launch::state::{Record, Shelf, Status};
use crate::names::local::Names;

/// Reads the records of whoever asks.
pub fn read(names: &mut Names) -> Findings {
    match Shelf::own() {
        Ok(shelf) => {
            let records = shelf.all();
            let deaths = records.iter().flat_map(|record| deaths(record, names));
            deaths.collect()
        }
        Err(error) => Findings::unread(Origin::Ringfence, format!("{error:#}")),
    }
}

fn deaths(record: &Record, names: &mut Names) -> Vec<Death> {
    let path = record.cgroup.to_string_lossy();
    let kills = record.oom_kills.iter();
    let mut deaths: Vec<Death> = kills
        .map(|kill| Death::by_kernel(Origin::Ringfence, kill.clone(), names))
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
                evidence: vec![Statement {
                    source: Origin::Ringfence,
                    text: format!("exit code {code}{why}"),
                }],
            })
        }
        _ => None,
    };
    deaths.extend(end);
    deaths
}
