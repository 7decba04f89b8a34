//! What a process runs at an address, now or a moment ago.
//!
//! A stack arrives some time after it was walked, and what its process maps may have changed since, and changed back. So each
//! stack bears its generation, how often that had changed, and here are the mappings of the generations that were
//! looked at. Of one that was not, only that is told which cannot have been otherwise: nothing has been taken away since, or
//! the mapping has been there from the first. A library of before the first look that was unloaded, and was
//! back in its place with another there in between, all unseen, is not told from one that stayed.

use leak_ebpf::Changes;

use super::{
    maps::CodeMapping,
    modules::{Location, ModuleIndex},
};

/// What a dynamically linked program has before its loader has begun: itself, the loader, and the vDSO.
const BARE: usize = 3;

/// So many changes does the loader then tell of, when it loads what the program needs: before, and after.
const CHANGES_AT_START: u32 = 2;

/// The code mappings of one process, as they were read. By default it was not looked at yet.
#[derive(Debug, Default)]
pub struct AddressSpace {
    now: Snapshot,
    /// The last whole one of another generation: stacks from then may still be on their way.
    before: Option<Snapshot>,
    /// What is mapped by this generation is what the program cannot do without.
    begun: u32,
    /// From this generation up to `now`, nothing has been taken away.
    kept_since: u32,
}

/// The code mappings of a process as they were read once.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What had changed before they were read.
    since: Changes,
    /// And afterwards. If that is more, some were perhaps read before a change and some after.
    until: Changes,
    mappings: Vec<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    mapping: CodeMapping,
    module: ModuleIndex,
    /// Whether it was there from the first, and at each look since.
    lasts: bool,
}

impl Snapshot {
    /// Mappings, in order of address, and what had changed before and after they were read.
    pub fn new(since: Changes, until: Changes, mappings: impl Iterator<Item = (CodeMapping, ModuleIndex)>) -> Self {
        let mapped = mappings.map(|(mapping, module)| Mapped { mapping, module, lasts: true });
        Self { since, until, mappings: mapped.collect() }
    }

    /// Whether it is all of one generation.
    fn is_whole(&self) -> bool {
        self.since == self.until
    }

    fn is_of(&self, generation: u32) -> bool {
        self.is_whole() && self.until.all == generation
    }

    /// From which generation on nothing was taken away until it was complete, as far as it alone can tell.
    fn kept_since(&self) -> u32 {
        if self.since.removals == self.until.removals { self.since.all } else { u32::MAX }
    }

    fn at(&self, address: u64) -> Option<&Mapped> {
        let next = self.mappings.partition_point(|mapped| mapped.mapping.start <= address);
        self.mappings.get(next.checked_sub(1)?).filter(|mapped| address < mapped.mapping.end)
    }

    fn has(&self, mapped: &Mapped) -> bool {
        let same = self.at(mapped.mapping.start).filter(|same| same.module == mapped.module);
        same.is_some_and(|same| same.lasts && same.mapping == mapped.mapping)
    }
}

impl Mapped {
    fn locate(&self, address: u64) -> Location {
        Location { module: Some(self.module), offset: address - self.mapping.start + self.mapping.file_offset }
    }
}

impl AddressSpace {
    /// The mappings were read, for the first time or anew.
    pub fn replace(&mut self, mut new: Snapshot) {
        let is_first = self.now.mappings.is_empty();
        if is_first {
            let is_bare = new.mappings.len() <= BARE;
            self.begun = new.until.all.wrapping_add(if is_bare { CHANGES_AT_START } else { 0 });
        }
        if new.until.all > self.begun {
            for mapped in &mut new.mappings {
                mapped.lasts = self.now.has(mapped);
            }
        }
        if is_first || new.until.removals != self.now.since.removals {
            self.kept_since = new.kept_since();
        }
        let old = std::mem::replace(&mut self.now, new);
        if old.is_whole() && old.until.all != self.now.until.all {
            self.before = Some(old);
        }
    }

    /// Whether a stack of this generation is better placed after another look.
    pub fn wants_look(&self, generation: u32) -> bool {
        generation > self.now.until.all || !self.now.is_whole() && generation >= self.now.since.all
    }

    /// Where an address of this generation lies, where `latest` is what has changed by this moment.
    pub fn find(&self, generation: u32, address: u64, latest: impl FnOnce() -> Changes) -> Option<Location> {
        if let Some(before) = self.before.as_ref().filter(|before| before.is_of(generation)) {
            return Some(before.at(address)?.locate(address));
        }
        let mapped = self.now.at(address)?;
        let is_certain = self.now.is_of(generation)
            || mapped.lasts
            || generation >= self.kept_since
                && (generation <= self.now.until.all || latest().removals == self.now.until.removals);
        is_certain.then(|| mapped.locate(address))
    }

    /// The mappings of the last look, in order of address, with their modules.
    pub fn mappings(&self) -> impl Iterator<Item = (&CodeMapping, ModuleIndex)> {
        self.now.mappings.iter().map(|mapped| (&mapped.mapping, mapped.module))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::offline::tests::Random;

    const PAGE: u64 = 0x1000;

    /// What lies in each place of a made-up process.
    type Places = [Option<u32>; 8];

    /// Places whose libraries are there from the first to the last.
    const LASTING: usize = 4;

    fn changes(all: u32, removals: u32) -> Changes {
        Changes { all, removals }
    }

    fn snapshot(since: Changes, until: Changes, places: &Places) -> Snapshot {
        let mapped = places.iter().zip(1..).filter_map(|(library, place)| {
            let library = (*library)?;
            let (start, end) = (place * PAGE, (place + 1) * PAGE);
            let inode = library.into();
            let mapping = CodeMapping { start, end, file_offset: 0, device: (8, 1), inode, path: PathBuf::new() };
            Some((mapping, ModuleIndex(library)))
        });
        Snapshot::new(since, until, mapped)
    }

    fn whole(changes: Changes, places: &Places) -> Snapshot {
        snapshot(changes, changes, places)
    }

    fn seen(first: Snapshot) -> AddressSpace {
        let mut space = AddressSpace::default();
        space.replace(first);
        space
    }

    fn with(plugin: Option<u32>) -> Places {
        [Some(100), Some(101), Some(102), Some(103), plugin, None, None, None]
    }

    /// What lies in this place in a stack of this generation.
    fn library(space: &AddressSpace, generation: u32, place: u64, latest: Changes) -> Option<usize> {
        let location = space.find(generation, (place + 1) * PAGE + 4, || latest)?;
        Some(location.module.expect("a module").place())
    }

    #[test]
    fn one_that_came_back_is_not_taken_for_the_one_that_was_there_in_between() {
        let mut space = seen(whole(changes(0, 0), &with(None)));
        space.replace(whole(changes(2, 0), &with(Some(1))));
        // 1 goes, 2 comes and goes, 1 is back.
        let latest = changes(10, 4);
        space.replace(whole(latest, &with(Some(1))));
        assert_eq!(library(&space, 6, 4, latest), None);
        assert_eq!(library(&space, 6, 0, latest), Some(100), "what lasts is known in between");
        assert_eq!([2, 10].map(|looked_at| library(&space, looked_at, 4, latest)), [Some(1), Some(1)]);
    }

    #[test]
    fn of_libraries_that_only_came_all_is_known_in_between() {
        let mut space = seen(whole(changes(0, 0), &with(None)));
        let latest = changes(40, 0);
        space.replace(whole(latest, &with(Some(1))));
        assert_eq!(library(&space, 20, 4, latest), Some(1));
    }

    #[test]
    fn of_a_process_that_is_gone_what_it_took_away_after_the_last_look_is_not_guessed() {
        let mut space = seen(whole(changes(0, 0), &with(None)));
        space.replace(whole(changes(2, 0), &with(Some(1))));
        assert_eq!(library(&space, 4, 4, changes(4, 0)), Some(1));
        assert_eq!(library(&space, 6, 4, changes(6, 2)), None);
    }

    #[test]
    fn what_a_new_program_needs_lasts_though_it_is_mapped_after_the_first_look() {
        let mut space = AddressSpace::default();
        assert!(space.wants_look(1), "nothing is known yet");
        space.replace(whole(changes(1, 1), &[Some(100), Some(101), None, None, None, None, None, None]));
        space.replace(whole(changes(3, 3), &with(Some(1))));
        let latest = changes(20, 9);
        space.replace(whole(latest, &with(Some(1))));
        assert_eq!([0, 3, 4].map(|place| library(&space, 10, place, latest)), [Some(100), Some(103), Some(1)]);
    }

    #[test]
    fn whatever_is_loaded_and_unloaded_and_looked_at_nothing_is_called_what_it_is_not() {
        let mut named = 0;
        for seed in 0..2_000 {
            named += live_through(seed);
        }
        assert!(named > 10_000, "{named}");
    }

    /// A process that loads and unloads at random, and is looked at at random. Gives how many addresses had a name.
    fn live_through(seed: u64) -> u32 {
        let mut random = Random(seed);
        let mut places = with(None);
        let mut history = vec![(changes(0, 0), places)];
        let mut space = seen(whole(changes(0, 0), &places));
        let mut named = 0;
        for _ in 0..60 {
            let (now, _) = history[history.len() - 1];
            let place = LASTING + random.below(4) as usize;
            match random.below(4) {
                0 | 1 => {
                    let is_removal = places[place].is_some();
                    // Told before it is done and after.
                    let begun = now.and_one(is_removal);
                    history.push((begun, places));
                    places[place] = if is_removal { None } else { Some(random.below(3) as u32) };
                    history.push((begun.and_one(is_removal), places));
                }
                2 => {
                    // Begun before some changes, and read during them.
                    let began = history.len() - 1 - random.below(history.len().min(5) as u64) as usize;
                    let (since, _) = history[began];
                    let mut read = places;
                    for (place, read) in read.iter_mut().enumerate() {
                        let moment = began + random.below((history.len() - began) as u64) as usize;
                        *read = history[moment].1[place];
                    }
                    if since.all >= space.now.until.all {
                        space.replace(snapshot(since, now, &read));
                    }
                }
                _ => {
                    let (then, truth) = history[random.below(history.len() as u64) as usize];
                    for (place, truth) in truth.iter().enumerate() {
                        let Some(truth) = truth else { continue };
                        let said = library(&space, then.all, place as u64, now);
                        assert!(said.is_none_or(|said| said == *truth as usize), "seed {seed}: {said:?} is {truth}");
                        assert!(said.is_some() || place >= LASTING, "seed {seed}: what lasts is known");
                        named += u32::from(said.is_some());
                    }
                }
            }
        }
        named
    }
}
