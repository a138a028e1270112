//! Arguments of `ringfence run`.

use super::streams::StreamArgs;
use crate::command;
use crate::launch::fence::{Capability, SecurityOpt};
use crate::launch::spec::{
    CpuWeight, Cpus, DeviceBps, DeviceIops, EnvVar, HostDir, Hostname, ImageRef, LogOpt, Memory,
    MemorySwap, Name, Net, OomPolicy, PidsLimit, Publish, Restart, Seconds, Spec, StorageOpt,
    TimeOffset, Tmpfs, Ulimit, Unmask, User, Userns, Volume, Workdir,
};
use crate::launch::state::Terms;

/// Start a command in fresh namespaces, within limits, on a throw-away copy of the host's root.
///
/// The exit code is the program's; 128+n where signal n ended it (137 for an OOM kill), 127 where it was
/// not found, 126 where it cannot be executed, and 125 where ringfence itself failed.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Let it go on by itself: `ringfence logs` has what it says, `ps`, `stop`, `exec` and others see to it.
    #[arg(short, long)]
    detach: bool,
    /// With -d: leave no record and no log after its end.
    #[arg(long)]
    rm: bool,
    /// Name of the workload and of its cgroup; random if absent.
    #[arg(short, long)]
    name: Option<Name>,
    /// Use an image as the root file system: an OCI layout, as a directory or a tar archive, or what `docker save` wrote.
    /// Command, environment, user and directory are the image's where they are not given.
    #[arg(long, value_name = "PATH[:TAG]")]
    image: Option<ImageRef>,
    /// Run this program in place of the image's entrypoint; COMMAND is its arguments. Empty for no entrypoint.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Run as this user, by name or number, as the root file system knows them; root if absent.
    #[arg(short, long, value_name = "USER[:GROUP]", allow_hyphen_values = true)]
    user: Option<User>,
    /// Memory limit (memory.max): 512m. Above it, the workload is OOM-killed. Where the host has swap, as much again may be
    /// swapped out.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<Memory>,
    /// Memory throttle (memory.high): above it, allocation is slowed down and memory reclaimed.
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_high: Option<Memory>,
    /// Memory and swap together, as docker counts: twice --memory if absent, equal to it for no swap, -1 for no limit.
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
    /// What an OOM kill of one process does to the others (memory.oom.group): kill ends all, continue lets them go on, as a
    /// database needs it that starts its workers anew.
    #[arg(long, value_name = "kill|continue", default_value_t)]
    oom_policy: OomPolicy,
    /// What each process may have: nofile=1024:4096 (soft and hard), core=0, memlock=-1. May be given more than once. nofile is
    /// 1024:524288 by default, the others are those of who starts it.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Ulimit>,
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
    /// Use this directory as the root file system in place of the host's. Given more than once, the first one is the
    /// lowest of several layers. Writes go to a layer of their own.
    #[arg(long, value_name = "DIR")]
    rootfs: Vec<HostDir>,
    /// Keep the layer that takes the writes in this directory, for the next run with it.
    #[arg(long, value_name = "DIR")]
    layer_dir: Option<HostDir>,
    /// Let nothing be written to the root file system.
    #[arg(long)]
    read_only: bool,
    /// Let at most so much be written to the root file system: size=1g, or size=max. By a project quota where the disk has
    /// them (then 10 GiB is the default), else in memory.
    #[arg(long, value_name = "size=SIZE|max", conflicts_with = "layer_dir")]
    storage_opt: Option<StorageOpt>,
    /// Show a file or directory of the host inside. May be given more than once.
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    volume: Vec<Volume>,
    /// Show what of the host's root is masked: its secrets and what is kept of workloads (`assets/masked.txt`), by path, or
    /// ALL. May be given more than once.
    #[arg(long, value_name = "PATH|ALL")]
    unmask: Vec<Unmask>,
    /// Put a fresh file system in memory there: /tmp:size=64m. May be given more than once.
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<Tmpfs>,
    /// The network: its own with nothing but `lo`, the host's, or its own that reaches the host's through the program pasta
    /// (package passt); the host's loopback is at the gateway's address then.
    #[arg(
        long,
        visible_alias = "network",
        value_name = "none|host|pasta",
        default_value_t
    )]
    net: Net,
    /// With --net pasta: have a port of the host lead to one of the workload's. May be given more than once.
    #[arg(short, long, value_name = "[IP:]HOST:CONTAINER[/udp]")]
    publish: Vec<Publish>,
    /// Whom the users inside are outside: ids that nobody else has, or the same ones, with root inside root outside.
    #[arg(long, value_name = "auto|host", default_value_t)]
    userns: Userns,
    /// Set a clock inside ahead of the host's by so many seconds, or behind: boottime=86400, monotonic=-60. May be given
    /// more than once.
    #[arg(long, value_name = "CLOCK=SECONDS")]
    time_offset: Vec<TimeOffset>,
    #[command(flatten)]
    streams: StreamArgs,
    /// Put a tiny reaper at PID 1 that forwards signals to the program.
    #[arg(long)]
    init: bool,
    /// Give one more capability than docker's default ones: `NET_ADMIN`, or ALL. May be given more than once.
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<Capability>,
    /// Take a default capability away: `NET_RAW`, or ALL. May be given more than once.
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<Capability>,
    /// Filter system calls by another profile, in docker's format (seccomp=FILE), or not at all
    /// (seccomp=unconfined).
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<SecurityOpt>,
    /// All capabilities, no filter of system calls, nothing of /proc and /sys masked or read-only.
    #[arg(long)]
    privileged: bool,
    /// Seconds between TERM and the kill.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t,
        allow_hyphen_values = true
    )]
    stop_timeout: Seconds,
    /// Start it again when it has ended: on-failure also where it was killed, on-failure:3 at most three times. The pause
    /// before is 1 s, and twice as long each time, up to 30 s.
    #[arg(
        long,
        value_name = "no|on-failure[:N]|always",
        default_value_t,
        hide_default_value = true
    )]
    restart: Restart,
    /// With -d: keep so much of what it says: max-size=10m, max-file=3. May be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<LogOpt>,
    /// Run this shell command outside when the workload was OOM-killed, with what is known of it in RINGFENCE_…
    /// variables.
    #[arg(long, value_name = "COMMAND")]
    on_oom: Option<String>,
    /// The program and its arguments. With an image, they take the place of its command, and its entrypoint stays.
    #[arg(
        required_unless_present = "image",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

impl Args {
    pub fn run(self) -> anyhow::Result<u8> {
        let spec = Spec {
            name: self.name,
            image: self.image,
            entrypoint: self.entrypoint,
            user: self.user,
            memory: self.memory,
            memory_high: self.memory_high,
            memory_swap: self.memory_swap,
            cpus: self.cpus,
            cpu_weight: self.cpu_weight,
            pids_limit: self.pids_limit,
            oom_policy: self.oom_policy,
            ulimit: self.ulimit,
            device_read_bps: self.device_read_bps,
            device_write_bps: self.device_write_bps,
            device_read_iops: self.device_read_iops,
            device_write_iops: self.device_write_iops,
            hostname: self.hostname,
            env: self.env,
            workdir: self.workdir,
            rootfs: self.rootfs,
            layer_dir: self.layer_dir,
            read_only: self.read_only,
            storage_opt: self.storage_opt,
            volume: self.volume,
            unmask: self.unmask,
            tmpfs: self.tmpfs,
            net: self.net,
            publish: self.publish,
            userns: self.userns,
            time_offset: self.time_offset,
            tty: self.streams.tty(!self.detach),
            interactive: self.streams.interactive,
            stdio: self.streams.stdio,
            init: self.init,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            security_opt: self.security_opt,
            privileged: self.privileged,
            stop_timeout: self.stop_timeout,
            restart: self.restart,
            log_opt: self.log_opt,
            ..Spec::new(self.command)
        };
        let terms = Terms {
            detached: self.detach,
            keep: self.detach && !self.rm,
            on_oom: self.on_oom,
        };
        command::run::run(spec, terms)
    }
}
