//! Suggested limits: words for people, or JSON for programs.

use std::time::Duration;

use super::harmless;
use crate::kernel::unit::Bytes;
use crate::model::advice::Advice;
use crate::text;

/// The lines for people, about what was seen in so long.
pub fn text(advice: &[Advice], lasted: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    if advice.is_empty() {
        lines.push(
            "no workload and no container runs here; name a cgroup to hear about it".to_owned(),
        );
    }
    for advice in advice {
        lines.push(advice.name.clone());
        for suggestion in &advice.suggestions {
            let now = suggestion.now.as_deref().unwrap_or("max");
            let change = format!("{now} → {}", suggestion.to);
            let (knob, reason) = (suggestion.knob, &suggestion.reason);
            lines.push(format!("  {knob:<10} {change:<14} {reason}"));
        }
        let for_memory = advice
            .suggestions
            .iter()
            .any(|one| one.knob == "memory.max");
        if advice.unlimited == Some(true) && !for_memory {
            lines.push("  memory.max no memory limit; what it needs could not be read".to_owned());
        } else if advice.unlimited.is_none() {
            lines.push("  memory.max its memory limit could not be read".to_owned());
        } else if let (false, Some(rate), Some(seconds)) =
            (for_memory, advice.growth, advice.limit_in)
        {
            let rate = text::bytes(Bytes(rate));
            let left = text::time_left(Duration::from_secs(seconds));
            lines.push(format!(
                "  memory.max it grows by {rate} a second and meets its limit in {left}: look for the leak"
            ));
        } else if advice.suggestions.is_empty() {
            let seconds = lasted.as_secs();
            lines.push(format!("  its limits suit what it did in {seconds} s"));
        }
        if advice.suggestions.is_empty() {
            continue;
        }
        let flags: Vec<&str> = advice.suggestions.iter().map(|one| &*one.flag).collect();
        lines.push(format!("  run with   {}", flags.join(" ")));
        lines.extend(set(advice).map(|command| format!("  or now     {command}")));
    }
    lines
        .iter()
        .map(|line| text::sanitise(line).into_owned())
        .collect()
}

/// One object; `None` where it cannot be written.
pub fn json(advice: &Advice) -> Option<String> {
    Some(harmless(&serde_json::to_string(advice).ok()?))
}

/// The command that does it now; `None` where the path cannot be typed.
fn set(advice: &Advice) -> Option<String> {
    let path = advice.cgroup.trim_start_matches('/');
    if path.is_empty() || text::sanitise(path) != path {
        return None;
    }
    let path = shlex::try_quote(path).ok()?;
    let wishes = advice.suggestions.iter();
    let wishes: Vec<String> = wishes
        .map(|one| format!("{}={}", one.knob, one.to))
        .collect();
    Some(format!("ringfence set {path} {}", wishes.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::advice::Suggestion;

    fn example(cgroup: &str) -> Advice {
        Advice {
            cgroup: cgroup.to_owned(),
            name: "we\x1bb".to_owned(),
            unlimited: Some(true),
            working_set: Some(1),
            working_set_p99: None,
            memory_peak: None,
            growth: None,
            limit_in: None,
            cpus: None,
            throttled: None,
            pids: None,
            oom_kills: 0,
            suggestions: vec![Suggestion {
                knob: "memory.max",
                now: None,
                to: "54m".to_owned(),
                flag: "-m 54m".to_owned(),
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
