//! The head of a program: a binary search for the calls that are let through, or refused, whatever their arguments.
//!
//! What follows it compares number by number, some three hundred times for the default profile. The kernel walks a
//! program for every call that there is when it is put up, so a search of eight steps makes a start shorter as well.

use seccompiler::{BpfProgram, sock_filter};

const LOAD: u16 = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
const IF_EQUAL: u16 = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
const IF_AT_LEAST: u16 = code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
const JUMP: u16 = code(libc::BPF_JMP | libc::BPF_JA);
const RETURN: u16 = code(libc::BPF_RET | libc::BPF_K);

/// Of the kernel's `seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
/// `AUDIT_ARCH_X86_64` of `linux/audit.h`.
const X86_64: u32 = 0xc000_003e;

/// A jump behind all of it, as long as its length is not known.
const BEHIND: u32 = u32::MAX;

/// Codes are small numbers.
#[expect(clippy::cast_possible_truncation)]
const fn code(parts: u32) -> u16 {
    parts as u16
}

/// Instructions that answer `action` for these calls, and for all others go on behind themselves.
pub fn head(numbers: impl IntoIterator<Item = u32>, action: u32) -> BpfProgram {
    let mut head = vec![
        instruction(LOAD, 0, 0, ARCH_AT),
        // The numbers of another architecture are other calls, which the rest sees to.
        instruction(IF_EQUAL, 1, 0, X86_64),
        instruction(JUMP, 0, 0, BEHIND),
        instruction(LOAD, 0, 0, NUMBER_AT),
    ];
    search(&bounds(numbers), false, action, &mut head);
    let mut left = length(&head);
    for instruction in &mut head {
        left -= 1;
        if instruction.code == JUMP && instruction.k == BEHIND {
            instruction.k = left;
        }
    }
    head
}

/// Where the numbers, which come in order, begin to be among them and cease to be, in turn.
fn bounds(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut bounds: Vec<u32> = Vec::new();
    for number in numbers {
        match bounds.last_mut() {
            Some(end) if *end == number => *end += 1,
            _ => bounds.extend([number, number + 1]),
        }
    }
    bounds
}

/// Puts the search among some of the bounds behind `to`. Below the first bound one is `inside` or not.
fn search(bounds: &[u32], inside: bool, action: u32, to: &mut BpfProgram) {
    let middle = bounds.len() / 2;
    let Some(bound) = bounds.get(middle) else {
        to.push(if inside {
            instruction(RETURN, 0, 0, action)
        } else {
            instruction(JUMP, 0, 0, BEHIND)
        });
        return;
    };
    let at = to.len();
    to.push(instruction(IF_AT_LEAST, 0, 0, *bound));
    // A conditional jump goes over 255 instructions at most, and a search has three for each bound at most, and one.
    let far = 3 * middle + 1 > usize::from(u8::MAX);
    if far {
        to[at].jf = 1;
        to.push(instruction(JUMP, 0, 0, 0));
    }
    let below = to.len();
    search(&bounds[..middle], inside, action, to);
    let over = length(&to[below..]);
    match u8::try_from(over) {
        Ok(over) if !far => to[at].jt = over,
        _ => to[below - 1].k = over,
    }
    let above = inside ^ middle.is_multiple_of(2);
    search(&bounds[middle + 1..], above, action, to);
}

/// A program has some thousand instructions at most.
#[expect(clippy::cast_possible_truncation)]
fn length(part: &[sock_filter]) -> u32 {
    part.len() as u32
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: u32 = 7;
    const NO: u32 = 9;

    /// The answer for a call of an architecture.
    fn answer(program: &[sock_filter], arch: u32, number: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1 + match code {
                LOAD => {
                    value = if k == ARCH_AT { arch } else { number };
                    0
                }
                IF_EQUAL => usize::from(if value == k { jt } else { jf }),
                IF_AT_LEAST => usize::from(if value >= k { jt } else { jf }),
                JUMP => k as usize,
                RETURN => return k,
                other => panic!("{other}"),
            };
        }
    }

    #[test]
    fn the_search_finds_exactly_the_numbers() {
        let every_other: Vec<u32> = (0..600).filter(|number| number % 2 == 1).collect();
        for numbers in [
            vec![],
            vec![0],
            vec![3],
            vec![0, 1, 2, 5, 6, 9],
            (10..300).collect(),
            (0..1000).filter(|number| number % 7 < 3).collect(),
            every_other,
        ] {
            let mut program = head(numbers.iter().copied(), YES);
            program.push(instruction(RETURN, 0, 0, NO));
            assert!(program.len() < 4096);
            for number in (0..1100).chain([0x4000_0001, u32::MAX]) {
                let expected = if numbers.contains(&number) { YES } else { NO };
                assert_eq!(answer(&program, X86_64, number), expected, "{number}");
                assert_eq!(answer(&program, 0x4000_0003, number), NO);
            }
        }
    }
}
