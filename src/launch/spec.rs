//! What a user asked for. The same types are read from flags, from TOML and from JSON, so that a bad
//! value is refused in one place, with the same words.

mod value;

use serde::{Deserialize, Serialize};

pub use value::{
    BadValue, CpuWeight, Cpus, DeviceBps, DeviceIops, EnvVar, Hostname, Memory, MemorySwap, Name,
    PidsLimit, Seconds, Workdir,
};

/// One workload. Keys are equal to the flags of `ringfence run`; only the command is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// The name of the workload and of its cgroup; random where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The program and its arguments.
    pub command: Vec<String>,
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
    /// Put a tiny reaper at PID 1 that forwards signals to the program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// Grace between TERM and the kill.
    #[serde(default)]
    pub stop_timeout: Seconds,
    /// Whether a workload that failed is started again.
    #[serde(default)]
    pub restart: Restart,
}

/// Whether a workload that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// When it ended with another exit code than 0, by a signal, or by the OOM killer.
    OnFailure,
}

impl Spec {
    /// A workload that is only a command.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: None,
            command: command.into_iter().map(Into::into).collect(),
            memory: None,
            memory_high: None,
            memory_swap: None,
            cpus: None,
            cpu_weight: None,
            pids_limit: None,
            device_read_bps: Vec::new(),
            device_write_bps: Vec::new(),
            device_read_iops: Vec::new(),
            device_write_iops: Vec::new(),
            hostname: None,
            env: Vec::new(),
            workdir: None,
            init: false,
            stop_timeout: Seconds::default(),
            restart: Restart::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"
        name = "writer"
        command = ["sh", "-c", "echo hi"]
        memory = "64m"
        memory-high = 50331648
        memory-swap = -1
        cpus = 0.5
        cpu-weight = 200
        pids-limit = 16
        device-read-bps = ["/dev/vda:1m"]
        device-write-iops = ["/dev/vda:100"]
        hostname = "box"
        env = ["A=1", "TERM"]
        workdir = "/srv"
        init = true
        stop-timeout = 2
        restart = "on-failure"
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
