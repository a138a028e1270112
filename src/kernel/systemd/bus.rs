//! What a launcher asks of systemd: a scope of its own, delegated, and the word that it is there.
//!
//! Four calls and one signal, written out on a plain socket. zbus took as long as `systemd-run`, and of
//! twenty runs three still had a thread of it when it was done, with which this process cannot clone.
//!
//! <https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol>

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Pid, getuid};

use crate::kernel::error::{Error, Result};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const RESULT: u8 = 2;
const FAILURE: u8 = 3;
const SIGNAL: u8 = 4;

/// The socket of the system's bus, `None` where no systemd runs or has one.
pub fn socket() -> Option<PathBuf> {
    let socket = Path::new("/run/dbus/system_bus_socket");
    (Path::new("/run/systemd/system").is_dir() && socket.exists()).then(|| socket.to_owned())
}

/// Has the manager put a process in a new scope whose cgroup it leaves alone, and waits until that is so.
/// `slice` is the unit that the scope is in.
pub fn delegated_scope(socket: &Path, unit: &str, slice: &str, process: Pid) -> Result<()> {
    ask(socket, unit, slice, process)
        .map_err(|error| Error::new("have a scope made through", socket, error))
}

fn ask(socket: &Path, unit: &str, slice: &str, process: Pid) -> io::Result<()> {
    let mut bus = Bus::connect(socket)?;
    let daemon = ["org.freedesktop.DBus", "/org/freedesktop/DBus"];
    let rule = format!("type='signal',interface='{MANAGER}',member='JobRemoved'");
    let mut match_rule = Body::default();
    match_rule.string(&rule);
    let manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1"];
    // Sent in one go: the answers come in the same order.
    bus.call(daemon, daemon[0], "Hello", "", &Body::default())?;
    bus.call(daemon, daemon[0], "AddMatch", "s", &match_rule)?;
    bus.call(manager, MANAGER, "Subscribe", "", &Body::default())?;
    let start = transient_scope(unit, slice, process);
    let asked = bus.call(
        manager,
        MANAGER,
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        &start,
    )?;
    let mut removed = Vec::new();
    let mut job = None;
    loop {
        let message = bus.next()?;
        match message.kind {
            FAILURE => return Err(io::Error::other(message.body().string()?)),
            RESULT if message.answers == asked => job = Some(message.body().string()?),
            // `uoss`: number, job, unit, how it ended.
            SIGNAL if message.member == "JobRemoved" => {
                let mut body = message.body();
                body.number()?;
                removed.push((body.string()?, body.string()?, body.string()?));
            }
            _ => {}
        }
        let ended = removed.iter().find(|(path, ..)| Some(path) == job.as_ref());
        match ended {
            Some((.., result)) if result == "done" => return Ok(()),
            Some((.., result)) => return Err(io::Error::other(format!("{unit}: {result}"))),
            None => {}
        }
    }
}

/// The arguments of `StartTransientUnit`, by which systemd moves the process.
fn transient_scope(unit: &str, slice: &str, process: Pid) -> Body {
    let mut body = Body::default();
    body.string(unit);
    body.string("fail");
    body.array(8, |properties| {
        properties.property("Description", "s", |value| {
            value.string("a workload of ringfence");
        });
        properties.property("Delegate", "b", |value| value.number(1));
        // The limits are the workload's own.
        properties.property("TasksMax", "t", |value| value.long(u64::MAX));
        properties.property("CollectMode", "s", |value| {
            value.string("inactive-or-failed");
        });
        properties.property("Slice", "s", |value| value.string(slice));
        properties.property("PIDs", "au", |value| {
            value.array(4, |pids| pids.number(process.as_raw().cast_unsigned()));
        });
    });
    body.array(8, |_| {});
    body
}

/// A connection.
struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    fn connect(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let uid = getuid().to_string();
        let digits = uid.bytes().map(|byte| format!("{byte:02x}"));
        let hex: String = digits.collect();
        write!(stream, "\0AUTH EXTERNAL {hex}\r\n")?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        stream.write_all(b"BEGIN\r\n")?;
        Ok(Self { stream, serial: 0 })
    }

    /// Calls a method of an object, and gives the number that the answer will have.
    fn call(
        &mut self,
        [destination, path]: [&str; 2],
        interface: &str,
        member: &str,
        signature: &str,
        body: &Body,
    ) -> io::Result<u32> {
        self.serial += 1;
        let mut message = Body(vec![b'l', 1, 0, 1]);
        message.number(u32::try_from(body.0.len()).unwrap_or(u32::MAX));
        message.number(self.serial);
        message.array(8, |fields| {
            for (code, kind, text) in [
                (1, "o", path),
                (2, "s", interface),
                (3, "s", member),
                (6, "s", destination),
                (8, "g", signature),
            ] {
                if text.is_empty() {
                    continue;
                }
                fields.align(8);
                fields.0.push(code);
                fields.signature(kind);
                if kind == "g" {
                    fields.signature(text);
                } else {
                    fields.string(text);
                }
            }
        });
        message.align(8);
        message.0.extend_from_slice(&body.0);
        self.stream.write_all(&message.0)?;
        Ok(self.serial)
    }

    fn next(&mut self) -> io::Result<Message> {
        let mut fixed = [0; 16];
        self.stream.read_exact(&mut fixed)?;
        let mut head = Reader::new(&fixed);
        head.skip(4);
        let body = head.length()?;
        head.number()?;
        let fields = head.length()?;
        let padded = fields.next_multiple_of(8);
        if fixed[0] != b'l' || padded + body > 1 << 20 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; padded + body];
        self.stream.read_exact(&mut rest)?;
        let mut message = Message {
            kind: fixed[1],
            answers: 0,
            member: String::new(),
            body: rest.split_off(padded),
        };
        let mut reader = Reader::new(&rest[..fields]);
        while reader.align(8) < fields {
            let code = reader.byte()?;
            match &*reader.signature()? {
                "u" if code == 5 => message.answers = reader.number()?,
                "s" if code == 3 => message.member = reader.string()?,
                "u" => drop(reader.number()?),
                "s" | "o" => drop(reader.string()?),
                "g" => drop(reader.signature()?),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        Ok(message)
    }
}

/// What came.
struct Message {
    kind: u8,
    /// The number of the call that it answers.
    answers: u32,
    member: String,
    body: Vec<u8>,
}

impl Message {
    fn body(&self) -> Reader<'_> {
        Reader::new(&self.body)
    }
}

/// Values one behind the other, each where its kind may begin, counted from the beginning of the message. (A body begins
/// at a multiple of eight.)
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn long(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    /// An array of what begins at multiples of `align`: its length in bytes, and its elements.
    fn array(&mut self, align: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len();
        self.align(align);
        let start = self.0.len();
        fill(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[at - 4..at].copy_from_slice(&length.to_le_bytes());
    }

    /// `(sv)`
    fn property(&mut self, name: &str, kind: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(name);
        self.signature(kind);
        value(self);
    }
}

/// Reads the same again.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    fn align(&mut self, to: usize) -> usize {
        self.at = self.at.next_multiple_of(to);
        self.at
    }

    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end);
        self.at = end;
        taken.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> io::Result<u32> {
        self.align(4);
        let bytes = self.take(4)?.try_into();
        Ok(u32::from_le_bytes(bytes.unwrap_or_default()))
    }

    fn length(&mut self) -> io::Result<usize> {
        Ok(usize::try_from(self.number()?).unwrap_or(usize::MAX))
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.length()?;
        self.text(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.byte()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let text = self.take(length)?;
        self.skip(1);
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_where_their_kind_may() {
        let mut body = Body::default();
        body.string("a");
        body.array(8, |array| array.property("b", "t", |value| value.long(3)));
        let bytes = [
            &[1, 0, 0, 0, b'a', 0, 0, 0][..],
            // The length counts neither itself nor what aligns the first one.
            &[24, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'b', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(body.0, bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.string().unwrap(), "a");
        assert_eq!(reader.number().unwrap(), 24);
        reader.align(8);
        assert_eq!(reader.string().unwrap(), "b");
        assert_eq!(reader.signature().unwrap(), "t");
        reader.align(8);
        assert_eq!(reader.number().unwrap(), 3);
        reader.skip(4);
        assert!(reader.byte().is_err());
    }
}
