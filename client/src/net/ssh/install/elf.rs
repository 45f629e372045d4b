//! Machines for which a program of Linux is built, by the header of its file and by the words of `uname`.

/// Bytes of a header that tell the machine.
pub(super) const HEADER: usize = 20;

/// The first bytes of every program of Linux.
const MAGIC: &[u8; 4] = b"\x7fELF";

/// A kind of processor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// The word of `uname -m`, by which files are called as well.
    pub(super) name: &'static str,
    /// Other words of `uname -m`.
    others: &'static [&'static str],
    /// 1: 32 bits, 2: 64 bits.
    class: u8,
    /// 1: the low byte of a number comes first, 2: the high byte.
    order: u8,
    /// `e_machine`.
    code: u16,
}

const MACHINES: [Machine; 7] = [
    Machine { name: "x86_64", others: &["amd64"], class: 2, order: 1, code: 62 },
    Machine { name: "aarch64", others: &["arm64"], class: 2, order: 1, code: 183 },
    Machine { name: "i686", others: &["i386", "i486", "i586"], class: 1, order: 1, code: 3 },
    Machine { name: "armv7l", others: &["armv6l", "armv8l"], class: 1, order: 1, code: 40 },
    Machine { name: "riscv64", others: &[], class: 2, order: 1, code: 243 },
    Machine { name: "ppc64le", others: &[], class: 2, order: 1, code: 21 },
    Machine { name: "s390x", others: &[], class: 2, order: 2, code: 22 },
];

impl Machine {
    /// That of a word of `uname -m`.
    pub(super) fn of_word(word: &str) -> Option<&'static Self> {
        MACHINES.iter().find(|machine| machine.name == word || machine.others.contains(&word))
    }
}

/// The machine of a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BuiltFor {
    Known(&'static Machine),
    /// A program for a machine that has no name here.
    Another,
    /// No program of Linux.
    Nothing,
}

/// Reads the first bytes of a file.
pub(super) fn built_for(header: &[u8]) -> BuiltFor {
    let &[m, a, g, i, class, order, _, _, _, _, _, _, _, _, _, _, _, _, low, high, ..] = header
    else {
        return BuiltFor::Nothing;
    };
    if [m, a, g, i] != *MAGIC {
        return BuiltFor::Nothing;
    }
    let code = match order {
        2 => u16::from_be_bytes([low, high]),
        _ => u16::from_le_bytes([low, high]),
    };
    let found = MACHINES
        .iter()
        .find(|machine| (machine.class, machine.order, machine.code) == (class, order, code));
    found.map_or(BuiltFor::Another, BuiltFor::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn program_that_runs_here_is_built_for_the_machine_of_here() {
        let header = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let word = rustix::system::uname().machine().to_str().unwrap().to_owned();
        assert_eq!(built_for(&header[..HEADER]), BuiltFor::Known(Machine::of_word(&word).unwrap()));
    }

    #[test]
    fn machines_are_told_apart() {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18..].copy_from_slice(&183_u16.to_le_bytes());
        assert_eq!(built_for(&header), BuiltFor::Known(Machine::of_word("arm64").unwrap()));
        // The same number of a machine whose high byte comes first.
        header[5] = 2;
        assert_eq!(built_for(&header), BuiltFor::Another);
        header[18..].copy_from_slice(&22_u16.to_be_bytes());
        assert_eq!(built_for(&header), BuiltFor::Known(Machine::of_word("s390x").unwrap()));
        assert_eq!(built_for(&header[..HEADER - 1]), BuiltFor::Nothing);
        assert_eq!(built_for(b"#!/bin/sh\nexec hauld \"$@\"\n"), BuiltFor::Nothing);
        assert_eq!(Machine::of_word("vax"), None);
    }
}
