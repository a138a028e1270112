//! The names systemd gives: units, their escapes, applications and snaps.
//!
//! The rules are those of `systemd.unit(5)` (escapes), systemd's
//! [desktop environments](https://systemd.io/DESKTOP_ENVIRONMENTS/) page (`app-…`), and snapd's and
//! flatpak's own habits.

use std::borrow::Cow;

/// What can end a unit's name and has a cgroup.
const SUFFIXES: [&str; 6] = [".service", ".scope", ".slice", ".mount", ".swap", ".socket"];

/// The stem and the suffix of a unit's name: `("cron", ".service")`.
pub fn unit(name: &str) -> Option<(&str, &'static str)> {
    SUFFIXES.into_iter().find_map(|suffix| {
        let stem = name.strip_suffix(suffix)?;
        (!stem.is_empty()).then_some((stem, suffix))
    })
}

/// Undoes `\x2d`: each becomes the byte it stands for. What is no escape, or would not be UTF-8, stays.
pub fn unescape(name: &str) -> Cow<'_, str> {
    unescape_with(name, None)
}

/// The same for the name of a path, in which `-` stands for `/`: `dev-disk\x2d1` → `/dev/disk-1`.
pub fn unescape_path(name: &str) -> Cow<'_, str> {
    if name == "-" {
        return Cow::Borrowed("/");
    }
    Cow::Owned(format!("/{}", unescape_with(name, Some(b'/'))))
}

fn unescape_with(name: &str, dash: Option<u8>) -> Cow<'_, str> {
    if !name.contains("\\x") && (dash.is_none() || !name.contains('-')) {
        return Cow::Borrowed(name);
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    rest = after;
                } else {
                    bytes.push(b'\\');
                }
            }
            (b'-', _) => bytes.push(dash.unwrap_or(b'-')),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(name), Cow::Owned)
}

/// What people call a unit. `above` is the name of the cgroup it is in: what a slice repeats of it is
/// left out.
pub fn label<'a>(above: &str, name: &'a str) -> Cow<'a, str> {
    // systemd puts a `_` in front of what could be taken for a file of the kernel.
    let name = match name.strip_prefix('_') {
        Some(plain) if unit(plain).is_some() => plain,
        _ => name,
    };
    let Some((stem, suffix)) = unit(name) else {
        return Cow::Borrowed(name);
    };
    match suffix {
        ".mount" | ".swap" => unescape_path(stem),
        ".slice" => {
            if let Some(uid) = user(name) {
                return Cow::Owned(format!("user {uid}"));
            }
            let own = above
                .strip_suffix(".slice")
                .and_then(|above| name.strip_prefix(above)?.strip_prefix('-'));
            unescape(own.filter(|own| *own != ".slice").unwrap_or(name))
        }
        ".scope" => match stem.strip_prefix("session-") {
            Some(session) if is_session(session) => Cow::Owned(format!("session {session}")),
            _ => unescape(name),
        },
        _ => unescape(name),
    }
}

fn is_session(id: &str) -> bool {
    let digits = id.strip_prefix('c').unwrap_or(id);
    is_number(digits)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The uid in `user-1000.slice` or `user@1000.service`.
pub fn user(name: &str) -> Option<u32> {
    name.strip_prefix("user-")
        .and_then(|rest| rest.strip_suffix(".slice"))
        .or_else(|| name.strip_prefix("user@")?.strip_suffix(".service"))
        .filter(|uid| is_number(uid))?
        .parse()
        .ok()
}

/// The application in `app[-LAUNCHER]-ID-RANDOM.scope`, `app[-LAUNCHER]-ID[@RANDOM].service` or
/// `app[-LAUNCHER]-ID.slice`, still escaped, and its launcher.
pub fn app(name: &str) -> Option<(Option<&str>, &str)> {
    let (stem, suffix) = unit(name)?;
    let stem = stem.strip_prefix("app-")?;
    let named = match suffix {
        ".scope" => stem.rsplit_once('-')?.0,
        ".service" => stem.split_once('@').map_or(stem, |(named, _)| named),
        ".slice" => stem,
        _ => return None,
    };
    // In the name itself a `-` is escaped, so that what remains has at most one.
    let (launcher, id) = match named.split_once('-') {
        Some((launcher, id)) => (Some(launcher), id),
        None => (None, named),
    };
    (!id.is_empty()).then_some((launcher, id))
}

/// The application of a flatpak's scope: `app-flatpak-ID-PID.scope`, before 1.12 `flatpak-ID-PID.scope`.
pub fn flatpak(name: &str) -> Option<&str> {
    if let Some((Some("flatpak"), id)) = app(name) {
        return Some(id);
    }
    let (id, pid) = name
        .strip_prefix("flatpak-")?
        .strip_suffix(".scope")?
        .rsplit_once('-')?;
    (!id.is_empty() && is_number(pid)).then_some(id)
}

/// The application of a snap's service or scope: `NAME.APP`, or `NAME` where both are the same.
pub fn snap(name: &str) -> Option<&str> {
    let (stem, _) = unit(name).filter(|(_, suffix)| matches!(*suffix, ".service" | ".scope"))?;
    let stem = stem.strip_prefix("snap.")?;
    let stem = without_uuid(stem);
    let (snap, app) = stem.split_once('.')?;
    match (snap, app) {
        ("", _) | (_, "") => None,
        (snap, app) if snap == app => Some(snap),
        _ => Some(stem),
    }
}

/// A name without the `-UUID` or `.UUID` at its end.
fn without_uuid(name: &str) -> &str {
    const UUID: usize = 36;
    let Some((front, uuid)) = name
        .len()
        .checked_sub(UUID)
        .and_then(|at| name.split_at_checked(at))
    else {
        return name;
    };
    let is_uuid = uuid
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    front
        .strip_suffix(['-', '.'])
        .filter(|_| is_uuid)
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_where_there_are_any() {
        for (escaped, plain) in [
            ("cron", "cron"),
            (r"a\x2db", "a-b"),
            (r"\xc3\xa9t\xc3\xa9", "été"),
            (r"\xff", r"\xff"),
            (r"\x2", r"\x2"),
            (r"\xzz", r"\xzz"),
            ("a-b", "a-b"),
        ] {
            assert_eq!(unescape(escaped), plain);
        }
        assert!(matches!(unescape("a-b"), Cow::Borrowed(_)));
        assert_eq!(unescape_path(r"dev-disk\x2d1"), "/dev/disk-1");
        assert_eq!(unescape_path("-"), "/");
    }

    #[test]
    fn labels_of_units() {
        for (above, name, expected) in [
            ("system.slice", "cron.service", "cron.service"),
            ("system.slice", "system-getty.slice", "getty.slice"),
            (
                "system.slice",
                r"system-systemd\x2dfsck.slice",
                "systemd-fsck.slice",
            ),
            ("system.slice", "systematic.slice", "systematic.slice"),
            ("", "system.slice", "system.slice"),
            ("user.slice", "user-1000.slice", "user 1000"),
            ("user-1000.slice", "user@1000.service", "user@1000.service"),
            ("user-1000.slice", "session-3.scope", "session 3"),
            ("user-1000.slice", "session-c1.scope", "session c1"),
            ("x", "session-manager.scope", "session-manager.scope"),
            ("", "init.scope", "init.scope"),
            ("", "dev-hugepages.mount", "/dev/hugepages"),
            ("", "_cpu.service", "cpu.service"),
            ("", "_odd", "_odd"),
        ] {
            assert_eq!(label(above, name), expected, "{name}");
        }
    }

    #[test]
    fn applications_snaps_and_flatpaks() {
        assert_eq!(
            app("app-gnome-firefox-1234.scope"),
            Some((Some("gnome"), "firefox"))
        );
        assert_eq!(app("app-firefox@12ab.service"), Some((None, "firefox")));
        assert_eq!(app("app-firefox-12.scope"), Some((None, "firefox")));
        assert_eq!(app("app.slice"), None);
        assert_eq!(app("app-.scope"), None);
        assert_eq!(
            flatpak("app-flatpak-org.mozilla.firefox-77.scope"),
            Some("org.mozilla.firefox")
        );
        assert_eq!(
            flatpak("flatpak-org.gimp.GIMP-8.scope"),
            Some("org.gimp.GIMP")
        );
        assert_eq!(flatpak("flatpak-session-helper.service"), None);
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(
            snap(&format!("snap.firefox.firefox-{uuid}.scope")),
            Some("firefox")
        );
        assert_eq!(snap(&format!("snap.jq.jq.{uuid}.scope")), Some("jq"));
        assert_eq!(snap("snap.lxd.daemon.service"), Some("lxd.daemon"));
        assert_eq!(snap("snap..scope"), None);
    }
}
