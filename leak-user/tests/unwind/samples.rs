//! Objects of this machine to try.

use std::{collections::BTreeSet, fs, io::Read as _, path::PathBuf, process::Command};

/// The vDSO of this process, as the kernel has mapped it.
pub fn vdso() -> Option<Vec<u8>> {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).expect("an address");
    let (start, end) = (parse(start), parse(end));
    // SAFETY: the kernel keeps these pages mapped, readable and unchanged for as long as the process lives.
    Some(unsafe { std::slice::from_raw_parts(start as *const u8, end - start) }.to_vec())
}

/// Programs and libraries by many hands: this test, all it maps, and what else there may be on a machine.
pub fn paths() -> BTreeSet<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    // Other tests map what they have just made.
    let mut paths: BTreeSet<PathBuf> = mapped.filter(|path| !path.starts_with(env!("CARGO_TARGET_TMPDIR"))).collect();
    let libraries = PathBuf::from("/usr/lib/x86_64-linux-gnu");
    let wanted = ["libstdc++.so.6", "libcrypto.so.3", "libpython3", "libLLVM", "librustc_driver", "libjemalloc.so.2"];
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".so") && wanted.iter().any(|wanted| name.starts_with(wanted))
    };
    let present = fs::read_dir(libraries).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.extend(present.filter(wanted));
    paths.extend(["/usr/bin/python3", "/usr/bin/bash", "/lib/ld-musl-x86_64.so.1"].map(PathBuf::from));
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    if let Ok(output) = sysroot {
        let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("lib");
        paths.extend(fs::read_dir(libraries).into_iter().flatten().flatten().map(|entry| entry.path()).filter(wanted));
    }
    paths.into_iter().filter_map(|path| path.canonicalize().ok()).filter(is_elf).collect()
}

/// Some libraries are text, for the linker.
fn is_elf(path: &PathBuf) -> bool {
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}
