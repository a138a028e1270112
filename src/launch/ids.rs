//! Whom the users inside are outside.
//!
//! By default the ids 0 to 65535 inside are a range of the host's that nobody else has: root inside is nobody outside. On
//! disk the ids are those inside all the same, in every layer and volume, as the mounts that show them are mapped
//! (idmapped mounts: for an overlay's layers since 5.19, on tmpfs since 6.3). So any range will do, and may be another
//! one at the next start.
//!
//! * The range is one of those that `/etc/subuid` and `/etc/subgid` give to `ringfence` or `containers`, else one from
//!   0x70000000 on, where no distribution puts users. Workloads have different ones, as long as there are any.
//! * Where a layer or a volume cannot be mapped, ids inside are the same outside: root inside owns the host's files, as
//!   far as it sees them, but has no capability outside.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::home::leaf_of;
use super::root::Root;
use super::spec::Userns;
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::host;
use crate::kernel::ids::{IdMaps, user_namespace};

/// So many ids has a workload.
const SIZE: u32 = 0x1_0000;

/// Where ranges are where the system's files give none, up to systemd's own ranges.
///
/// <https://systemd.io/UIDS-GIDS/>
const FIRST: u32 = 0x7000_0000;
const END: u32 = 0x7ffe_0000;

/// The names that the system's files may give ranges to: our own, and podman's for all its containers.
const OWNERS: [&str; 2] = ["ringfence", "containers"];

/// Whom the ids inside are outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Ids {
    /// The first so many are a range of the host's that is nobody's.
    Shifted {
        /// Root's uid outside.
        uid: u32,
        /// Its gid.
        gid: u32,
        /// How many.
        size: u32,
    },
    /// The same ones; root has no capability outside.
    Identity {
        /// Why they are not shifted.
        why: String,
    },
    /// The same ones, without a user namespace: root is root.
    Host,
}

impl Ids {
    /// What a workload of this name has, and where its ids are shifted, a user namespace to map mounts by. `slice` is
    /// the cgroup of all workloads.
    pub fn new(userns: Userns, name: &str, root: &Root, slice: &Path) -> (Self, Option<OwnedFd>) {
        if userns == Userns::Host {
            return (Self::Host, None);
        }
        let proc = Path::new("/proc");
        let (uid, gid) = choose(name, &in_use(proc, slice));
        let shifted = Self::Shifted {
            uid,
            gid,
            size: SIZE,
        };
        match mapping(proc, &IdMaps::shifted(uid, gid, SIZE), root) {
            Ok(mapping) => (shifted, Some(mapping)),
            Err(why) => (Self::Identity { why }, None),
        }
    }

    /// The maps of its user namespace, if it has one.
    pub fn maps(&self) -> crate::kernel::error::Result<Option<IdMaps>> {
        Ok(match *self {
            Self::Shifted { uid, gid, size } => Some(IdMaps::shifted(uid, gid, size)),
            Self::Identity { .. } => Some(IdMaps::identity(Path::new("/proc"))?),
            Self::Host => None,
        })
    }

    /// Root's uid and gid outside, where they are others.
    pub fn root(&self) -> Option<(u32, u32)> {
        match *self {
            Self::Shifted { uid, gid, .. } => Some((uid, gid)),
            Self::Identity { .. } | Self::Host => None,
        }
    }

    /// An owner inside, as it is outside.
    pub fn outside(&self, uid: u32, gid: u32) -> (u32, u32) {
        match *self {
            Self::Shifted { size, .. } => {
                let (users, groups) = self.root().unwrap_or_default();
                // One beyond is nobody's inside.
                let shift = |first: u32, id: u32| if id < size { first + id } else { id };
                (shift(users, uid), shift(groups, gid))
            }
            Self::Identity { .. } | Self::Host => (uid, gid),
        }
    }

    /// What the user should know.
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::Shifted { .. } => None,
            Self::Identity { why } => Some(format!(
                "root inside is uid 0 outside, without its capabilities, as {why}"
            )),
            Self::Host => Some(
                "userns host: root inside is the host's root, with the capabilities that it keeps"
                    .to_owned(),
            ),
        }
    }
}

/// A user namespace with these maps, if all of the root can be shown by it; else why not.
fn mapping(proc: &Path, maps: &IdMaps, root: &Root) -> Result<OwnedFd, String> {
    let own = IdMaps::of_process(proc, "self").map_err(|error| error.to_string())?;
    if !own.hold(maps) {
        return Err("this launcher is in a user namespace itself, with too few ids".to_owned());
    }
    if older(&host::names().1, (5, 19)) {
        return Err("this kernel cannot map the layers of an overlay (Linux 5.19 can)".to_owned());
    }
    let (mapping, _maker) = user_namespace(proc, maps).map_err(|error| error.to_string())?;
    root.try_mapped(mapping.as_fd())?;
    Ok(mapping)
}

/// Whether a kernel's release, `6.1.0-42-amd64`, is older than that.
fn older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release
        .split(|char: char| !char.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next()) < than
}

/// The first uids outside of those that run.
fn in_use(proc: &Path, slice: &Path) -> Vec<u32> {
    let leaves = fs::read_dir(slice).into_iter().flatten().flatten();
    leaves
        .filter_map(|leaf| Cgroup::open(leaf_of(&leaf.path())).ok()?.processes().ok())
        .filter_map(|pids| IdMaps::of_process(proc, &pids.first()?.to_string()).ok())
        .filter_map(|maps| Some(maps.uid.first()?.outside))
        .collect()
}

/// A range by the name of the workload, so that one of the same name mostly has the same: the first uid and gid.
fn choose(name: &str, in_use: &[u32]) -> (u32, u32) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (uids, gids) = (read("/etc/subuid"), read("/etc/subgid"));
    let pool = Pool::of(&uids, &gids);
    pool.choose(name, |uid, gid| {
        let taken = |file: &str, first: u32| {
            pool.is_default
                && ranges(file).any(|(_, other, count)| {
                    other < first.saturating_add(SIZE) && first < other.saturating_add(count)
                })
        };
        !in_use.contains(&uid) && !taken(&uids, uid) && !taken(&gids, gid)
    })
}

/// Ranges to choose from, one behind the other.
#[derive(Debug, PartialEq, Eq)]
struct Pool {
    uid: u32,
    gid: u32,
    ranges: u32,
    /// Nobody has given us these.
    is_default: bool,
}

impl Pool {
    fn of(users: &str, groups: &str) -> Self {
        let given = OWNERS.iter().find_map(|owner| {
            let given = |file| {
                ranges(file)
                    .find(|&(name, _, count)| name == *owner && count >= SIZE)
                    .map(|(_, first, count)| (first, count))
            };
            let ((uid, uids), (gid, gids)) = (given(users)?, given(groups)?);
            Some(Self {
                uid,
                gid,
                ranges: uids.min(gids) / SIZE,
                is_default: false,
            })
        });
        given.unwrap_or(Self {
            uid: FIRST,
            gid: FIRST,
            ranges: (END - FIRST) / SIZE,
            is_default: true,
        })
    }

    /// The range that the name falls on, or the next one that is free; where none is, the former.
    fn choose(&self, name: &str, is_free: impl Fn(u32, u32) -> bool) -> (u32, u32) {
        let range = |number: u32| {
            let offset = number % self.ranges * SIZE;
            (self.uid.wrapping_add(offset), self.gid.wrapping_add(offset))
        };
        let first = hash(name) % self.ranges;
        (0..self.ranges)
            .map(|step| range(first + step))
            .find(|&(uid, gid)| is_free(uid, gid))
            .unwrap_or_else(|| range(first))
    }
}

/// Lines `NAME:FIRST:COUNT`.
fn ranges(file: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    file.lines().filter_map(|line| {
        let mut words = line.trim().split(':');
        let (name, first, count) = (words.next()?, words.next()?, words.next()?);
        Some((name, first.parse().ok()?, count.parse().ok()?))
    })
}

/// FNV-1a: the same in every version of this program.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_that_we_were_given() {
        let users = "user:100000:65536\ncontainers:1000000:131072\n";
        let groups = "containers:3000000:200000\n";
        let pool = Pool::of(users, groups);
        let given = Pool {
            uid: 1_000_000,
            gid: 3_000_000,
            ranges: 2,
            is_default: false,
        };
        assert_eq!(pool, given);
        let first = pool.choose("a", |_, _| true);
        let second = pool.choose("a", |uid, _| uid != first.0);
        let mut both = [first, second];
        both.sort_unstable();
        assert_eq!(both, [(1_000_000, 3_000_000), (1_065_536, 3_065_536)]);
        // There are no more.
        assert_eq!(pool.choose("a", |_, _| false), first);
        let own = "ringfence:5:65536\ncontainers:1000000:131072";
        assert_eq!(Pool::of(own, own).uid, 5);
        // Too few, or no groups.
        assert!(Pool::of("ringfence:5:65535", groups).is_default);
        assert!(Pool::of(users, "").is_default);
    }

    #[test]
    fn a_range_of_no_ones_is_far_from_users() {
        let pool = Pool::of("", "");
        for name in ["", "web", "db", "a-very-long-name-that-goes-on"] {
            let (uid, gid) = pool.choose(name, |_, _| true);
            assert!((FIRST..END).contains(&uid) && uid == gid && uid % SIZE == 0);
        }
        assert_ne!(
            pool.choose("web", |_, _| true),
            pool.choose("db", |_, _| true)
        );
    }

    #[test]
    fn ids_survive_json() {
        let ids = Ids::Shifted {
            uid: FIRST,
            gid: FIRST,
            size: SIZE,
        };
        let json = serde_json::to_string(&ids).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"shifted","uid":1879048192,"gid":1879048192,"size":65536}"#
        );
        assert_eq!(serde_json::from_str::<Ids>(&json).unwrap(), ids);
    }

    #[test]
    fn releases_are_compared_by_number() {
        for (release, is_older) in [
            ("5.19.0", false),
            ("5.18.19-amd64", true),
            ("6.1.0-42-cloud-amd64", false),
            ("5.4-rc1", true),
            ("6", false),
        ] {
            assert_eq!(older(release, (5, 19)), is_older, "{release}");
        }
    }
}
