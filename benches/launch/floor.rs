//! What no launcher can do without, and nothing else, in bare system calls: a leaf with its limits, an overlay of
//! the host's root, seven namespaces, proc, sys, dev, a new root, exec; and at the end all of it removed.
//!
//! No capability is dropped, no system call filtered, nothing masked, no signal or OOM kill watched for.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, mkdir, pipe2, pivot_root, sethostname, setsid, symlinkat};
use ringfence::kernel::syscall::loopback_up;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

const NONE: Option<&str> = None;

/// One program, from nothing to nothing. `leaf` and `scratch` are not there before, and not after.
pub fn run(program: &Path, leaf: &Path, scratch: &Path, limits: &[(&str, &str)]) {
    fs::create_dir(leaf).expect("make the leaf");
    for (file, text) in limits {
        fs::write(leaf.join(file), text).expect("write a limit");
    }
    let [upper, work, root] = ["upper", "work", "root"].map(|name| scratch.join(name));
    for dir in [scratch, &upper, &work, &root] {
        fs::create_dir(dir).expect("make a directory");
    }
    let overlay = overlay(&upper, &work).expect("make the overlay");
    let program = CString::new(program.as_os_str().as_encoded_bytes()).expect("a path");
    let cgroup = File::open(leaf).expect("open the leaf");
    let (go_read, go_write) = pipe2(OFlag::O_CLOEXEC).expect("make a pipe");
    let child = clone3(&cgroup);
    if child == 0 {
        drop(go_write);
        if File::from(go_read).read_exact(&mut [0]).is_ok() && set_up(&overlay, &root).is_ok() {
            let nothing = [std::ptr::null()];
            let argv = [program.as_ptr(), std::ptr::null()];
            // SAFETY: a string and two arrays of strings that end with a null pointer.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), nothing.as_ptr()) };
        }
        // SAFETY: ends this copy of the process without running anything else of it.
        unsafe { libc::_exit(125) };
    }
    drop(go_read);
    for map in ["gid_map", "uid_map"] {
        fs::write(format!("/proc/{child}/{map}"), "0 0 4294967295").expect("map the ids");
    }
    File::from(go_write).write_all(b"g").expect("the word");
    let ended = waitpid(Pid::from_raw(child), None).expect("wait");
    assert_eq!(ended, WaitStatus::Exited(Pid::from_raw(child), 0));
    drop(overlay);
    while fs::remove_dir(leaf).is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY)) {}
    // What the kernel makes in the work directory of a volatile overlay.
    let volatile = scratch.join("work/work/incompat/volatile");
    fs::remove_file(volatile.join("dirty")).expect("remove a file");
    let own = [
        "work/work/incompat/volatile",
        "work/work/incompat",
        "work/work",
    ];
    for dir in own.into_iter().chain(["work", "upper", "root", ""]) {
        fs::remove_dir(scratch.join(dir)).expect("remove a directory");
    }
}

fn overlay(upper: &Path, work: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"lowerdir", c"/")?;
    fsconfig_set_string(&context, c"upperdir", upper)?;
    fsconfig_set_string(&context, c"workdir", work)?;
    fsconfig_set_flag(&context, c"volatile")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// 0 in the child.
fn clone3(cgroup: &File) -> libc::pid_t {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    // SAFETY: plain numbers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(namespaces.bits().cast_unsigned()) | INTO_CGROUP;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    // SAFETY: as fork, in a process with one thread.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    Errno::result(answer)
        .expect("clone3")
        .try_into()
        .expect("a pid")
}

fn set_up(overlay: &OwnedFd, root: &Path) -> nix::Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, private, NONE)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(overlay.as_fd(), c"", rustix::fs::CWD, root, flags)
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    chdir(root)?;
    for kind in ["proc", "sysfs", "cgroup2", "tmpfs"] {
        let at = match kind {
            "proc" => "proc",
            "sysfs" => "sys",
            "cgroup2" => "sys/fs/cgroup",
            _ => "dev",
        };
        mount(Some(kind), at, Some(kind), MsFlags::MS_NOSUID, NONE)?;
    }
    for node in ["null", "zero", "full", "random", "urandom", "tty"] {
        let (host, here) = (format!("/dev/{node}"), format!("dev/{node}"));
        let flags = OFlag::O_CREAT | OFlag::O_CLOEXEC;
        open(&*here, flags, Mode::from_bits_truncate(0o666))?;
        mount(Some(&*host), &*here, NONE, MsFlags::MS_BIND, NONE)?;
    }
    for (at, kind, options) in [
        ("dev/pts", "devpts", Some("newinstance,ptmxmode=0666")),
        ("dev/shm", "tmpfs", None),
        ("dev/mqueue", "mqueue", None),
    ] {
        mkdir(at, Mode::from_bits_truncate(0o755))?;
        mount(Some(kind), at, Some(kind), MsFlags::MS_NOSUID, options)?;
    }
    for (target, at) in [
        ("/proc/self/fd", "dev/fd"),
        ("/proc/self/fd/0", "dev/stdin"),
        ("/proc/self/fd/1", "dev/stdout"),
        ("/proc/self/fd/2", "dev/stderr"),
        ("pts/ptmx", "dev/ptmx"),
    ] {
        symlinkat(target, nix::fcntl::AT_FDCWD, at)?;
    }
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    loopback_up()?;
    sethostname("floor")?;
    setsid()?;
    Ok(())
}
