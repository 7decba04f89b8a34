//! What traced processes have in common, for reports that group them.

use std::{collections::HashMap, fs::File, path::Path};

use super::Fleet;
use crate::{
    process::{cgroup, elf::ElfFile, modules::ModuleIndex, sparse},
    report::By,
    trace::target::Traced,
};

/// Digits of a build ID that tell builds apart.
const DIGITS: usize = 12;

impl Fleet {
    /// What each process is of, by its pid, in the way that is asked for. Not to be printed raw.
    pub fn kinship(&self, by: By) -> HashMap<u32, String> {
        let mut builds = HashMap::new();
        let mut name = |traced: &Traced| match by {
            By::Process => format!("{} (pid {})", traced.target.comm, traced.target.pid),
            By::Comm => traced.target.comm.clone(),
            By::Cgroup => cgroup::of(traced.target.pid).map(|place| place.path).unwrap_or_default(),
            By::Build => self.build_of(traced, &mut builds),
        };
        self.traced.iter().map(|traced| (traced.target.pid, name(traced))).collect()
    }

    /// The program's path and the beginning of its build ID.
    fn build_of(&self, traced: &Traced, known: &mut HashMap<ModuleIndex, Option<String>>) -> String {
        let exe = &traced.target.exe;
        let mapped = self.means.modules.of_process(traced.slot);
        let program = mapped.into_iter().map(|(index, _)| index).find(|index| self.is_at(*index, exe));
        let build = program.and_then(|index| {
            let read = || build_id(&self.means.modules.get(index).file.as_ref()?.file);
            known.entry(index).or_insert_with(read).clone()
        });
        build.map_or_else(|| exe.clone(), |build| format!("{exe} {build}"))
    }

    fn is_at(&self, index: ModuleIndex, path: &str) -> bool {
        self.means.modules.get(index).path == Path::new(path)
    }
}

fn build_id(file: &File) -> Option<String> {
    let data = sparse::read_sections(file, |_| false).ok()?;
    let mut build = ElfFile::parse(&data, "the program").ok()?.build_id()?;
    build.truncate(DIGITS);
    Some(build)
}
