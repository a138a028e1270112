//! A network of the workload's own that reaches the host's, through `pasta` of the package `passt`: a program of the
//! host's that carries packets between the two, without any right over the host's network.
//!
//! It runs beside the workload, in a cgroup of its own, so that it counts against none of the workload's limits and
//! ends with it, whatever happens.
//!
//! <https://passt.top>

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, geteuid, pipe2, setsid};

use super::error::{Error, Result};
use super::spec::{Net, Protocol, Publish, Spec, Userns};
use crate::kernel::cgroup::tree::Cgroup;
use crate::kernel::error::Error as KernelError;
use crate::kernel::syscall::clone::spawn;
use crate::kernel::syscall::exec::Program;
use crate::kernel::syscall::{close_above_stderr_on_exec, default_action};

const NAME: &str = "pasta";
/// Where it may be besides the launcher's `PATH`.
const DIRS: &str = "/usr/local/bin:/usr/bin:/bin";

/// How to run it; plain data.
#[derive(Debug, Clone)]
pub struct Pasta {
    program: PathBuf,
    ports: Vec<Publish>,
}

impl Pasta {
    /// What a spec asks for, if it does.
    pub fn new(spec: &Spec) -> Result<Option<Self>> {
        if spec.net != Net::Pasta {
            if let Some(port) = spec.publish.first() {
                return Err(Error::refused(format!(
                    "port {port} can lead to a workload only with --net pasta"
                )));
            }
            return Ok(None);
        }
        if spec.userns == Userns::Host {
            return Err(Error::refused(
                "--net pasta needs a user namespace, as it gives up root's rights outside; leave --userns host out",
            ));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(std::env::split_paths(DIRS));
        let found = dirs.map(|dir| dir.join(NAME)).find(|file| file.is_file());
        let Some(program) = found else {
            return Err(Error::refused(
                "--net pasta needs the program pasta, which is not here; type `apt install passt`",
            ));
        };
        Ok(Some(Self {
            program,
            ports: spec.publish.clone(),
        }))
    }

    /// Connects the network namespace of a process that has its user namespace's ids already; the network is there when
    /// this returns. What runs afterwards is in `cgroup`.
    pub fn connect(&self, pid: Pid, cgroup: &Cgroup) -> Result<()> {
        let argv = self.argv(pid);
        let program = Program::new(&argv, &[])
            .map_err(|_| Error::refused("the path of pasta holds a NUL byte"))?;
        let error = |errno| KernelError::new("start", &self.program, errno);
        let (near, far) = pipe2(OFlag::O_CLOEXEC).map_err(error)?;
        let nothing = File::open("/dev/null");
        let nothing = nothing.map_err(|error| KernelError::new("open", "/dev/null", error))?;
        let child = spawn(CloneFlags::empty(), Some(cgroup.as_fd()), |_| {
            let ready = dup2_stdin(&nothing)
                .and_then(|()| dup2_stdout(&far))
                .and_then(|()| dup2_stderr(&far))
                .and_then(|()| setsid().map(drop))
                // It insists on it.
                .and_then(|()| default_action(Signal::SIGPIPE))
                .and_then(|()| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None))
                .and_then(|()| close_above_stderr_on_exec());
            if ready.is_ok() {
                program.exec();
            }
            // As shells do.
            127
        })?;
        drop(far);
        // It goes into the background, and lets go of these, when the network is there.
        let mut said = String::new();
        let _ = File::from(near).read_to_string(&mut said);
        if waitpid(child.pid, None).map_err(error)? == WaitStatus::Exited(child.pid, 0) {
            return Ok(());
        }
        let _ = cgroup.kill();
        let said = words(&said);
        Err(Error::refused(format!("no network: pasta says: {said}")))
    }

    fn argv(&self, pid: Pid) -> Vec<String> {
        let mut argv = vec![self.program.display().to_string()];
        argv.extend(["--quiet", "--config-net"].map(str::to_owned));
        if geteuid().is_root() {
            // Another user could not enter the namespaces. It gives root's powers away by itself.
            argv.extend(["--runas", "0"].map(str::to_owned));
        }
        for (flag, protocol) in [
            ("--tcp-ports", Protocol::Tcp),
            ("--udp-ports", Protocol::Udp),
        ] {
            let ports = self.ports.iter().filter(|port| port.protocol == protocol);
            let ports: Vec<String> = ports.map(listening).collect();
            if ports.is_empty() {
                argv.extend([flag.to_owned(), "none".to_owned()]);
            }
            for port in ports {
                argv.extend([flag.to_owned(), port]);
            }
        }
        // Nothing of what listens on the host's loopback shows on the workload's own.
        argv.extend(["--tcp-ns", "none", "--udp-ns", "none"].map(str::to_owned));
        for (flag, kind) in [("--userns", "user"), ("--netns", "net")] {
            argv.extend([flag.to_owned(), format!("/proc/{pid}/ns/{kind}")]);
        }
        argv
    }
}

/// A port in pasta's words.
fn listening(port: &Publish) -> String {
    let ports = format!("{}:{}", port.host, port.container);
    match port.address {
        Some(address) => format!("{address}/{ports}"),
        None => ports,
    }
}

/// All lines that it said, in one.
fn words(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.join("; ")
}
