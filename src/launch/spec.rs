//! What a user asked for. The same types are read from flags, from TOML and from JSON, so that a bad
//! value is refused in one place, with the same words.

mod value;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::fence::{Capability, SecurityOpt};
use crate::kernel::unit::bad;

pub use value::{
    BadValue, Clock, CpuWeight, Cpus, DeviceBps, DeviceIops, EnvVar, HostDir, Hostname, ImageRef,
    LogOpt, LogRules, Memory, MemorySwap, Name, PidsLimit, Protocol, Publish, Restart, Seconds,
    StorageOpt, TimeOffset, Tmpfs, Ulimit, Unmask, User, Volume, Workdir,
};

/// One workload. Keys are equal to the flags of `ringfence run`; a command is required, or
/// an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Spec {
    /// The name of the workload and of its cgroup; random where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The program and its arguments; those of the image where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The image that the root file system and what is left open come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// The program, in place of the image's entrypoint and command; empty for the command alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// Who runs the program; root where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// `memory.max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// `memory.high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_high: Option<Memory>,
    /// Memory and swap together, as docker counts it: `memory.swap.max` is this less the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<MemorySwap>,
    /// `cpu.max`, in CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// `cpu.weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<CpuWeight>,
    /// `pids.max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<PidsLimit>,
    /// What an OOM kill does to the other processes.
    #[serde(default)]
    pub oom_policy: OomPolicy,
    /// What each process may have: `nofile=1024:4096`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimit: Vec<Ulimit>,
    /// `io.max` `rbps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<DeviceBps>,
    /// `io.max` `wbps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<DeviceBps>,
    /// `io.max` `riops`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<DeviceIops>,
    /// `io.max` `wiops`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<DeviceIops>,
    /// The host name inside; random where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// Environment: `K=V`, or `K` to copy the launcher's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Working directory inside, made if missing; `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<Workdir>,
    /// Layers of the root file system, bottom first, in place of the host's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rootfs: Vec<HostDir>,
    /// Where the layer that takes the writes stays; thrown away where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_dir: Option<HostDir>,
    /// The root file system cannot be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// How much it may write where that is thrown away: `size=1g` or `size=max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_opt: Option<StorageOpt>,
    /// Files and directories of the host that show inside: `SRC:DST[:ro]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume: Vec<Volume>,
    /// What of the host's root shows although it is masked by default: a path, or `ALL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmask: Vec<Unmask>,
    /// Fresh file systems in memory: `DST[:size=64m,mode=1777]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// Which network it has.
    #[serde(default)]
    pub net: Net,
    /// Ports of the host that lead to it: `8080:80`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// Whom the users inside are outside.
    #[serde(default)]
    pub userns: Userns,
    /// Clocks that are ahead of the host's, or behind: `boottime=86400`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_offset: Vec<TimeOffset>,
    /// Give it a terminal of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tty: bool,
    /// Hand on what is typed on a terminal also where its output is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interactive: bool,
    /// What its streams are, where it has no terminal and is in the foreground.
    #[serde(default, skip_serializing_if = "Stdio::is_pipe")]
    pub stdio: Stdio,
    /// Put a tiny reaper at PID 1 that forwards signals to the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// Capabilities besides docker's default ones; `ALL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<Capability>,
    /// Default capabilities to do without; `ALL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<Capability>,
    /// `seccomp=FILE` (a profile in docker's format) or `seccomp=unconfined`; the last one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<SecurityOpt>,
    /// All capabilities, no filter of system calls, nothing of `/proc` and `/sys` masked or read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Grace between TERM and the kill.
    #[serde(default)]
    pub stop_timeout: Seconds,
    /// Whether a workload that ended is started again.
    #[serde(default)]
    pub restart: Restart,
    /// How much of what it says is kept, where it is detached: `max-size=10m`, `max-file=3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_opt: Vec<LogOpt>,
}

/// The network of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Its own, with nothing but `lo`, up.
    #[default]
    None,
    /// The host's: no fence at all.
    Host,
    /// Its own, which reaches the host's through `pasta`.
    Pasta,
}

impl FromStr for Net {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            "pasta" => Ok(Self::Pasta),
            _ => bad(format!(
                "`{text}` is no network; there are none, host and pasta"
            )),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Host => "host",
            Self::Pasta => "pasta",
        })
    }
}

/// What an OOM kill of one process does to the others of its workload; the words are systemd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// They are killed with it: what is left of most programs is half broken.
    #[default]
    Kill,
    /// They go on: a database starts its workers anew.
    Continue,
}

impl FromStr for OomPolicy {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "kill" => Ok(Self::Kill),
            "continue" => Ok(Self::Continue),
            _ => bad(format!(
                "`{text}` is no OOM policy; there are kill and continue"
            )),
        }
    }
}

impl fmt::Display for OomPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Kill => "kill",
            Self::Continue => "continue",
        })
    }
}

/// Whom the users of a workload are outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Userns {
    /// A range of ids that nobody else has, where all file systems can show it.
    #[default]
    Auto,
    /// Themselves: no fence at all.
    Host,
}

impl FromStr for Userns {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "auto" => Ok(Self::Auto),
            "host" => Ok(Self::Host),
            _ => bad(format!(
                "`{text}` is no user namespace; there are auto and host"
            )),
        }
    }
}

impl fmt::Display for Userns {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::Host => "host",
        })
    }
}

/// What a workload in the foreground has as stdin, stdout and stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// Pipes of its own, relayed to the launcher's streams.
    #[default]
    Pipe,
    /// The launcher's: no fence at all.
    Inherit,
}

impl Stdio {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
    fn is_pipe(&self) -> bool {
        *self == Self::Pipe
    }
}

impl FromStr for Stdio {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "pipe" => Ok(Self::Pipe),
            "inherit" => Ok(Self::Inherit),
            _ => bad(format!(
                "`{text}` is nothing for streams; there are pipe and inherit"
            )),
        }
    }
}

impl fmt::Display for Stdio {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pipe => "pipe",
            Self::Inherit => "inherit",
        })
    }
}

impl Spec {
    /// Whether its root file system is the host's.
    pub fn has_hosts_root(&self) -> bool {
        self.rootfs.is_empty() && self.image.is_none()
    }

    /// The same, with the paths of the host from its root on: a supervisor and those who come later are elsewhere.
    #[must_use]
    pub fn with_absolute_paths(mut self) -> Self {
        for dir in self.rootfs.iter_mut().chain(&mut self.layer_dir) {
            dir.make_absolute();
        }
        for volume in &mut self.volume {
            make_absolute(&mut volume.source);
        }
        for option in &mut self.security_opt {
            if let SecurityOpt::Profile(path) = option {
                make_absolute(path);
            }
        }
        if let Some(image) = &mut self.image {
            image.make_absolute();
        }
        self
    }

    /// A workload that is only a command.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: None,
            command: command.into_iter().map(Into::into).collect(),
            image: None,
            entrypoint: None,
            user: None,
            memory: None,
            memory_high: None,
            memory_swap: None,
            cpus: None,
            cpu_weight: None,
            pids_limit: None,
            oom_policy: OomPolicy::default(),
            ulimit: Vec::new(),
            device_read_bps: Vec::new(),
            device_write_bps: Vec::new(),
            device_read_iops: Vec::new(),
            device_write_iops: Vec::new(),
            hostname: None,
            env: Vec::new(),
            workdir: None,
            rootfs: Vec::new(),
            layer_dir: None,
            read_only: false,
            storage_opt: None,
            volume: Vec::new(),
            unmask: Vec::new(),
            tmpfs: Vec::new(),
            net: Net::default(),
            publish: Vec::new(),
            userns: Userns::default(),
            time_offset: Vec::new(),
            tty: false,
            interactive: false,
            stdio: Stdio::default(),
            init: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            security_opt: Vec::new(),
            privileged: false,
            stop_timeout: Seconds::default(),
            restart: Restart::default(),
            log_opt: Vec::new(),
        }
    }
}

/// What cannot be told stays as it is.
fn make_absolute(path: &mut PathBuf) {
    if let Ok(absolute) = std::path::absolute(&*path) {
        *path = absolute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"
        name = "writer"
        command = ["sh", "-c", "echo hi"]
        image = "/srv/image:latest"
        entrypoint = "/bin/sh"
        user = "user:1000"
        memory = "64m"
        memory-high = 50331648
        memory-swap = -1
        cpus = 0.5
        cpu-weight = 200
        pids-limit = 16
        oom-policy = "continue"
        ulimit = ["nofile=1024:4096", "core=0:0"]
        device-read-bps = ["/dev/vda:1m"]
        device-write-iops = ["/dev/vda:100"]
        hostname = "box"
        env = ["A=1", "TERM"]
        workdir = "/srv"
        net = "pasta"
        publish = ["127.0.0.1:8080:80", "53:53/udp"]
        userns = "host"
        time-offset = ["boottime=-1"]
        tty = true
        interactive = true
        stdio = "inherit"
        init = true
        rootfs = ["/srv/base", "/srv/app"]
        layer-dir = "/srv/layer"
        read-only = true
        storage-opt = "size=1048576"
        volume = ["/a:/b:ro"]
        unmask = ["/root", "ALL"]
        tmpfs = ["/t:size=1m"]
        cap-add = ["NET_ADMIN"]
        cap-drop = ["ALL"]
        security-opt = ["seccomp=unconfined"]
        privileged = true
        stop-timeout = 2
        restart = "on-failure:3"
        log-opt = ["max-size=1048576"]
    "#;

    #[test]
    fn a_spec_survives_json() {
        let spec: Spec = toml::from_str(ALL).unwrap();
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(
            serde_json::from_str::<Spec>(&json).unwrap(),
            spec,
            "\n{json}"
        );
        let bare = Spec::new(["true"]);
        let json = serde_json::to_string(&bare).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), bare);
    }

    #[test]
    fn paths_are_made_absolute() {
        let text = r#"
            command = []
            rootfs = ["base", "/srv/app"]
            layer-dir = "layer"
            volume = ["./a:/b:ro"]
            security-opt = ["seccomp=own.json", "seccomp=unconfined"]
            image = "oci:box:latest"
        "#;
        let spec: Spec = toml::from_str(text).unwrap();
        let here = std::env::current_dir().unwrap();
        let text = text
            .replace("\"base", &format!("\"{}/base", here.display()))
            .replace("\"layer\"", &format!("\"{}/layer\"", here.display()))
            .replace("./a", &format!("{}/a", here.display()))
            .replace("own.json", &format!("{}/own.json", here.display()))
            .replace("oci:box", &format!("oci:{}/box", here.display()));
        assert_eq!(
            spec.with_absolute_paths(),
            toml::from_str::<Spec>(&text).unwrap()
        );
    }

    #[test]
    fn a_bad_value_is_pointed_at() {
        for (line, column, text) in [
            (2, 10, "command = [\"a\"]\nmemory = \"0\""),
            (2, 10, "command = [\"a\"]\nmemory = -5"),
            (2, 8, "command = [\"a\"]\ncpus = 0"),
            (2, 1, "command = [\"a\"]\nmemroy = \"1g\""),
        ] {
            let message = toml::from_str::<Spec>(text).unwrap_err().to_string();
            let at = format!("line {line}, column {column}");
            assert!(message.contains(&at), "{message}");
        }
    }
}
