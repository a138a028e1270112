//! Values of knobs: what people write, what the kernel is told, and back again.

use proptest::prelude::*;
use ringfence::kernel::cgroup::knob::{Address, Kind, Knob, KnobValue, Wanted, Wish};
use ringfence::kernel::cpu::CpuMax;
use ringfence::kernel::cpuset::CpuList;
use ringfence::kernel::io::{Device, IoMax};
use ringfence::kernel::pids;
use ringfence::kernel::unit::{Bytes, Limit, Micros, Weight};

const DISK: Device = Device {
    major: 254,
    minor: 0,
};

fn limit<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Limit<T>> {
    prop_oneof![Just(Limit::Max), value.prop_map(Limit::At)]
}

fn any_weight() -> impl Strategy<Value = Weight> {
    (1u16..=10_000).prop_map(|weight| Weight::new(weight).unwrap())
}

/// Any value of any knob, where it is.
fn any_value() -> impl Strategy<Value = (Address, KnobValue)> {
    prop::sample::select(Knob::ALL.to_vec()).prop_flat_map(|knob| {
        let at = Address::from(knob);
        let on_disk = Address {
            knob,
            device: Some(DISK),
        };
        let rate = || limit(1..=u64::from(u32::MAX));
        match knob.entry().kind {
            Kind::Size => limit(0..=u64::MAX >> 1)
                .prop_map(move |size| (at, KnobValue::Size(size.map(Bytes))))
                .boxed(),
            Kind::Switch => any::<bool>()
                .prop_map(move |on| (at, KnobValue::Switch(on)))
                .boxed(),
            Kind::CpuTime => (limit(1000u64..1 << 44), 1000u64..=1_000_000)
                .prop_map(move |(quota, period)| {
                    let quota = quota.map(Micros);
                    let period = Micros(period);
                    (at, KnobValue::CpuMax(CpuMax { quota, period }))
                })
                .boxed(),
            Kind::Weight => any_weight()
                .prop_map(move |weight| (at, KnobValue::Weight(Some(weight))))
                .boxed(),
            Kind::CpuList => "[0-9]{1,3}(,[0-9]{1,3}){0,5}|"
                .prop_map(move |list| (at, KnobValue::Cpus(list.parse::<CpuList>().unwrap())))
                .boxed(),
            Kind::DeviceRates => (rate(), rate(), rate(), rate())
                .prop_map(move |(rbps, wbps, riops, wiops)| {
                    let max = IoMax {
                        rbps,
                        wbps,
                        riops,
                        wiops,
                    };
                    (on_disk, KnobValue::IoMax(max))
                })
                .boxed(),
            Kind::DeviceWeight => (any_weight(), any::<bool>())
                .prop_map(move |(weight, disk)| {
                    let address = if disk { on_disk } else { at };
                    (address, KnobValue::Weight(Some(weight)))
                })
                .boxed(),
            Kind::Count => limit(0..=pids::MOST)
                .prop_map(move |count| (at, KnobValue::Count(count)))
                .boxed(),
        }
    })
}

proptest! {
    /// What is written to the kernel reads back as the same value, and so does it as somebody's wish.
    #[test]
    fn the_kernels_text_goes_around((address, value) in any_value()) {
        let text = value.to_text(address);
        prop_assert_eq!(&KnobValue::parse(address, text.as_bytes()).unwrap(), &value);
        let wish: Wish = format!("{}={text}", address.knob).parse().unwrap();
        prop_assert_eq!(wish.device.is_some(), address.device.is_some());
        prop_assert_eq!(wish.wanted.over(&value), value);
    }

    #[test]
    fn anything_else_is_refused_without_a_panic(text in "\\PC*") {
        for knob in Knob::ALL {
            let _ = format!("{knob}={text}").parse::<Wish>();
            let _ = KnobValue::parse(knob.into(), text.as_bytes());
        }
    }
}

/// The raw text that a wish becomes.
fn raw(wish: &str) -> String {
    let wish: Wish = wish.parse().unwrap();
    let device = wish.device.as_ref().map(|_| DISK);
    let address = Address {
        knob: wish.knob,
        device,
    };
    let old = KnobValue::IoMax(IoMax::default());
    wish.wanted.over(&old).to_text(address)
}

#[test]
fn people_write_what_is_short() {
    for (wish, text) in [
        ("memory.max=256m", "268435456"),
        ("memory.high=max", "max"),
        ("memory.oom.group=on", "1"),
        ("cpu.max=50%", "50000 100000"),
        ("cpu.max=1.5", "150000 100000"),
        ("cpu.max=max", "max 100000"),
        ("cpu.max=20000 50000", "20000 50000"),
        ("cpu.weight=default", "100"),
        ("cpuset.cpus=3,0-1", "0-1,3"),
        ("cpuset.cpus=", "\n"),
        (
            "io.max=/dev/vda:wbps=2m",
            "254:0 rbps=max wbps=2097152 riops=max wiops=max",
        ),
        (
            "io.max=254:0:riops=7,wbps=max",
            "254:0 rbps=max wbps=max riops=7 wiops=max",
        ),
        (
            "io.max=/dev/vda:max",
            "254:0 rbps=max wbps=max riops=max wiops=max",
        ),
        ("io.weight=200", "default 200"),
        ("io.weight=/dev/vda:default", "254:0 default"),
        ("pids.max=64", "64"),
    ] {
        assert_eq!(raw(wish), text, "{wish}");
    }
}

#[test]
fn bad_wishes_say_what_would_be_good() {
    for (wish, says) in [
        ("memory.max", "no KEY=VALUE"),
        ("memroy.max=1g", "there are cpu.weight, cpu.max"),
        ("memory.max=-1", "is not a size"),
        ("memory.max=12parsecs", "is not a size"),
        (
            "memory.max=9223372036854775808",
            "more than the kernel can count",
        ),
        ("memory.oom.group=2", "no switch"),
        ("cpu.max=0", "no CPU limit"),
        ("cpu.max=50000", "quota and period"),
        ("cpu.max=1000 999", "at least 1000 each"),
        ("cpu.max=nan", "no CPU limit"),
        ("cpu.weight=0", "not a weight"),
        ("cpuset.cpus=2-1", "no list of CPUs"),
        ("cpuset.cpus=0,,1", "no list of CPUs"),
        ("io.max=2m", "takes a disk"),
        ("io.max=/dev/vda:wbps=0", "would stop the device"),
        ("io.max=/dev/vda:speed=1", "no rate of io.max"),
        ("io.max=/dev/vda:wbps=1,wbps=2", "given twice"),
        ("io.weight=10001", "not a weight"),
        ("pids.max=-1", "not a number of processes"),
    ] {
        let said = wish.parse::<Wish>().unwrap_err().to_string();
        assert!(said.contains(says), "{wish}: {said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn the_catalogue_is_whole() {
    for knob in Knob::ALL {
        let entry = knob.entry();
        assert_eq!(Knob::named(entry.name), Some(knob));
        assert!(entry.doc().starts_with("https://docs.kernel.org/"));
        let at = Address {
            knob,
            device: (entry.kind == Kind::DeviceRates).then_some(DISK),
        };
        KnobValue::parse(at, entry.default.as_bytes()).unwrap();
    }
    let rates: Wish = "io.max=254:0 wbps=1".parse().unwrap();
    assert!(matches!(rates.wanted, Wanted::Rates(_)));
}
