//! Loads the programs of an object for links on many functions.
//!
//! aya has loaded the object before and made its maps; here it is parsed once more and its programs are tied to those
//! same maps. Of BTF they carry what says which functions they have.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    panic::resume_unwind,
    path::Path,
    thread,
};

use anyhow::{Context, Result, bail};
use aya_obj::{Object, ProgramSection, generated::bpf_insn};

use super::{
    super::bpf_call::bpf,
    Run,
    link::{self, Point},
};

/// `BPF_PROG_LOAD` and `BPF_BTF_LOAD` of `enum bpf_cmd`, and `BPF_PROG_TYPE_KPROBE` of `enum bpf_prog_type`.
const PROG_LOAD: libc::c_int = 5;
const BTF_LOAD: libc::c_int = 18;
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
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    _pad: u32,
}

/// The part of `union bpf_attr` that loads types.
#[repr(C)]
struct TypesAttr {
    types: u64,
    log_buf: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    _pad: u32,
}

/// Programs in the kernel, by name.
pub struct Programs(BTreeMap<String, Program>);

struct Program {
    fd: OwnedFd,
    run: Run,
    on_return: bool,
}

impl Programs {
    /// Loads these programs of an object, tied to `maps`, which are all that the object defines.
    pub fn load<'a>(
        object: &[u8],
        maps: impl IntoIterator<Item = (&'a str, BorrowedFd<'a>)>,
        names: &[(&str, Run)],
    ) -> Result<Self> {
        let mut object = Object::parse(object)?;
        let types = load_types(&mut object)?;
        let maps: HashMap<&str, BorrowedFd<'_>> = maps.into_iter().collect();
        let definitions = std::mem::take(&mut object.maps);
        let text_sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let known = definitions.iter().filter_map(|(name, map)| {
            let fd = maps.get(name.as_str())?;
            Some((name.as_str(), fd.as_raw_fd(), map))
        });
        object.relocate_maps(known, &text_sections)?;
        object.relocate_calls(&text_sections)?;
        // The kernel takes its time over each, and has more than one processor.
        let programs: Result<_> = thread::scope(|scope| {
            let mut loading = Vec::new();
            for (name, run) in names {
                let program = object.programs.get(*name).with_context(|| format!("there is no program `{name}`"))?;
                let function = object.functions.get(&program.function_key()).context("a program without code")?;
                let on_return = match program.section {
                    ProgramSection::UProbe { sleepable: false } => false,
                    ProgramSection::URetProbe { sleepable: false } => true,
                    _ => bail!("the program `{name}` is none for functions"),
                };
                let instructions: Vec<u64> = function.instructions.iter().copied().map(word).collect();
                let functions = Functions {
                    types: types.as_fd(),
                    records: function.func_info.func_info_bytes(),
                    record_size: function.func_info_rec_size as u32,
                };
                let license = &*program.license;
                let fd = scope.spawn(move || {
                    load(&Code { name, run: *run, instructions: &instructions, license, functions: Some(functions) })
                });
                loading.push((*name, *run, on_return, fd));
            }
            loading
                .into_iter()
                .map(|(name, run, on_return, fd)| {
                    let fd = fd.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                    Ok((name.to_owned(), Program { fd, run, on_return }))
                })
                .collect()
        });
        Ok(Self(programs?))
    }

    /// Puts a program on functions of a file, in one process alone: on all of `points`, or on none. They are taken out
    /// when the descriptor is closed.
    pub fn attach(&self, name: &str, file: &Path, pid: u32, points: &[Point]) -> Result<OwnedFd> {
        let program = self.0.get(name).with_context(|| format!("there is no program `{name}`"))?;
        Ok(link::create(program.fd.as_fd(), program.run, program.on_return, file, pid, points)?)
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

/// What is loaded as a program.
pub struct Code<'a> {
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: &'a str,
    /// When it runs.
    pub run: Run,
    /// Its instructions, and those of the functions that it calls.
    pub instructions: &'a [u64],
    /// Its licence.
    pub license: &'a CStr,
    /// What those functions are, which a program must say that has the kernel call one of them.
    pub functions: Option<Functions<'a>>,
}

/// Types of functions.
pub struct Functions<'a> {
    types: BorrowedFd<'a>,
    /// A record for each function: where it begins, and its type.
    records: Vec<u8>,
    /// Bytes of each.
    record_size: u32,
}

/// Hands the kernel an object's types.
fn load_types(object: &mut Object) -> Result<OwnedFd> {
    let features = aya::features().btf().context("the kernel knows no types of programs")?;
    let types = object.fixup_and_sanitize_btf(features)?.context("the programs have no types")?.to_bytes();
    let mut attr = TypesAttr {
        types: types.as_ptr().expose_provenance() as u64,
        log_buf: 0,
        size: types.len() as u32,
        log_size: 0,
        log_level: 0,
        _pad: 0,
    };
    // SAFETY: the kernel reads `size` bytes, which outlive the call.
    Ok(super::descriptor(unsafe { bpf(BTF_LOAD, &mut attr) }?)?)
}

/// Loads a program; when it is refused, does it again to hear why.
fn load(code: &Code<'_>) -> Result<OwnedFd> {
    load_plain(code).or_else(|error| {
        let mut log = vec![0; LOG_BYTES];
        load_with_log(code, &mut log).or_else(|_| {
            let log = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            let lines: Vec<&str> = log.lines().collect();
            let said = lines[lines.len().saturating_sub(LOG_LINES)..].join("; ");
            Err(error).with_context(|| format!("the kernel refused the program `{}` ({said})", code.name))
        })
    })
}

/// Loads a program.
pub fn load_plain(code: &Code<'_>) -> io::Result<OwnedFd> {
    load_with_log(code, &mut [])
}

fn load_with_log(code: &Code<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    // The last byte stays 0.
    prog_name.iter_mut().take(15).zip(code.name.bytes()).for_each(|(to, from)| *to = from);
    let mut attr = LoadAttr {
        prog_type: KPROBE,
        insn_cnt: code.instructions.len() as u32,
        insns: code.instructions.as_ptr().expose_provenance() as u64,
        license: code.license.as_ptr().expose_provenance() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 },
        kern_version: 0,
        prog_flags: 0,
        prog_name,
        prog_ifindex: 0,
        expected_attach_type: code.run.attach_type(),
        prog_btf_fd: 0,
        func_info_rec_size: 0,
        func_info: 0,
        func_info_cnt: 0,
        _pad: 0,
    };
    if let Some(Functions { types, records, record_size }) = &code.functions {
        attr.prog_btf_fd = types.as_raw_fd() as u32;
        attr.func_info_rec_size = *record_size;
        attr.func_info = records.as_ptr().expose_provenance() as u64;
        attr.func_info_cnt = (records.len() as u32).checked_div(*record_size).unwrap_or(0);
    }
    // SAFETY: the kernel reads `insn_cnt` instructions of 8 bytes, `func_info_cnt` records of `func_info_rec_size` bytes
    // and a string, and writes at most `log_size` bytes to `log`; all outlive the call.
    super::descriptor(unsafe { bpf(PROG_LOAD, &mut attr) }?)
}
