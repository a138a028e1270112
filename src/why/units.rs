//! What systemd says of units that failed: `Result`, and how the main process ended.
//!
//! `oom-kill` comes from the counter of the unit's cgroup (and since 254 also from systemd-oomd's mark). A unit that is
//! started again, or collected, is no longer failed: then the journal is all that there is.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Cause, Death, Findings, Origin, Statement};
use crate::names::local::Names;

/// What is asked of each unit.
const PROPERTIES: &str =
    "Id,Result,ControlGroup,ExecMainCode,ExecMainStatus,InactiveEnterTimestamp";
/// `CLD_EXITED` and `CLD_KILLED`, as `ExecMainCode` has them.
const EXITED: i32 = libc::CLD_EXITED;

/// Asks the manager that runs the host; says nothing where systemd does not.
pub fn read(root: &Path, names: &mut Names) -> Findings {
    if !root.join("run/systemd/system").exists() {
        return Findings::default();
    }
    let output = Command::new("systemctl")
        .args([
            "show",
            "--all",
            "--no-pager",
            "--timestamp=unix",
            "--property",
            PROPERTIES,
        ])
        .args(["*.service", "*.scope"])
        .env("LC_ALL", "C")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return Findings::unread(Origin::Systemd, format!("systemctl: {error}")),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Findings::unread(Origin::Systemd, format!("systemctl: {}", said.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let units = text.split("\n\n");
    units.filter_map(|unit| death(unit, names)).collect()
}

/// `None` of what did not fail.
fn death(properties: &str, names: &mut Names) -> Option<Death> {
    let of = |name: &str| {
        let mut lines = properties.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    };
    let result = of("Result")?;
    // Scopes have no main process.
    let status: Option<i32> = of("ExecMainStatus").and_then(|text| text.parse().ok());
    let exited = of("ExecMainCode").and_then(|text| text.parse().ok()) == Some(EXITED);
    let cause = match result {
        "oom-kill" => Cause::Oom,
        "signal" | "core-dump" => Cause::Signal(status?),
        "exit-code" if exited => Cause::Exit(status?),
        _ => return None,
    };
    let how = if exited { "exit code" } else { "signal" };
    let evidence = Statement {
        source: Origin::Systemd,
        text: match status {
            Some(status) => format!("Result={result}, {how} {status}"),
            None => format!("Result={result}"),
        },
    };
    let at = of("InactiveEnterTimestamp").and_then(moment);
    let death = Death::of_unit(of("Id")?, names, at, cause, evidence);
    Some(Death {
        cgroup: of("ControlGroup")
            .filter(|path| !path.is_empty())
            .map(Into::into),
        ..death
    })
}

/// `@1782907421`
fn moment(text: &str) -> Option<SystemTime> {
    let seconds = text.strip_prefix('@')?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(properties: &str) -> Option<Death> {
        death(properties, &mut Names::new("/nowhere"))
    }

    #[test]
    fn results_of_units() {
        let of = |result: &str, code: i32, status: i32| {
            named(&format!(
                "Result={result}\nExecMainCode={code}\nExecMainStatus={status}\nId=web.service\n\
                 ControlGroup=/system.slice/web.service\nInactiveEnterTimestamp=@1782907421"
            ))
        };
        let killed = of("oom-kill", 2, 9).unwrap();
        assert_eq!(
            (killed.cause.clone(), &*killed.name),
            (Cause::Oom, "web.service")
        );
        assert_eq!(killed.evidence[0].text, "Result=oom-kill, signal 9");
        assert!(killed.is_called("web.service") && killed.is_called("web"));
        assert_eq!(of("signal", 2, 9).unwrap().cause, Cause::Signal(9));
        assert_eq!(of("exit-code", 1, 3).unwrap().cause, Cause::Exit(3));
        assert_eq!(of("success", 1, 0), None);
        assert_eq!(named("Id=x.scope\nResult=success"), None);
        let scope = named("Id=x.scope\nResult=oom-kill").unwrap();
        assert_eq!((scope.cause, scope.at), (Cause::Oom, None));
        assert_eq!(named("garbage"), None);
        assert_eq!(moment("n/a"), None);
    }
}
