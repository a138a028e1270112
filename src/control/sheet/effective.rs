//! What a knob comes to, together with the same of all cgroups above it.

use super::Line;
use crate::kernel::cgroup::knob::KnobValue;
use crate::kernel::cpuset::CpuList;
use crate::kernel::io::IoMax;
use crate::model::change::value_text;

/// The value that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// It.
    pub value: KnobValue,
    /// Whose it is, by its path, where it is not the cgroup's own. Foreign text. `None` also where several have a part in it.
    pub of: Option<String>,
}

impl Line {
    /// `effective 32M of /ringfence.slice`, where that is another value than its own; foreign text.
    pub fn effective_text(&self, cpus: &CpuList) -> Option<String> {
        let found = self.effective(cpus)?;
        if Some(&found.value) == self.value() {
            return None;
        }
        let of = found
            .of
            .map_or_else(String::new, |path| format!(" of {path}"));
        let value = value_text(self.address.knob, &found.value);
        Some(format!("effective {value}{of}"))
    }

    /// The smallest of a limit up the tree, for each rate of `io.max`; of `cpuset.cpus`, those that the parent hands down
    /// (`cpus`). A weight and a switch are in force as they are. `None` where the knob cannot be read.
    pub fn effective(&self, cpus: &CpuList) -> Option<Effective> {
        let own = self.value()?;
        let alone = |value: KnobValue| Effective { value, of: None };
        match own {
            KnobValue::Cpus(own) => {
                let common = own.common(cpus);
                let in_force = if common.is_empty() { cpus } else { &common };
                Some(alone(KnobValue::Cpus(in_force.clone())))
            }
            KnobValue::IoMax(_) => Some(alone(KnobValue::IoMax(self.least_rates()))),
            _ => {
                let levels = self.levels.iter().enumerate().filter_map(|(at, level)| {
                    let value = level.value.value()?;
                    Some((at, value, value.amount()?.value()?))
                });
                // The nearest of several that are as small.
                let least = levels.min_by(|(_, _, a), (_, _, b)| a.total_cmp(b));
                Some(match least {
                    Some((at @ 1.., value, _)) => Effective {
                        value: value.clone(),
                        of: Some(self.levels[at].path.clone()),
                    },
                    _ => alone(own.clone()),
                })
            }
        }
    }

    fn least_rates(&self) -> IoMax {
        let levels = self
            .levels
            .iter()
            .filter_map(|level| match level.value.value()? {
                KnobValue::IoMax(max) => Some(*max),
                _ => None,
            });
        levels.fold(IoMax::default(), |all, max| IoMax {
            rbps: all.rbps.min(max.rbps),
            wbps: all.wbps.min(max.wbps),
            riops: all.riops.min(max.riops),
            wiops: all.wiops.min(max.wiops),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cgroup::knob::{Address, Knob};
    use crate::kernel::cgroup::standing::Standing;
    use crate::kernel::io::Device;
    use crate::kernel::unit::Reading;

    /// What is in force of a knob with these values, nearest first.
    fn effective(address: Address, values: &[&str], cpus: &str) -> (String, Option<String>) {
        let levels = values.iter().enumerate().map(|(at, text)| Standing {
            path: format!("/{at}"),
            value: Reading::Value(KnobValue::parse(address, text.as_bytes()).unwrap()),
        });
        let line = Line {
            address,
            disk: None,
            levels: levels.collect(),
            missing: None,
            off: None,
            forbidden: None,
        };
        let found = line.effective(&cpus.parse().unwrap()).unwrap();
        (found.value.to_text(address), found.of)
    }

    #[test]
    fn the_smallest_up_the_tree_is_in_force() {
        let memory = Knob::MemoryMax.into();
        let of = |values: &[&str]| effective(memory, values, "");
        assert_eq!(of(&["max", "max"]), ("max".into(), None));
        assert_eq!(of(&["8192", "max", "8192"]), ("8192".into(), None));
        assert_eq!(
            of(&["8192", "max", "4096"]),
            ("4096".into(), Some("/2".into()))
        );
        assert_eq!(
            effective(Knob::CpuWeight.into(), &["300", "20"], ""),
            ("300".into(), None)
        );
        let device = Some(Device {
            major: 254,
            minor: 0,
        });
        let io = Address {
            knob: Knob::IoMax,
            device,
        };
        let values = [
            "254:0 rbps=5 wbps=max riops=max wiops=9",
            "254:0 rbps=7 wbps=2 riops=max wiops=max",
        ];
        let rates = "254:0 rbps=5 wbps=2 riops=max wiops=9";
        assert_eq!(effective(io, &values, ""), (rates.into(), None));
    }

    #[test]
    fn cpus_are_those_that_the_parent_has() {
        let of = |own: &str| effective(Knob::CpusetCpus.into(), &[own], "0-2").0;
        assert_eq!([of("1-5"), of("7"), of("")], ["1-2", "0-2", "0-2"]);
    }
}
