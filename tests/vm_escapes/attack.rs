//! The attacks.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// One attack.
pub struct Attack {
    pub name: &'static str,
    /// What is done inside.
    pub run: fn() -> io::Result<()>,
    pub outside: Outside,
    /// With which flags it works, as they give up what holds it.
    pub opened_by: &'static [&'static str],
}

/// How it is judged.
pub enum Outside {
    /// By whether this differs afterwards.
    State {
        look: fn() -> String,
        restore: fn(&str),
    },
    /// Nothing is seen outside: by whether it succeeded.
    Unseen,
}

impl Attack {
    pub fn look(&self) -> Option<String> {
        match &self.outside {
            Outside::State { look, .. } => Some(look()),
            Outside::Unseen => None,
        }
    }
}

const fn state(look: fn() -> String, restore: fn(&str)) -> Outside {
    Outside::State { look, restore }
}

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const MODPROBE: &str = "/proc/sys/kernel/modprobe";
const LEAF: &str = "/sys/fs/cgroup/ringfence.slice/attacker";
const PORT: u16 = 47_311;
const ABSTRACT: &[u8] = b"ringfence-escapes";

pub const ATTACKS: [Attack; 43] = [
    Attack {
        name: "core_pattern",
        run: || fs::write(PATTERN, "|/root/x.sh"),
        outside: state(|| text(PATTERN), |before| put(PATTERN, before)),
        opened_by: &["all"],
    },
    Attack {
        name: "core_pattern, own proc",
        run: || {
            own("proc")?;
            fs::write("/own-proc/sys/kernel/core_pattern", "|/root/x.sh")
        },
        outside: state(|| text(PATTERN), |before| put(PATTERN, before)),
        opened_by: &["all"],
    },
    Attack {
        name: "modprobe",
        run: || {
            fs::write(MODPROBE, "/root/x.sh").or_else(|_| {
                own("proc")?;
                fs::write("/own-proc/sys/kernel/modprobe", "/root/x.sh")
            })
        },
        outside: state(|| text(MODPROBE), |before| put(MODPROBE, before)),
        opened_by: &["all"],
    },
    Attack {
        name: "sysrq",
        run: || {
            fs::write("/proc/sysrq-trigger", "h").or_else(|_| {
                own("proc")?;
                fs::write("/own-proc/sysrq-trigger", "h")
            })
        },
        outside: state(
            || {
                let log = Command::new("dmesg").output().unwrap().stdout;
                let log = String::from_utf8_lossy(&log).into_owned();
                log.matches("sysrq: HELP").count().to_string()
            },
            |_| (),
        ),
        opened_by: &["all"],
    },
    Attack {
        name: "umount /proc/sys",
        run: || Ok(umount2("/proc/sys", MntFlags::MNT_DETACH)?),
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "umount /proc/keys",
        run: || Ok(umount2("/proc/keys", MntFlags::MNT_DETACH)?),
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "remount /proc/sys",
        run: || remount("/proc/sys"),
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "remount /sys",
        run: || remount("/sys"),
        outside: Outside::Unseen,
        opened_by: &["privileged", "all"],
    },
    Attack {
        name: "remount /dev/null",
        run: || {
            remount("/dev/null")?;
            fs::set_permissions(
                "/dev/null",
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
        },
        outside: state(
            || fs::metadata("/dev/null").unwrap().mode().to_string(),
            |_| {
                fs::set_permissions(
                    "/dev/null",
                    std::os::unix::fs::PermissionsExt::from_mode(0o666),
                )
                .unwrap();
            },
        ),
        opened_by: &["all"],
    },
    Attack {
        name: "mount a new proc",
        run: || own("proc"),
        outside: Outside::Unseen,
        opened_by: &["privileged", "all"],
    },
    Attack {
        name: "mount a new sysfs",
        run: || {
            own("sysfs")?;
            fs::write("/own-sysfs/kernel/uevent_helper", "/root/x.sh")
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "tracefs",
        run: || own("tracefs"),
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "debugfs",
        run: || own("debugfs"),
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "bpffs",
        run: || own("bpf"),
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "binfmt_misc",
        run: || {
            own("binfmt_misc")?;
            fs::write("/own-binfmt_misc/register", ":x:M::EVIL::/root/x.sh:C")
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "release_agent",
        run: || {
            fs::create_dir_all("/own-v1")?;
            mount(
                Some("cgroup"),
                "/own-v1",
                Some("cgroup"),
                MsFlags::empty(),
                Some("memory"),
            )?;
            fs::write("/own-v1/release_agent", "/root/x.sh")
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "own memory.max",
        run: || {
            fs::write("/sys/fs/cgroup/memory.max", "max").or_else(|_| {
                own("cgroup2")?;
                fs::write("/own-cgroup2/memory.max", "max")
            })
        },
        outside: state(|| limit("memory.max"), |_| ()),
        opened_by: &[],
    },
    Attack {
        name: "leave the cgroup",
        run: || {
            fs::write("/sys/fs/cgroup/../cgroup.procs", "0").or_else(|_| {
                own("cgroup2")?;
                fs::write("/own-cgroup2/../cgroup.procs", "0")
            })
        },
        outside: state(
            || (limit("cgroup.procs").lines().count() > 0).to_string(),
            |_| (),
        ),
        opened_by: &[],
    },
    Attack {
        name: "mknod a disk",
        run: || {
            let path = "/own-disk";
            mknod(
                path,
                SFlag::S_IFBLK,
                Mode::from_bits_truncate(0o600),
                makedev(254, 0),
            )?;
            fs::File::open(path).map(drop)
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "mknod mem",
        run: || {
            let path = "/own-mem";
            mknod(
                path,
                SFlag::S_IFCHR,
                Mode::from_bits_truncate(0o600),
                makedev(1, 1),
            )?;
            fs::File::open(path).map(drop)
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "kcore",
        run: || {
            let mut bytes = [0; 64];
            io::Read::read_exact(&mut fs::File::open("/proc/kcore")?, &mut bytes)
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "chroot out",
        run: || {
            fs::create_dir_all("/own-chroot")?;
            let outer = fs::File::open("/")?;
            nix::unistd::chroot("/own-chroot")?;
            nix::unistd::fchdir(&outer)?;
            for _ in 0..64 {
                nix::unistd::chdir("..")?;
            }
            nix::unistd::chroot(".")?;
            fs::write("/root/escaped", "x")
        },
        outside: state(
            || Path::new("/root/escaped").exists().to_string(),
            remove_escaped,
        ),
        opened_by: &[],
    },
    Attack {
        name: "through /proc/1/root",
        run: || fs::write("/proc/1/root/../../../root/escaped", "x"),
        outside: state(
            || Path::new("/root/escaped").exists().to_string(),
            remove_escaped,
        ),
        opened_by: &[],
    },
    Attack {
        name: "setns by a descriptor",
        run: || {
            let mut joined = Err(io::ErrorKind::NotFound.into());
            for entry in fs::read_dir("/proc/self/fd")?.flatten() {
                if let Ok(file) = fs::File::open(entry.path())
                    && setns(&file, CloneFlags::empty()).is_ok()
                {
                    joined = Ok(());
                }
            }
            joined
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "a user namespace within",
        run: || Ok(unshare_in_child(CloneFlags::CLONE_NEWUSER)?),
        outside: Outside::Unseen,
        opened_by: &["sys-admin", "unconfined", "privileged", "all"],
    },
    Attack {
        name: "a mount namespace within",
        run: || Ok(unshare_in_child(CloneFlags::CLONE_NEWNS)?),
        outside: Outside::Unseen,
        opened_by: &["sys-admin", "privileged", "all"],
    },
    Attack {
        name: "bpf",
        run: || call(libc::SYS_bpf, [0, 0, 0, 0, 0]),
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "userfaultfd",
        run: || call(libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "keyctl",
        // KEYCTL_GET_KEYRING_ID of the session.
        run: || call(libc::SYS_keyctl, [0, -3, 1, 0, 0]),
        outside: Outside::Unseen,
        opened_by: &["unconfined", "privileged", "all"],
    },
    Attack {
        name: "io_uring",
        run: || {
            let mut parameters = [0_u64; 15];
            call(
                libc::SYS_io_uring_setup,
                [4, parameters.as_mut_ptr() as i64, 0, 0, 0],
            )
        },
        outside: Outside::Unseen,
        opened_by: &["unconfined", "privileged", "all"],
    },
    Attack {
        name: "perf",
        run: || {
            // A software clock, of the whole machine.
            let mut attributes = [0_u64; 16];
            attributes[0] = 1 | (128 << 32);
            call(
                libc::SYS_perf_event_open,
                [attributes.as_ptr() as i64, -1, 0, -1, 0],
            )
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "open_by_handle_at",
        run: || {
            // The root of the disk that the layers are on.
            let handle: [u8; 16] = [8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
            let root = fs::File::open("/")?;
            call(
                libc::SYS_open_by_handle_at,
                [root.as_raw_fd().into(), handle.as_ptr() as i64, 0, 0, 0],
            )
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "init_module",
        run: || match call(libc::SYS_init_module, [0, 0, 0, 0, 0]) {
            // It would be let in.
            Err(error) if error.raw_os_error() != Some(libc::EPERM) => Ok(()),
            other => other,
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "kexec_load",
        run: || match call(libc::SYS_kexec_load, [0, 99, 0, 0, 0]) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {
                Ok(())
            }
            other => other,
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "kernel log",
        run: || call(libc::SYS_syslog, [10, 0, 0, 0, 0]),
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "clock",
        run: || {
            let later = seconds() + 7200;
            let time = libc::timespec {
                tv_sec: later,
                tv_nsec: 0,
            };
            call(
                libc::SYS_clock_settime,
                [0, (&raw const time) as i64, 0, 0, 0],
            )
        },
        outside: state(hours_at_boot, |before| {
            if hours_at_boot() != before {
                set_back_the_clock();
            }
        }),
        opened_by: &["all"],
    },
    Attack {
        name: "host name",
        run: || Ok(nix::unistd::sethostname("escaped")?),
        outside: state(
            || nix::unistd::gethostname().unwrap().into_string().unwrap(),
            |_| (),
        ),
        opened_by: &[],
    },
    Attack {
        name: "swapoff",
        run: || match call(libc::SYS_swapoff, [c"/none".as_ptr() as i64, 0, 0, 0, 0]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other,
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "raise a hard limit",
        run: || {
            let (_, hard) =
                nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
            Ok(nix::sys::resource::setrlimit(
                nix::sys::resource::Resource::RLIMIT_NOFILE,
                hard,
                hard + 1,
            )?)
        },
        outside: Outside::Unseen,
        opened_by: &["all"],
    },
    Attack {
        name: "trace PID 1's parent",
        run: || {
            // SAFETY: no memory is passed.
            let answer =
                unsafe { libc::ptrace(libc::PTRACE_SEIZE, nix::unistd::getppid().as_raw(), 0, 0) };
            Errno::result(answer).map(drop).map_err(Into::into)
        },
        outside: Outside::Unseen,
        opened_by: &[],
    },
    Attack {
        name: "the host's loopback",
        run: || TcpStream::connect(("127.0.0.1", PORT)).map(drop),
        outside: Outside::Unseen,
        opened_by: &["net-host"],
    },
    Attack {
        name: "an abstract socket",
        run: || UnixStream::connect_addr(&SocketAddr::from_abstract_name(ABSTRACT)?).map(drop),
        outside: Outside::Unseen,
        opened_by: &["net-host"],
    },
    Attack {
        name: "a host's file",
        run: || {
            OpenOptions::new()
                .append(true)
                .open("/etc/passwd")?
                .write_all(b"owned\n")
        },
        outside: state(|| text("/etc/passwd"), |_| ()),
        opened_by: &[],
    },
];

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn put(path: &str, text: &str) {
    fs::write(path, text).unwrap();
}

fn remove_escaped(_: &str) {
    let _ = fs::remove_file("/root/escaped");
}

/// A file of the workload's cgroup, from outside.
fn limit(file: &str) -> String {
    let dir = Path::new(LEAF);
    if !dir.exists() {
        return match file {
            "memory.max" => (64 << 20).to_string() + "\n",
            _ => "0".to_owned(),
        };
    }
    text(&format!("{LEAF}/{file}"))
}

/// Mounts a file system of its own.
fn own(kind: &str) -> io::Result<()> {
    let at = format!("/own-{kind}");
    fs::create_dir_all(&at)?;
    Ok(mount(
        Some(kind),
        &*at,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    )?)
}

fn remount(at: &str) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    Ok(mount(None::<&str>, at, None::<&str>, flags, None::<&str>)?)
}

/// Without becoming another one itself.
fn unshare_in_child(namespaces: CloneFlags) -> nix::Result<()> {
    let (mine, theirs) = nix::unistd::pipe()?;
    // SAFETY: the child calls nothing that allocates.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            let errno = unshare(namespaces).err().map_or(0, |errno| errno as i32);
            let _ = nix::unistd::write(&theirs, &errno.to_ne_bytes());
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            drop(theirs);
            let mut bytes = [0; 4];
            nix::unistd::read(&mine, &mut bytes)?;
            nix::sys::wait::waitpid(child, None)?;
            match i32::from_ne_bytes(bytes) {
                0 => Ok(()),
                errno => Err(Errno::from_raw(errno)),
            }
        }
    }
}

fn call(number: libc::c_long, arguments: [i64; 5]) -> io::Result<()> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: what is pointed at lives in the caller, and is as the call wants it.
    let answer = unsafe { libc::syscall(number, first, second, third, fourth, fifth) };
    Errno::result(answer).map(drop).map_err(Into::into)
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}

fn boot_seconds() -> i64 {
    let uptime = text("/proc/uptime");
    uptime.split('.').next().unwrap().parse().unwrap()
}

/// The time of day when the machine booted: another one once the clock is set.
fn hours_at_boot() -> String {
    ((seconds() - boot_seconds()) / 3600).to_string()
}

fn set_back_the_clock() {
    let time = libc::timespec {
        tv_sec: seconds() - 7200,
        tv_nsec: 0,
    };
    call(
        libc::SYS_clock_settime,
        [0, (&raw const time) as i64, 0, 0, 0],
    )
    .unwrap();
}

/// Types on a terminal in its user's stead.
pub fn type_on(path: &str, keys: &str) -> io::Result<()> {
    let terminal = OpenOptions::new().read(true).open(path)?;
    for key in CString::new(keys)?.as_bytes() {
        // SAFETY: the call reads one byte.
        let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, key) };
        Errno::result(answer)?;
    }
    Ok(())
}

/// Servers on the host's loopback and at an abstract address.
pub struct Loopback(
    #[expect(dead_code, reason = "held open")] TcpListener,
    #[expect(dead_code, reason = "held open")] UnixListener,
);

impl Loopback {
    pub fn listen() -> Self {
        let address = SocketAddr::from_abstract_name(ABSTRACT).unwrap();
        Self(
            TcpListener::bind(("127.0.0.1", PORT)).unwrap(),
            UnixListener::bind_addr(&address).unwrap(),
        )
    }
}
