//! Suggested limits: words for people, JSON for programs, and lines for the files of systemd and compose.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::harmless;
use crate::kernel::cgroup::knob::KnobValue;
use crate::kernel::systemd::{self, Unit};
use crate::kernel::unit::Bytes;
use crate::model::advice::{Advice, Amount, Suggestion};
use crate::text;

/// The lines for people, about what was seen in so long.
pub fn text(advice: &[Advice], lasted: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    if advice.is_empty() {
        lines.push(NOBODY.to_owned());
    }
    for advice in advice {
        lines.push(advice.name.clone());
        for Suggestion { now, to, reason } in &advice.suggestions {
            let now = now.map_or_else(|| "max".to_owned(), |now| now.to_string());
            let change = format!("{now} → {to}");
            lines.push(format!("  {:<10} {change:<14} {reason}", to.knob().name()));
        }
        lines.extend(remark(advice, lasted).map(|remark| format!("  {remark}")));
        if advice.suggestions.is_empty() {
            continue;
        }
        let flags: Vec<String> = advice.suggestions.iter().map(|one| flag(one.to)).collect();
        lines.push(format!("  run with   {}", flags.join(" ")));
        lines.extend(set(advice).map(|command| format!("  or now     {command}")));
    }
    sanitised(&lines)
}

/// Where there is nothing to advise.
const NOBODY: &str = "no workload and no container runs here; name a cgroup to hear about it";

fn sanitised(lines: &[String]) -> Vec<String> {
    let lines = lines.iter().map(|line| text::sanitise(line));
    lines.map(Cow::into_owned).collect()
}

/// What there is to say besides suggestions.
fn remark(advice: &Advice, lasted: Duration) -> Option<String> {
    let is_memory = |one: &Suggestion| matches!(one.to, Amount::Memory(_));
    if advice.suggestions.iter().any(is_memory) {
        return None;
    }
    Some(match (advice.unlimited, advice.growth, advice.limit_in) {
        (Some(true), ..) => "no memory limit; what it needs could not be read".to_owned(),
        (None, ..) => "its memory limit could not be read".to_owned(),
        (_, Some(rate), Some(seconds)) => {
            let rate = text::bytes(Bytes(rate));
            let left = text::time_left(Duration::from_secs(seconds));
            format!("it grows by {rate} a second and meets its limit in {left}: look for the leak")
        }
        _ if advice.suggestions.is_empty() => {
            format!("its limits suit what it did in {} s", lasted.as_secs())
        }
        _ => return None,
    })
}

/// For `ringfence run`.
fn flag(to: Amount) -> String {
    match to {
        Amount::Memory(_) => format!("-m {to}"),
        Amount::Cpus(cpus) => format!("--cpus {cpus}"),
        Amount::Pids(_) => format!("--pids-limit {to}"),
    }
}

/// One object; `None` where it cannot be written.
pub fn json(advice: &Advice) -> Option<String> {
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(flatten)]
        advice: &'a Advice,
        suggestions: Vec<Suggested<'a>>,
    }
    #[derive(Serialize)]
    struct Suggested<'a> {
        knob: &'static str,
        now: Option<String>,
        to: String,
        flag: String,
        reason: &'a str,
    }
    let suggestions = advice.suggestions.iter().map(|one| Suggested {
        knob: one.to.knob().name(),
        now: one.now.map(|now| now.to_string()),
        to: one.to.to_string(),
        flag: flag(one.to),
        reason: &one.reason,
    });
    super::json(&Object {
        advice,
        suggestions: suggestions.collect(),
    })
}

/// Drop-ins for systemd, each below the file that it belongs in. `unit_of` finds a cgroup's unit.
pub fn systemd(
    advice: &[Advice],
    lasted: Duration,
    unit_of: impl Fn(&Advice) -> Option<Unit>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for advice in advice {
        let name = &advice.name;
        lines.extend(remark(advice, lasted).map(|remark| format!("# {name}: {remark}")));
        if advice.suggestions.is_empty() {
            continue;
        }
        // A scope is made anew by whoever starts what is in it.
        let unit = unit_of(advice).filter(|unit| unit.kind() != "scope");
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(match &unit {
            Some(unit) => {
                let user = if unit.of_user.is_some() {
                    " --user"
                } else {
                    ""
                };
                format!("# {}, then: systemctl{user} daemon-reload", unit.drop_in())
            }
            None => format!("# {name} has no unit that lasts: for the one that is to start it"),
        });
        let kind = unit.as_ref().map_or("service", Unit::kind);
        let (first, rest) = kind.split_at(1);
        lines.push(format!("[{}{rest}]", first.to_uppercase()));
        for Suggestion { to, reason, .. } in &advice.suggestions {
            lines.push(format!("# {reason}"));
            if let Ok(value) = KnobValue::from_words(to.knob(), &to.to_string()) {
                lines.extend(systemd::properties(to.knob().into(), &value));
            }
        }
    }
    sanitised(&or_nobody(lines))
}

/// Services of a compose file.
pub fn compose(advice: &[Advice], lasted: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    for advice in advice {
        let remark = remark(advice, lasted);
        lines.extend(remark.map(|remark| format!("  # {}: {remark}", advice.name)));
        if advice.suggestions.is_empty() {
            continue;
        }
        // As a string of JSON, which is one of YAML, whatever it is called.
        let name = serde_json::to_string(&advice.name).unwrap_or_default();
        lines.push(format!("  {}:", harmless(&name)));
        for Suggestion { to, reason, .. } in &advice.suggestions {
            lines.push(format!("    # {reason}"));
            lines.push(match to {
                Amount::Memory(_) => format!("    mem_limit: {to}"),
                Amount::Cpus(cpus) => format!("    cpus: {cpus}"),
                Amount::Pids(_) => format!("    pids_limit: {to}"),
            });
        }
    }
    if lines.iter().any(|line| !line.trim_start().starts_with('#')) {
        lines.insert(0, "services:".to_owned());
    }
    sanitised(&or_nobody(lines))
}

fn or_nobody(mut lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        lines.push(format!("# {NOBODY}"));
    }
    lines
}

/// The command that does it now; `None` where the path cannot be typed.
fn set(advice: &Advice) -> Option<String> {
    let path = advice.cgroup.trim_start_matches('/');
    if path.is_empty() || text::sanitise(path) != path {
        return None;
    }
    let path = shlex::try_quote(path).ok()?;
    let changes = advice.suggestions.iter().map(|one| one.to);
    let changes: Vec<String> = changes
        .map(|to| format!("{}={to}", to.knob().name()))
        .collect();
    Some(format!("ringfence set {path} {}", changes.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(cgroup: &str) -> Advice {
        Advice {
            cgroup: cgroup.to_owned(),
            name: "we\x1bb".to_owned(),
            unlimited: Some(true),
            unreclaimable: Some(1),
            unreclaimable_p99: None,
            working_set: None,
            memory_peak: None,
            growth: None,
            limit_in: None,
            cpus: None,
            throttled: None,
            pids: None,
            oom_kills: 0,
            suggestions: vec![Suggestion {
                now: None,
                to: Amount::Memory(Bytes(54 << 20)),
                reason: "no memory limit".to_owned(),
            }],
        }
    }

    #[test]
    fn it_can_be_pasted_whatever_the_path_is_called() {
        let lines = text(&[example("/a b/$(x)")], Duration::from_secs(9));
        assert_eq!(
            lines,
            [
                "we\\u{1b}b",
                "  memory.max max → 54m      no memory limit",
                "  run with   -m 54m",
                "  or now     ringfence set 'a b/$(x)' memory.max=54m",
            ]
        );
        // What is not as it looks is not offered.
        assert_eq!(text(&[example("/a\u{202e}b")], Duration::ZERO).len(), 3);
        assert!(
            !json(&example("/a\u{202e}b"))
                .unwrap()
                .contains(['\u{202e}', '\x1b'])
        );
    }

    #[test]
    fn who_has_what_suits_is_told_so() {
        let says = |unlimited| {
            let advice = Advice {
                unlimited,
                suggestions: Vec::new(),
                ..example("/a")
            };
            text(&[advice], Duration::from_secs(9)).pop().unwrap()
        };
        assert_eq!(says(Some(false)), "  its limits suit what it did in 9 s");
        // Who has no limit is named whatever else is known, and what is not known is no limit of no size.
        assert!(says(Some(true)).contains("no memory limit"));
        assert!(says(None).contains("could not be read"));
        assert!(text(&[], Duration::ZERO)[0].starts_with("no workload"));
    }
}
