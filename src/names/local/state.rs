//! The state files of each owner. Lists are read once and again when they have changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::file::{self, Version};
use super::{LONGEST, in_pod};

/// How long a list is taken to be as it was, without looking.
const FRESH: Duration = Duration::from_secs(1);
/// A list that took long to read is not read again for so many times as long, however often it changes.
const REST: u32 = 50;
/// How long a list is kept that nobody asks for.
const UNUSED: Duration = Duration::from_mins(5);
/// The most names of one list. Who is watched writes the first kind, and has at most sixteen of them.
const OF_USER: usize = 2_000;
const OF_SYSTEM: usize = 50_000;
/// Where docker keeps its state, the usual way and as a snap.
const DOCKER: [&str; 2] = ["var/lib/docker", "var/snap/docker/common/var-lib-docker"];
/// Where podman and CRI-O keep theirs, and what is gone after a boot.
const STORAGE: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];
/// The storage drivers; the directory is called after them.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// A user of the host.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    /// Relative to the root.
    home: PathBuf,
}

/// A list of names by id, and when it was read.
#[derive(Debug)]
struct List<T> {
    asked: Instant,
    /// Until then it is taken to be as it was.
    fresh: Instant,
    version: Option<Version>,
    names: HashMap<String, T>,
}

/// The files of one host.
#[derive(Debug)]
pub struct State {
    root: PathBuf,
    lists: HashMap<PathBuf, List<String>>,
    users: HashMap<PathBuf, List<User>>,
}

/// `config.v2.json`, what matters of it.
#[derive(Deserialize)]
struct DockerContainer {
    #[serde(rename = "Name")]
    name: String,
}

/// `daemon.json`, what matters of it.
#[derive(Deserialize)]
struct DockerDaemon {
    #[serde(rename = "data-root")]
    data_root: PathBuf,
}

/// An entry of `containers.json`, what matters of it.
#[derive(Deserialize)]
struct StorageContainer {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

impl State {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            lists: HashMap::new(),
            users: HashMap::new(),
        }
    }

    /// Forgets the lists that nobody asks for any more.
    pub fn forget_unused(&mut self, now: Instant) {
        self.lists
            .retain(|_, list| now.saturating_duration_since(list.asked) < UNUSED);
    }

    /// The name of a docker container: of the system's docker, and of a user's.
    pub fn docker(&mut self, id: &str, uid: Option<u32>, now: Instant) -> Option<String> {
        let user = uid
            .and_then(|uid| self.user(uid, now))
            .map(|user| user.home.join(".local/share/docker"));
        let places = user.into_iter().chain(DOCKER.map(PathBuf::from));
        let name = |place: &Path| {
            let path = self.root.join(place).join("containers").join(id);
            let text = file::read(&path.join("config.v2.json"))?;
            let container: DockerContainer = serde_json::from_slice(&text).ok()?;
            Some(container.name.trim_start_matches('/').to_owned())
        };
        places
            .into_iter()
            .find_map(|place| name(&place))
            .or_else(|| name(&self.data_root()?))
    }

    /// Where the administrator has put docker's state.
    fn data_root(&self) -> Option<PathBuf> {
        let text = file::read_through_links(&self.root.join("etc/docker/daemon.json"))?;
        let daemon: DockerDaemon = serde_json::from_slice(&text).ok()?;
        Some(relative(&daemon.data_root))
    }

    /// The name of a container of podman or CRI-O: of the system's, or of a user's.
    pub fn storage(&mut self, id: &str, uid: Option<u32>, now: Instant) -> Option<String> {
        let user = uid.and_then(|uid| self.user(uid, now)).into_iter();
        let user = user.map(|user| user.home.join(".local/share/containers/storage"));
        let transient = uid.map(|uid| PathBuf::from(format!("run/user/{uid}/containers")));
        let users = user.chain(transient).map(|place| (place, OF_USER));
        let systems = STORAGE.map(|place| (PathBuf::from(place), OF_SYSTEM));
        let places: Vec<_> = users.chain(systems).collect();
        places.iter().find_map(|(place, most)| {
            DRIVERS.iter().find_map(|driver| {
                let directory = self.root.join(place).join(format!("{driver}-containers"));
                ["containers.json", "volatile-containers.json"]
                    .into_iter()
                    .find_map(|file| {
                        let path = directory.join(file);
                        let names = list(&mut self.lists, &path, now, |path| {
                            storage_names(path).into_iter().take(*most)
                        });
                        names.get(id).cloned()
                    })
            })
        })
    }

    /// The name of a container of Kubernetes: from the links to its log.
    pub fn log_link(&mut self, id: &str, now: Instant) -> Option<String> {
        let directory = self.root.join("var/log/containers");
        let names = list(&mut self.lists, &directory, now, |path| {
            file::names(path).filter_map(|name| link_name(&name))
        });
        names.get(id).cloned()
    }

    /// The name of a pod: from the directory of its logs.
    pub fn pod(&mut self, uid: &str, now: Instant) -> Option<String> {
        let directory = self.root.join("var/log/pods");
        let names = list(&mut self.lists, &directory, now, |path| {
            file::names(path).filter_map(|name| {
                let mut fields = name.splitn(3, '_');
                let (namespace, pod) = (fields.next()?, fields.next()?);
                Some((fields.next()?.to_owned(), format!("{namespace}/{pod}")))
            })
        });
        names.get(uid).cloned()
    }

    /// The name of a machine, by its unit or as its unit says.
    pub fn machine(&self, unit: &str, name: &str) -> Option<String> {
        if name.contains('/') || unit.contains('/') {
            return None;
        }
        let directory = self.root.join("run/systemd/machines");
        file::link(&directory.join(format!("unit:{unit}"))).or_else(|| {
            // What ends a line ends the name; an escape such as `\x0a` must not pass for one.
            let text = file::read(&directory.join(name))?;
            let text = String::from_utf8(text).ok()?;
            let own = text.lines().find_map(|line| line.strip_prefix("NAME="));
            Some(own.unwrap_or(name).to_owned())
        })
    }

    /// A user by number.
    pub fn user(&mut self, uid: u32, now: Instant) -> Option<User> {
        let path = self.root.join("etc/passwd");
        let users = list(&mut self.users, &path, now, |path| {
            let text = file::read_through_links(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines().filter_map(user).collect::<Vec<_>>()
        });
        users.get(&uid.to_string()).cloned()
    }
}

/// A list as it is now; read again only where it has changed.
fn list<'a, T, I>(
    lists: &'a mut HashMap<PathBuf, List<T>>,
    path: &Path,
    now: Instant,
    read: impl FnOnce(&Path) -> I,
) -> &'a HashMap<String, T>
where
    I: IntoIterator<Item = (String, T)>,
{
    let old = lists.remove(path);
    let list = match old {
        Some(old) if now < old.fresh => List { asked: now, ..old },
        old => {
            // First the version: what changes while it is read will be read again.
            let version = file::version(path);
            match old {
                Some(old) if old.version == version => List {
                    asked: now,
                    fresh: now + FRESH,
                    ..old
                },
                _ => {
                    let begin = Instant::now();
                    let names = match version {
                        Some(_) => read(path).into_iter().collect(),
                        None => HashMap::new(),
                    };
                    List {
                        asked: now,
                        fresh: now + FRESH.max(begin.elapsed() * REST),
                        version,
                        names,
                    }
                }
            }
        }
    };
    &lists.entry(path.to_owned()).or_insert(list).names
}

fn storage_names(path: &Path) -> Vec<(String, String)> {
    let containers: Option<Vec<StorageContainer>> =
        file::read(path).and_then(|text| serde_json::from_slice(&text).ok());
    containers
        .unwrap_or_default()
        .into_iter()
        .filter_map(|container| Some((container.id, container.names?.into_iter().next()?)))
        .filter(|(id, name)| id.len() <= LONGEST && name.len() <= LONGEST)
        .collect()
}

/// `POD_NAMESPACE_CONTAINER-ID.log`.
fn link_name(link: &str) -> Option<(String, String)> {
    let (front, id) = link.strip_suffix(".log")?.rsplit_once('-')?;
    let mut fields = front.splitn(3, '_');
    let (pod, namespace, container) = (fields.next()?, fields.next()?, fields.next()?);
    Some((id.to_owned(), in_pod(container, namespace, pod)))
}

/// `NAME:PASSWORD:UID:GID:ABOUT:HOME:SHELL`.
fn user(line: &str) -> Option<(String, User)> {
    let mut fields = line.split(':');
    let (name, uid, home) = (fields.next()?, fields.nth(1)?, fields.nth(2)?);
    let user = User {
        name: name.to_owned(),
        home: relative(Path::new(home)),
    };
    Some((uid.to_owned(), user))
}

/// An absolute path as one below the root of a fixture.
fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}
