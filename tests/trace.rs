//! The text of `trace_pipe`, of real kernels (`tests/fixtures/capture_trace.sh` captured it) and of hostile tasks,
//! however it is cut by reading.

#[path = "common/hostile.rs"]
mod hostile;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use ringfence::kernel::cgroup::CgroupId;
use ringfence::kernel::kmsg::OomProcess;
use ringfence::kernel::trace::{Attached, Event, Marked, Parser};
use ringfence::kernel::unit::Bytes;

/// The events of a text that is read so many bytes at a time.
fn events(text: &[u8], piece: usize) -> Vec<Event> {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for piece in text.chunks(piece) {
        parser.take(piece, |event| events.push(event));
    }
    events
}

fn captured(kernel: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(fixtures.join(kernel).join("trace")).unwrap()
}

fn attached(pid: u32, id: u64, path: &str) -> Event {
    Event::Attached(Attached {
        pid,
        cgroup: CgroupId(id),
        path: path.into(),
    })
}

fn victim(micros: u64, pid: u32, comm: &str, anon: u64, file: u64) -> Event {
    Event::Victim(Marked {
        at: Duration::from_micros(micros),
        pid,
        process: Some(OomProcess {
            comm: comm.into(),
            anon_rss: Bytes(anon << 10),
            file_rss: Bytes(file << 10),
            shmem_rss: Bytes(0),
            uid: Some(0),
            oom_score_adj: Some(0),
        }),
    })
}

#[test]
fn two_kills_one_with_a_name_of_two_lines_and_a_group_on_6_12() {
    let expected = [
        attached(190, 62, "/web/leaf"),
        victim(3_210_374, 190, "sh", 8192, 1512),
        attached(191, 97, "/web/b pid=7 comm=x"),
        victim(3_374_273, 191, "a total-vm=1kB", 8128, 1512),
        attached(192, 62, "/web/leaf"),
        victim(3_530_015, 192, "a\nb: c", 8124, 1512),
        attached(193, 132, "/web/group"),
        // The kernel log tells the first one of a group twice.
        victim(3_690_081, 193, "sh", 7816, 1512),
        victim(3_690_954, 194, "sleep", 0, 1264),
        victim(3_691_256, 195, "sleep", 0, 1264),
    ];
    assert_eq!(events(&captured("6.12"), 8192), expected);
}

#[test]
fn the_same_on_6_1() {
    let expected = [
        attached(139, 56, "/web/leaf"),
        victim(3_269_717, 139, "sh", 8148, 1516),
        attached(140, 89, "/web/b pid=7 comm=x"),
        victim(3_430_290, 140, "a total-vm=1kB", 8120, 1516),
        attached(141, 56, "/web/leaf"),
        victim(3_600_495, 141, "a\nb: c", 8120, 1516),
        attached(142, 122, "/web/group"),
        victim(3_759_843, 142, "sh", 7856, 1516),
        victim(3_761_115, 143, "sleep", 4, 0),
        victim(3_761_411, 144, "sleep", 4, 0),
    ];
    assert_eq!(events(&captured("6.1"), 8192), expected);
}

/// Pieces of lines, in any order, besides anything else.
fn hostile(most: usize) -> impl Strategy<Value = Vec<u8>> {
    hostile::pieces(
        &[
            b" pid=1",
            b" comm=",
            b" total-vm=1kB",
            b": mark_victim: ",
            b": cgroup_attach_task: dst_root=0",
            b"CPU:1 [LOST 1 E",
            b"\n",
        ],
        most,
    )
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_text_is_cut(piece in 1_usize..300) {
        let text = captured("6.12");
        prop_assert_eq!(events(&text, piece), events(&text, text.len()));
    }

    #[test]
    fn no_text_makes_it_panic(text in prop::collection::vec(hostile(60), 0..20), piece in 1_usize..100) {
        events(&text.concat(), piece);
    }

    /// A text whose beginning is missing tells what comes then.
    #[test]
    fn a_broken_beginning_costs_one_line(cut in 1_usize..150) {
        let text = captured("6.1");
        let (cut, whole) = (events(&text[cut..], 50), events(&text, 50));
        prop_assert_eq!(&cut[cut.len() - 8..], &whole[2..]);
    }

    /// Whatever the task and the cgroup call themselves, victim and size are the kernel's, and a cgroup is
    /// either the right one or not known.
    #[test]
    fn hostile_names_never_give_a_wrong_pid(
        task in hostile(15),
        comm in hostile(15),
        path in hostile(60),
        pid in 1_u32..4_194_304,
    ) {
        // The kernel takes no line feed in a cgroup's name.
        let path: Vec<u8> = path.into_iter().filter(|&byte| byte != b'\n').collect();
        let text = [
            &task, &b"-5  [000] ...1.  3.4: cgroup_attach_task: dst_root=0 dst_id=62 dst_level=1 dst_path=/"[..],
            &path, format!(" pid={pid} comm=").as_bytes(), &comm, b"\n",
            &task, format!("-5  [000] ...1.  3.400000: mark_victim: pid={pid} comm=").as_bytes(), &comm,
            b" total-vm=9kB anon-rss=4kB file-rss:2kB shmem-rss:1kB uid=0 pgtables=4kB oom_score_adj=-7\n",
        ].concat();
        let mut victims = 0;
        for event in events(&text, 64) {
            match event {
                Event::Attached(attached) => {
                    prop_assert_eq!(attached.pid, pid);
                    prop_assert_eq!(attached.path, format!("/{}", String::from_utf8_lossy(&path)));
                }
                Event::Victim(marked) => {
                    victims += 1;
                    prop_assert_eq!(marked.pid, pid);
                    let process = marked.process.unwrap();
                    prop_assert_eq!(process.comm, String::from_utf8_lossy(&comm));
                    prop_assert_eq!((process.anon_rss, process.oom_score_adj), (Bytes(4096), Some(-7)));
                }
                Event::Lost(_) => prop_assert!(false, "nothing is lost"),
            }
        }
        prop_assert_eq!(victims, 1);
    }
}
