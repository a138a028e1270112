//! Answers of `why`: words for people, JSON for programs, a page for a ticket.

use std::path::Path;

use serde::Serialize;

use super::events::{self, rfc3339};
use super::page::{DeathSection, Head, SECTIONS, levels, page};
use crate::model::{Happening, Model};
use crate::names;
use crate::oom::words;
use crate::text;
use crate::why::{Cause, Certainty, Death, Statement, Unread};

/// For people: a line for each answer, and below it how that is known.
pub fn text(answers: &[Death]) -> Vec<String> {
    let mut lines = Vec::new();
    for answer in answers {
        let time = answer
            .at
            .map_or_else(|| "at a time not known".to_owned(), rfc3339);
        lines.push(format!(
            "{time}  {}  ({})",
            cause(answer),
            answer.certainty().words()
        ));
        lines.extend(answer.evidence.iter().map(|of| {
            let text = of.text.replace('\n', " ");
            format!("    {}: {text}", of.source.words())
        }));
    }
    lines
        .iter()
        .map(|line| text::sanitise(line).into_owned())
        .collect()
}

fn cause(answer: &Death) -> String {
    let name = &answer.name;
    match &answer.cause {
        Cause::Kernel(kill) => {
            let label = |path: &str| match answer.cgroup.as_deref() {
                Some(own) if own == path => name.clone(),
                _ => names::identify(path).label.into_owned(),
            };
            let limit = words::limit(kill, &label);
            words::line(kill, name, limit.as_deref().unwrap_or(words::UNKNOWN_LIMIT))
        }
        Cause::Oom => format!("OOM kill  {name}  its owner says so, nothing tells the victim"),
        Cause::Killer(killer) => format!("killed by {killer}  {name}"),
        Cause::Signal(9) => {
            format!("killed  {name}  by SIGKILL: an OOM kill, or anybody who may kill it")
        }
        Cause::Signal(signal) => format!("killed  {name}  by signal {signal}"),
        Cause::Exit(code) => format!("ended  {name}  by itself, exit code {code}"),
    }
}

/// An answer of `ringfence why --json`.
#[derive(Serialize)]
struct DeathReport<'a> {
    time: Option<String>,
    name: &'a str,
    cgroup: Option<&'a str>,
    cause: &'static str,
    by: Option<&'static str>,
    signal: Option<i32>,
    exit: Option<i32>,
    certainty: Certainty,
    evidence: &'a [Statement],
    kill: Option<serde_json::Value>,
}

/// For programs: an object for each answer, then one for each source that could not be read.
pub fn json(answers: &[Death], unread: &[Unread]) -> Vec<String> {
    let answers = answers.iter().map(|answer| {
        let (cause, by, signal, exit) = match &answer.cause {
            Cause::Kernel(_) => ("oom_kill", Some("kernel"), Some(9), None),
            Cause::Oom => ("oom_kill", None, Some(9), None),
            Cause::Killer(killer) => ("killed", Some(*killer), None, None),
            Cause::Signal(signal) => ("killed", None, Some(*signal), None),
            Cause::Exit(code) => ("ended", None, None, Some(*code)),
        };
        super::json(&DeathReport {
            time: answer.at.map(rfc3339),
            name: &answer.name,
            cgroup: answer.cgroup.as_deref(),
            cause,
            by,
            signal,
            exit,
            certainty: answer.certainty(),
            evidence: &answer.evidence,
            kill: kill(answer),
        })
    });
    answers
        .chain(unread.iter().map(super::json))
        .flatten()
        .collect()
}

/// As `events` tells it.
fn kill(answer: &Death) -> Option<serde_json::Value> {
    let (model, happening) = past(answer)?;
    let line = events::json(&model, &happening)?;
    serde_json::from_str(&line).ok()
}

/// A model that knows of a kernel's kill, and nothing else.
fn past(answer: &Death) -> Option<(Model, Happening)> {
    let Cause::Kernel(kill) = &answer.cause else {
        return None;
    };
    let mut model = Model::default();
    let happening = model.past(kill);
    Some((model, happening))
}

/// For a ticket: an HTML page. `mount` is where cgroup v2 is mounted.
pub fn html(head: &Head, answers: &[Death], unread: &[Unread], mount: Option<&Path>) -> String {
    let (answers, older) = answers.split_at(answers.len().min(SECTIONS));
    let models: Vec<Option<Model>> = answers
        .iter()
        .map(|answer| past(answer).map(|(model, _)| model))
        .collect();
    let sections: Vec<DeathSection<'_>> = answers
        .iter()
        .zip(&models)
        .map(|(answer, model)| DeathSection {
            headline: cause(answer),
            certainty: Some(answer.certainty().words()),
            evidence: &answer.evidence,
            incident: model.as_ref().and_then(|model| model.incidents().next()),
            levels: mount
                .zip(answer.cgroup.as_deref())
                .map_or_else(Vec::new, |(mount, path)| levels(mount, path)),
        })
        .collect();
    page(head, &sections, older.len(), unread)
}
