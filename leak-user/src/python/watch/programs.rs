//! The programs that sum writes by Python stack, and their maps.

use std::{
    num::NonZeroU32,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
    programs::{
        PerfEvent, UProbe,
        uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope},
    },
};
use leak_ebpf::{MAX_WATCHED_WORDS, Made, Places, Seen, UNSEEN, UNWATCHED, WriterKey, Writes};

use super::Write;
use crate::probe::hits::Shared;

/// The compiled programs; `cargo xtask build` makes them and `build.rs` names the file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LEAKTRACE_WRITES_OBJECT"));

/// The names of the one for watchpoints and of that on the function which makes instances.
const WRITE: &str = "write";
const INSTANCE: &str = "instance";

/// The programs, for one process and up to [`MAX_WATCHED_WORDS`] words of it.
pub struct Programs {
    ebpf: Ebpf,
    last: Array<MapData, u64>,
    seen: Array<MapData, Shared<Seen>>,
    hits: Array<MapData, u64>,
    writers: HashMap<MapData, Shared<WriterKey>, Shared<Writes>>,
    made: HashMap<MapData, u64, Shared<Made>>,
}

impl Programs {
    /// Loads what they share. No word is watched yet.
    pub fn load(places: &Places, words: [u64; MAX_WATCHED_WORDS]) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .override_global("WORDS", &words[..], true)
            .load(OBJECT)
            .context("the kernel refused leaktrace's BPF maps for Python; Linux 5.17 or newer with BTF is needed")?;
        // It stays with the programs, which are yet to be loaded.
        let map = ebpf.map_mut("PLACES").context(LACKS)?;
        Array::<_, Shared<Places>>::try_from(map)?.set(0, Shared(*places), 0)?;
        let last = Array::try_from(take(&mut ebpf, "LAST")?)?;
        let seen = Array::try_from(take(&mut ebpf, "SEEN")?)?;
        let hits = Array::try_from(take(&mut ebpf, "HITS")?)?;
        let writers = HashMap::try_from(take(&mut ebpf, "WRITERS")?)?;
        let made = HashMap::try_from(take(&mut ebpf, "MADE")?)?;
        let mut programs = Self { ebpf, last, seen, hits, writers, made };
        for word in 0..MAX_WATCHED_WORDS {
            programs.ignore(word)?;
        }
        Ok(programs)
    }

    /// Loads the program for watchpoints.
    pub fn load_write(&mut self) -> Result<()> {
        let program: &mut PerfEvent = self.ebpf.program_mut(WRITE).context(LACKS)?.try_into()?;
        program.load().context(REFUSED)
    }

    /// Loads the program for the function that makes instances.
    pub fn load_instance(&mut self) -> Result<()> {
        self.instance()?.load().context(REFUSED)
    }

    /// Puts that program at this place of a file, in one process. It is taken out when the link is dropped.
    pub fn attach_instance(&mut self, file: &Path, offset: u64, pid: u32) -> Result<UProbeLink> {
        let scope = NonZeroU32::new(pid).map(UProbeScope::OneProcess).context("no process has the id 0")?;
        let program = self.instance()?;
        let id = program.attach(UProbeAttachLocation::AbsoluteOffset(offset), file, scope)?;
        Ok(program.take_link(id)?)
    }

    fn instance(&mut self) -> Result<&mut UProbe> {
        Ok(self.ebpf.program_mut(INSTANCE).context(LACKS)?.try_into()?)
    }

    /// How often that program was hit, whatever type it was for.
    pub fn hits(&self) -> Result<u64> {
        self.hits.get(&0, 0).context("the instances that were counted cannot be read")
    }

    /// The program for watchpoints.
    pub fn write(&self) -> Result<BorrowedFd<'_>> {
        let program: &PerfEvent = self.ebpf.program(WRITE).context(LACKS)?.try_into()?;
        Ok(program.fd()?.as_fd())
    }

    /// Has writes to this word counted, by how they change it. `now` looks what it is: the first write is counted only if
    /// that was seen before it.
    pub fn heed(&mut self, word: usize, now: impl FnOnce() -> Option<u64>) -> Result<()> {
        let place = word as u32;
        self.last.set(place, UNSEEN, 0)?;
        let value = now();
        if let Some(value) = value
            && self.last.get(&place, 0)? == UNSEEN
        {
            self.last.set(place, value, 0)?;
        }
        Ok(())
    }

    /// Has writes to this word counted no more.
    pub fn ignore(&mut self, word: usize) -> Result<()> {
        Ok(self.last.set(word as u32, UNWATCHED, 0)?)
    }

    /// What was seen of a word.
    pub fn seen(&self, word: usize) -> Result<Seen> {
        Ok(self.seen.get(&(word as u32), 0).context("the writes that were counted cannot be read")?.0)
    }

    /// The objects that were made and not forgotten since, by address.
    pub fn made(&self) -> Result<Vec<(u64, Made)>> {
        let entries = self.made.iter().map(|entry| entry.map(|(address, Shared(made))| (address, made)));
        entries.collect::<Result<_, _>>().context("the instances that were made cannot be read")
    }

    /// Remembers an object no more.
    pub fn forget_made(&mut self, address: u64) {
        // It was there a moment ago, and nobody else removes any.
        let _ = self.made.remove(&address);
    }

    /// All that was summed. `stayed` says how many of a stack's objects were seen to stay.
    pub fn writes(&self, stayed: impl Fn(WriterKey) -> u64) -> Result<Vec<Write>> {
        let mut all = Vec::new();
        for entry in &self.writers {
            let (Shared(by), Shared(writes)) = entry.context("the writes that were counted cannot be read")?;
            all.push(Write {
                index: by.word as usize,
                additions: writes.added,
                removals: writes.removed,
                stayed: stayed(by),
                frames: writes.stack.frames().to_vec(),
            });
        }
        Ok(all)
    }
}

const LACKS: &str = "this build of leaktrace lacks its program for Python's lines";
const REFUSED: &str = "the kernel refused leaktrace's program for Python's lines; Linux 5.17 or newer is needed";

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("this build of leaktrace lacks its map {name}"))
}
