//! Arguments of `ringfence run`.

use crate::command;
use crate::launch::spec::{
    CpuWeight, Cpus, DeviceBps, DeviceIops, EnvVar, Hostname, Memory, MemorySwap, Name, PidsLimit,
    Seconds, Spec, Workdir,
};

/// Start a command in fresh namespaces, within limits, on a throw-away copy of the host's root.
///
/// The exit code is the program's; 128+n where signal n ended it (137 for an OOM kill), 127 where it was
/// not found, 126 where it cannot be executed, and 125 where ringfence itself failed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the workload and of its cgroup; random if absent.
    #[arg(short, long)]
    name: Option<Name>,
    /// Memory limit (memory.max): 512m. Above it, the workload is OOM-killed. Swap is not limited by it.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<Memory>,
    /// Memory throttle (memory.high): above it, allocation is slowed down and memory reclaimed.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_high: Option<Memory>,
    /// Memory and swap together, as docker counts: equal to --memory for no swap, -1 for no limit.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<MemorySwap>,
    /// CPU limit (cpu.max) in CPUs: 1.5.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpus: Option<Cpus>,
    /// Share of the CPU under contention (cpu.weight), 1 to 10000; 100 is everyone's.
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    cpu_weight: Option<CpuWeight>,
    /// Most processes and threads (pids.max); -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<PidsLimit>,
    /// Limit reads from a disk, in bytes per second: /dev/vda:2m. May be given more than once.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_bps: Vec<DeviceBps>,
    /// Limit writes to a disk, in bytes per second. May be given more than once.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<DeviceBps>,
    /// Limit reads from a disk, in operations per second. May be given more than once.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_iops: Vec<DeviceIops>,
    /// Limit writes to a disk, in operations per second. May be given more than once.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_iops: Vec<DeviceIops>,
    /// Host name inside; random if absent.
    #[arg(long)]
    hostname: Option<Hostname>,
    /// Set a variable, or copy one by its bare name. May be given more than once.
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<EnvVar>,
    /// Working directory inside, made if missing.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<Workdir>,
    /// Put a tiny reaper at PID 1 that forwards signals to the program.
    #[arg(long)]
    init: bool,
    /// Seconds between TERM and the kill.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t,
        allow_hyphen_values = true
    )]
    stop_timeout: Seconds,
    /// The program and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        command::run::run(&Spec {
            name: self.name,
            memory: self.memory,
            memory_high: self.memory_high,
            memory_swap: self.memory_swap,
            cpus: self.cpus,
            cpu_weight: self.cpu_weight,
            pids_limit: self.pids_limit,
            device_read_bps: self.device_read_bps,
            device_write_bps: self.device_write_bps,
            device_read_iops: self.device_read_iops,
            device_write_iops: self.device_write_iops,
            hostname: self.hostname,
            env: self.env,
            workdir: self.workdir,
            init: self.init,
            stop_timeout: self.stop_timeout,
            ..Spec::new(self.command)
        })
    }
}
