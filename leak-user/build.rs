//! Embeds the eBPF objects that `cargo xtask build` compiles, so that the binary is one file.

use std::{
    env,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-env-changed=LEAKTRACE_BPF_OBJECT");
    let object = env::var_os("LEAKTRACE_BPF_OBJECT").map_or_else(
        || PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../target/bpf/leaktrace.bpf.o"),
        PathBuf::from,
    );
    embed("LEAKTRACE_BPF_OBJECT", &object);
    // It lies beside the other.
    embed("LEAKTRACE_WRITES_OBJECT", &object.with_file_name("writes.bpf.o"));
}

/// Has the crate's code find the object under this name.
fn embed(name: &str, object: &Path) {
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(path) => println!("cargo::rustc-env={name}={}", path.display()),
        Err(_) => println!("cargo::error=the eBPF programs are not built yet: type `cargo xtask build`"),
    }
}
