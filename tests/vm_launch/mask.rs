//! What of the host's root does not show inside.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::support::{Host, mount};

/// Secrets on the host, for as long as this lives; what was there before is there again then.
struct Secrets(Vec<(&'static str, Option<Vec<u8>>)>);

const SECRETS: [&str; 5] = [
    "/etc/shadow",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/wireguard/wg0.conf",
    "/home/me/.ssh/id_rsa",
    "/root/.netrc",
];

impl Secrets {
    fn make() -> Self {
        let made = SECRETS.map(|path| {
            let before = fs::read(path).ok();
            fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
            fs::write(path, "secret\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            (path, before)
        });
        fs::write("/etc/ssh/ssh_host_rsa_key.pub", "public\n").unwrap();
        fs::set_permissions("/etc/ssh", fs::Permissions::from_mode(0o751)).unwrap();
        Self(made.into())
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            let _ = match before {
                Some(text) => fs::write(path, text),
                None => fs::remove_file(path),
            };
        }
        for made in ["/etc/wireguard", "/etc/ssh", "/home/me"] {
            let _ = fs::remove_dir_all(made);
        }
    }
}

/// All that can be read.
fn show() -> String {
    format!("cat {} 2>/dev/null; true", SECRETS.join(" "))
}

#[test]
fn secrets_of_the_hosts_root_do_not_show_unless_asked_for() {
    let host = Host::new();
    let _secrets = Secrets::make();
    for flags in [
        &[][..],
        &["--userns", "host"],
        &["--privileged"],
        &["--privileged", "--userns", "host"],
    ] {
        assert_eq!(host.sh(flags, &show()).stdout, "", "{flags:?}");
    }
    // What is beside them is as it is on the host.
    let script = "cat /etc/ssh/ssh_host_rsa_key.pub; stat -c '%a %u' /etc/ssh /etc/shadow /root /home/me; ls -A /root | wc -l";
    let root = fs::metadata("/root").unwrap().mode() & 0o7777;
    assert_eq!(
        host.sh(&[], script).ok(),
        format!("public\n751 0\n600 0\n{root:o} 0\n755 0\n0")
    );
    for (path, shown) in [
        ("/etc/shadow", 1),
        ("/etc", 3),
        ("/root", 1),
        ("/home/me/.ssh", 1),
        ("ALL", 5),
    ] {
        let done = host.sh(&["--unmask", path], &show());
        assert_eq!(done.stdout.lines().count(), shown, "{path}: {done:?}");
    }
    host.run(&["--unmask", "/etc/passwd"], &["true"])
        .fails(125, &["/etc/passwd is not masked"]);
    host.run(&["--unmask", "/root/.netrc"], &["true"])
        .fails(125, &["write --unmask /root"]);
    host.run(&[], &["/root/none"]).fails(
        127,
        &["/root of the host is masked; --unmask /root shows it"],
    );
}

#[test]
fn masked_places_can_be_used_and_nothing_of_that_reaches_the_host() {
    let host = Host::new();
    let _secrets = Secrets::make();
    let script = "echo own >/root/.netrc && echo own >/etc/shadow && mkdir -p /home/me/.ssh && echo own >/home/me/.ssh/id_rsa; \
                  cat /root/.netrc /etc/shadow /home/me/.ssh/id_rsa; rm /etc/shadow; ls /etc/shadow";
    let done = host.sh(&["--init"], script);
    assert_eq!(done.stdout, "own\nown\nown\n", "{done:?}");
    assert!(
        done.stderr.contains("/etc/shadow: No such file"),
        "{done:?}"
    );
    for path in SECRETS {
        assert_eq!(fs::read_to_string(path).unwrap(), "secret\n");
    }
    // What is kept of it stays masked by default, and shows when that is asked for.
    let layer = tempfile::tempdir_in("/root").unwrap();
    let keep = ["--layer-dir", layer.path().to_str().unwrap()];
    host.sh(&keep, "echo more >>/etc/motd").ok();
    assert_eq!(host.sh(&keep, &show()).stdout, "");
    let unmasked = [&keep[..], &["--unmask", "ALL"]].concat();
    assert_eq!(host.sh(&unmasked, &show()).stdout.lines().count(), 5);
}

#[test]
fn workloads_do_not_see_each_others_writes() {
    let host = Host::new();
    let writer = host.start(
        "writer",
        &[],
        "echo private >/note; echo written; exec sleep 99",
    );
    let script = "find /var/lib/ringfence /run/ringfence 2>/dev/null | grep -c note; true";
    for flags in [&[][..], &["--userns", "host"], &["--privileged"]] {
        assert_eq!(host.sh(flags, script).stdout, "0\n", "{flags:?}");
    }
    assert_ne!(
        host.sh(&["--unmask", "/var/lib/ringfence"], script).stdout,
        "0\n"
    );
    writer.kill();
}

#[test]
fn secrets_on_a_disk_beneath_are_masked_too() {
    let host = Host::new();
    let _secrets = Secrets::make();
    let made = std::process::Command::new("mke2fs")
        .arg("/dev/vdb1")
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let disk = mount(&["-t", "ext4", "/dev/vdb1", "/home"]);
    fs::create_dir_all("/home/me/.ssh").unwrap();
    fs::write("/home/me/.ssh/id_rsa", "secret\n").unwrap();
    fs::write("/home/me/plain", "plain\n").unwrap();
    let script = "cat /home/me/plain; cat /home/me/.ssh/id_rsa; ls -A /home/me/.ssh | wc -l";
    let done = host.sh(&[], script);
    assert_eq!(done.stdout, "plain\n0\n", "{done:?}");
    let done = host.sh(&["--unmask", "/home/me/.ssh"], script);
    assert_eq!(done.stdout, "plain\nsecret\n1\n", "{done:?}");
    // What is asked for shows, also where it is masked.
    let done = host.sh(&["-v", "/home/me/.ssh:/home/me/.ssh:ro"], script);
    assert_eq!(done.stdout, "plain\nsecret\n1\n", "{done:?}");
    drop(disk);
}

#[test]
fn only_what_is_masked_is_said_to_be() {
    let host = Host::new();
    for flags in [
        ["--unmask", "ALL"],
        ["--unmask", "/root"],
        ["--rootfs", "/"],
    ] {
        let done = host.run(&flags, &["/root/none"]);
        let told = done.fails(127, &["/root/none: not found"]);
        assert!(!told.contains("masked"), "{told}");
    }
}

#[test]
fn another_root_has_nothing_to_unmask() {
    let host = Host::new();
    host.run(&["--rootfs", "/", "--unmask", "ALL"], &["true"])
        .fails(125, &["unmask is about the host's root"]);
}
