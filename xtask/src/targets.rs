//! Compiles the programs that leaktrace is tried on, from `tests/targets` to `target/targets`.
//!
//! Every C and C++ file there is a program, and every Rust file with a `main`; the other files are their headers and
//! modules, and folders hold what is not compiled here. A program has its source's name; where sources differ only in
//! their extension, `leak.c` makes `leak-c`. It is compiled again when any input or the command is not what it was. All
//! have debug information, and frame pointers unless a variant says otherwise; another language needs an arm in
//! [`Language`].
//!
//! A source that [`VARIANTS`] names makes those programs, such as `oracle-musl` and `demo-nofp`, in place of its own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::{cargo, paths, run, tools};

/// Flags for C and C++: optimized, and with stacks that can be told exactly.
const C_FLAGS: [&str; 6] =
    ["-O1", "-g", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"];

/// Flags for Rust.
const RUST_FLAGS: [&str; 4] = ["-O", "-g", "-C", "force-frame-pointers=yes"];

/// Flags for C and C++ as distributions compile: nothing but the tables of `.eh_frame` tells how a stack goes on.
const NO_FRAME_POINTERS: &[&str] = &["-O2", "-g", "-fomit-frame-pointer", "-fcf-protection", "-pthread"];

/// The same, without optimization: other frames, and many more of them.
const UNOPTIMIZED: &[&str] = &["-O0", "-g", "-fomit-frame-pointer", "-fcf-protection", "-pthread"];

/// The programs of sources that make several, or one that is not compiled as the others are.
const VARIANTS: [(&str, &[Variant]); 7] = [
    ("again", &[Variant::with("optimized", NO_FRAME_POINTERS), Variant::with("unoptimized", UNOPTIMIZED)]),
    ("oracle", ORACLES),
    ("demo", &[Variant::PLAIN, Variant::with("nofp", NO_FRAME_POINTERS)]),
    ("pair", &[Variant::PLAIN, Variant::with("nofp", NO_FRAME_POINTERS)]),
    (
        "stacks-c",
        &[
            Variant::with("optimized", NO_FRAME_POINTERS),
            Variant::with("unoptimized", UNOPTIMIZED),
            Variant { arguments: &["-no-pie", "-fno-pie", "-Os"], ..Variant::with("small", NO_FRAME_POINTERS) },
        ],
    ),
    ("stacks-cc", &[Variant::with("optimized", NO_FRAME_POINTERS), Variant::with("unoptimized", UNOPTIMIZED)]),
    ("stacks-rs", &[Variant::with("optimized", &["-O", "-g"]), Variant::with("unoptimized", &["-g"])]),
];

/// The C libraries and allocators that the oracle is compiled against.
const ORACLES: &[Variant] = &[
    linked("glibc", &[]),
    linked("glibc-static", &["-static"]),
    Variant { compiler: Some("musl-gcc"), ..linked("musl", &[]) },
    Variant { compiler: Some("musl-gcc"), ..linked("musl-static", &["-static"]) },
    linked("jemalloc", &["-DORACLE_NO_PVALLOC", "-ljemalloc"]),
    linked("jemalloc-static", &["-DORACLE_NO_PVALLOC", "-l:libjemalloc.a", "-lm"]),
    linked("jemalloc-prefixed", &["-DORACLE_PREFIX", PREFIXED_JEMALLOC, "-lm"]),
    // The C library has all their functions too: the linker would not see what they are for.
    linked("tcmalloc", &["-Wl,--no-as-needed", "-ltcmalloc"]),
    linked("tcmalloc-minimal", &["-Wl,--no-as-needed", "-ltcmalloc_minimal"]),
    linked("mimalloc", &["-Wl,--no-as-needed", "-lmimalloc"]),
];

/// jemalloc under other names, seen from the repository's root.
const PREFIXED_JEMALLOC: &str = "target/targets/libje_malloc.a";

/// The functions that get the prefix `je_` there: those that the C library has too.
const PREFIXED: [&str; 8] =
    ["malloc", "calloc", "realloc", "free", "memalign", "posix_memalign", "aligned_alloc", "valloc"];

/// Compiles all of them that are out of date.
pub fn compile_all() -> Result<()> {
    let directory = Directory::read()?;
    directory.targets.iter().try_for_each(|target| directory.compile(target))
}

/// Compiles the one of that name if it is out of date; gives the program's path.
pub fn compile(name: &str) -> Result<PathBuf> {
    let directory = Directory::read()?;
    let Some(target) = directory.targets.iter().find(|target| target.name == name) else {
        bail!("nothing in {} makes a program {name}: restore its source", paths::short(&paths::target_sources()));
    };
    directory.compile(target)?;
    Ok(target.program())
}

/// What `tests/targets` holds.
struct Directory {
    /// The programs to be.
    targets: Vec<Target>,
    /// When the last header or module changed.
    shared: Option<SystemTime>,
}

/// A program to be.
#[derive(Debug, PartialEq)]
struct Target {
    /// The program's name.
    name: String,
    source: PathBuf,
    language: Language,
    variant: Option<&'static Variant>,
}

/// One of several ways to compile a source.
#[derive(Debug, PartialEq)]
struct Variant {
    /// What the program's name has after the source's; nothing for that name alone.
    name: &'static str,
    /// A compiler that is not the language's usual one.
    compiler: Option<&'static str>,
    /// Flags that are not the language's usual ones.
    flags: Option<&'static [&'static str]>,
    /// What the compiler is told behind the source.
    arguments: &'static [&'static str],
}

/// A language of targets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    C,
    Cpp,
    Rust,
}

impl Directory {
    /// Sorts the files.
    fn read() -> Result<Self> {
        let directory = paths::target_sources();
        let unreadable = || format!("cannot read {}", paths::short(&directory));
        let mut sources = Vec::new();
        let mut shared = None;
        for entry in fs::read_dir(&directory).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if path.is_dir() {
                continue;
            }
            match Language::of(&path)? {
                Some(language) => sources.push((path, language)),
                None => shared = shared.max(modified(&path)),
            }
        }
        sources.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { targets: name(sources).into_iter().flat_map(Target::variants).collect(), shared })
    }

    /// Compiles the target if it is out of date.
    fn compile(&self, target: &Target) -> Result<()> {
        let program = target.program();
        let mut command = target.command();
        let words = run::words(&command);
        let record = program.with_file_name(format!(".{}.command", target.name));
        let newest = self.shared.max(modified(&target.source));
        if modified(&program) > newest && fs::read_to_string(&record).is_ok_and(|old| old == words) {
            return Ok(());
        }
        let directory = paths::targets();
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", paths::short(&directory)))?;
        if target.variant.is_some_and(|variant| variant.arguments.contains(&PREFIXED_JEMALLOC)) {
            make_prefixed_jemalloc()?;
        }
        run::run(&mut command).with_context(|| format!("{} does not compile", paths::short(&target.source)))?;
        fs::write(&record, words).with_context(|| format!("cannot write {}", paths::short(&record)))
    }
}

impl Target {
    /// Where the program goes.
    fn program(&self) -> PathBuf {
        paths::targets().join(&self.name)
    }

    /// The compiler with all that it is told.
    fn command(&self) -> Command {
        let variant = self.variant.unwrap_or(&Variant::PLAIN);
        let mut command = Command::new(variant.compiler.map_or_else(|| self.language.compiler(), OsString::from));
        command.args(self.language.standard()).args(variant.flags.unwrap_or(self.language.flags()));
        command.arg("-o").arg(self.program()).arg(&self.source).args(variant.arguments).current_dir(paths::root());
        command
    }

    /// The programs that its source makes.
    fn variants(self) -> Vec<Self> {
        let Some((_, variants)) = VARIANTS.iter().find(|(name, _)| *name == self.name) else {
            return vec![self];
        };
        let of = |variant: &'static Variant| {
            let joint = if variant.name.is_empty() { "" } else { "-" };
            let (name, source) = (format!("{}{joint}{}", self.name, variant.name), self.source.clone());
            Self { name, source, language: self.language, variant: Some(variant) }
        };
        variants.iter().map(of).collect()
    }
}

impl Variant {
    /// Nothing special.
    const PLAIN: Self = Self { name: "", compiler: None, flags: None, arguments: &[] };

    /// Compiled with these flags.
    const fn with(name: &'static str, flags: &'static [&'static str]) -> Self {
        Self { name, flags: Some(flags), ..Self::PLAIN }
    }
}

/// Linked to what these arguments name.
const fn linked(name: &'static str, arguments: &'static [&'static str]) -> Variant {
    Variant { name, arguments, ..Variant::PLAIN }
}

impl Language {
    /// The language of a file that makes a program; none of a header or module.
    fn of(file: &Path) -> Result<Option<Self>> {
        Ok(match extension(file) {
            "c" => Some(Self::C),
            "cc" | "cpp" => Some(Self::Cpp),
            "rs" => {
                let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", paths::short(file)))?;
                text.lines().any(|line| line.starts_with("fn main(")).then_some(Self::Rust)
            }
            _ => None,
        })
    }

    fn compiler(self) -> OsString {
        match self {
            Self::C => "cc".into(),
            Self::Cpp => "c++".into(),
            Self::Rust => cargo::rustc(),
        }
    }

    /// What every program of the language is compiled with.
    fn standard(self) -> &'static [&'static str] {
        match self {
            Self::C => &[],
            Self::Cpp => &["-std=c++17"],
            Self::Rust => &["--edition", "2024"],
        }
    }

    /// What its programs are compiled with unless a variant says otherwise.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::C | Self::Cpp => &C_FLAGS,
            Self::Rust => &RUST_FLAGS,
        }
    }
}

/// Makes [`PREFIXED_JEMALLOC`] from the system's, as programs have it that use it beside the C library's allocator.
fn make_prefixed_jemalloc() -> Result<()> {
    let original = tools::library("libjemalloc.a").context("there is no libjemalloc.a: see `cargo xtask test`")?;
    let mut command = Command::new("objcopy");
    for function in PREFIXED {
        command.arg("--redefine-sym").arg(format!("{function}=je_{function}"));
    }
    run::run(command.arg(original).arg(PREFIXED_JEMALLOC).current_dir(paths::root()))
}

/// Gives the sources their programs' names.
fn name(sources: Vec<(PathBuf, Language)>) -> Vec<Target> {
    let stem = |source: &Path| source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = sources.iter().map(|(source, _)| stem(source)).collect();
    let named = sources.into_iter().map(|(source, language)| {
        let stem = stem(&source);
        let is_alone = stems.iter().filter(|other| **other == stem).count() == 1;
        let name = if is_alone { stem } else { format!("{stem}-{}", extension(&source)) };
        Target { name, source, language, variant: None }
    });
    named.collect()
}

/// The extension of a file's name, or nothing.
fn extension(file: &Path) -> &str {
    file.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// When the file last changed.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_one_name_are_told_apart() {
        let sources =
            [("demo.c", Language::C), ("leak.c", Language::C), ("leak.cc", Language::Cpp), ("leak.rs", Language::Rust)];
        let targets = name(sources.map(|(source, language)| (source.into(), language)).to_vec());
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["demo", "leak-c", "leak-cc", "leak-rs"]);
    }

    #[test]
    fn a_source_with_variants_makes_a_program_for_each() {
        let sources = [("demo.c", Language::C), ("leak.c", Language::C), ("oracle.c", Language::C)];
        let targets = name(sources.map(|(source, language)| (source.into(), language)).to_vec());
        let names: Vec<String> = targets.into_iter().flat_map(Target::variants).map(|target| target.name).collect();
        assert_eq!(names[..4], ["demo", "demo-nofp", "leak", "oracle-glibc"]);
        assert_eq!(names.len(), 3 + ORACLES.len());
    }

    #[test]
    fn headers_make_no_program() {
        assert_eq!(Language::of(Path::new("books.h")).unwrap(), None);
        assert_eq!(Language::of(Path::new("README")).unwrap(), None);
        assert_eq!(Language::of(Path::new("leak.cpp")).unwrap(), Some(Language::Cpp));
    }
}
