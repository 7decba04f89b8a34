//! Loads the programs of an object for links on many functions.
//!
//! aya has loaded the object before and made its maps; here it is parsed once more and its programs are tied to those
//! same maps. They carry no BTF: what they need of it is in the maps.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result, bail};
use aya_obj::{Object, ProgramSection, generated::bpf_insn};

use super::{
    super::bpf_call::bpf,
    UPROBE_MULTI,
    link::{self, Point},
};

/// `BPF_PROG_LOAD` of `enum bpf_cmd`, and `BPF_PROG_TYPE_KPROBE` of `enum bpf_prog_type`.
const PROG_LOAD: libc::c_int = 5;
const KPROBE: u32 = 2;

/// Bytes for what the verifier says of a program that it refuses, and how many lines from its end are told.
const LOG_BYTES: usize = 1 << 20;
const LOG_LINES: usize = 3;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// Programs in the kernel, by name.
pub struct Programs(BTreeMap<String, Program>);

struct Program {
    fd: OwnedFd,
    on_return: bool,
}

impl Programs {
    /// Loads these programs of an object, tied to `maps`, which are all that the object defines.
    pub fn load<'a>(
        object: &[u8],
        maps: impl IntoIterator<Item = (&'a str, BorrowedFd<'a>)>,
        names: &[&str],
    ) -> Result<Self> {
        let mut object = Object::parse(object)?;
        let maps: HashMap<&str, BorrowedFd<'_>> = maps.into_iter().collect();
        let definitions = std::mem::take(&mut object.maps);
        let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let known = definitions.iter().filter_map(|(name, map)| {
            let fd = maps.get(name.as_str())?;
            Some((name.as_str(), fd.as_raw_fd(), map))
        });
        object.relocate_maps(known, &text_sections)?;
        object.relocate_calls(&text_sections)?;
        let mut programs = BTreeMap::new();
        for name in names {
            let program = object.programs.get(*name).with_context(|| format!("there is no program `{name}`"))?;
            let function = object.functions.get(&program.function_key()).context("a program without code")?;
            let on_return = match program.section {
                ProgramSection::UProbe { sleepable: false } => false,
                ProgramSection::URetProbe { sleepable: false } => true,
                _ => bail!("the program `{name}` is none for functions"),
            };
            let instructions: Vec<u64> = function.instructions.iter().copied().map(word).collect();
            let fd = load(name, &instructions, &program.license, UPROBE_MULTI)?;
            programs.insert((*name).to_owned(), Program { fd, on_return });
        }
        Ok(Self(programs))
    }

    /// Puts a program on functions of a file, in one process alone: on all of `points`, or on none. They are taken out
    /// when the descriptor is closed.
    pub fn attach(&self, name: &str, file: &Path, pid: u32, points: &[Point]) -> Result<OwnedFd> {
        let program = self.0.get(name).with_context(|| format!("there is no program `{name}`"))?;
        Ok(link::create(program.fd.as_fd(), UPROBE_MULTI, program.on_return, file, pid, points)?)
    }

    /// The programs.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.values().map(|program| program.fd.as_fd())
    }
}

/// An instruction as the kernel reads it.
fn word(instruction: bpf_insn) -> u64 {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    u64::from(instruction.code)
        | u64::from(registers) << 8
        | u64::from(instruction.off as u16) << 16
        | u64::from(instruction.imm as u32) << 32
}

/// Loads a program; when it is refused, does it again to hear why.
fn load(name: &str, instructions: &[u64], license: &CStr, attach_type: u32) -> Result<OwnedFd> {
    load_plain(name, instructions, license, attach_type).or_else(|error| {
        let mut log = vec![0; LOG_BYTES];
        load_with_log(name, instructions, license, attach_type, &mut log).or_else(|_| {
            let log = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let said = lines[lines.len().saturating_sub(LOG_LINES)..].join("; ");
            Err(error).with_context(|| format!("the kernel refused the program `{name}` ({said})"))
        })
    })
}

/// Loads a program.
pub fn load_plain(name: &str, instructions: &[u64], license: &CStr, attach_type: u32) -> io::Result<OwnedFd> {
    load_with_log(name, instructions, license, attach_type, &mut [])
}

fn load_with_log(
    name: &str,
    instructions: &[u64],
    license: &CStr,
    attach_type: u32,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    // The last byte stays 0.
    prog_name.iter_mut().take(15).zip(name.bytes()).for_each(|(to, from)| *to = from);
    let mut attr = LoadAttr {
        prog_type: KPROBE,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kern_version: 0,
        prog_flags: 0,
        prog_name,
        prog_ifindex: 0,
        expected_attach_type: attach_type,
    };
    // SAFETY: the kernel reads `insn_cnt` instructions of 8 bytes and a string, and writes at most `log_size` bytes to
    // `log`; all outlive the call.
    super::descriptor(unsafe { bpf(PROG_LOAD, &mut attr) }?)
}
