//! Which allocator functions a stack's calls have called: whether an allocator made a call to itself.
//!
//! The kernel side knows the outermost call of a thread by the return probe on it. Of a call that is not
//! sampled it keeps nothing, for that would cost as much as the sampling saves; so a call that an allocator makes inside it
//! is recorded like the program's own. Its stack tells: one of its calls has called an allocator's function, or its
//! first has called another one than was recorded, which then went on by a jump.

use std::{collections::HashMap, iter, ops::Range};

use crate::{
    ledger::Passage,
    process::{
        call_target::CallTargets,
        modules::{Location, ModuleIndex, Modules},
    },
};

/// Frames of an allocator that its calls to itself are looked for in.
const NEAR: usize = 24;

/// The functions that bear probes, in all processes.
#[derive(Default)]
pub struct Functions {
    /// By file: the code of each, with its number, from 1.
    by_module: HashMap<ModuleIndex, Vec<(Range<u64>, u16)>>,
    count: u16,
    processes: HashMap<u16, (u32, CallTargets)>,
}

/// Whose stack it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The process slot.
    pub process: u16,
    /// How often the process had changed what it runs.
    pub generation: u32,
    /// Its id.
    pub pid: u32,
    /// Where the kernel's return trampoline is in it, if that is known.
    pub trampoline: Option<u64>,
}

impl Functions {
    /// The number of the function with this code; 0 for one too many.
    pub fn number(&mut self, module: ModuleIndex, code: Range<u64>) -> u16 {
        let functions = self.by_module.entry(module).or_default();
        if let Some((_, number)) = functions.iter().find(|(known, _)| known.start == code.start) {
            return *number;
        }
        let Some(number) = self.count.checked_add(1) else { return 0 };
        self.count = number;
        functions.push((code, number));
        number
    }

    /// Lets go of what was known of a process, which is gone.
    pub fn forget_process(&mut self, process: u16) {
        self.processes.remove(&process);
    }

    /// What a stack passes through; `returns` are its return addresses, from the allocator's caller outwards, and
    /// `frames` where they lie.
    pub fn passage(
        &mut self,
        modules: &mut Modules,
        who: Caller,
        returns: impl Iterator<Item = u64>,
        frames: &[Location],
    ) -> Passage {
        let Caller { process, generation, pid, trampoline } = who;
        let (known, calls) = self.processes.entry(process).or_insert_with(|| (generation, CallTargets::of(pid)));
        if *known != generation {
            (*known, *calls) = (generation, CallTargets::of(pid));
        }
        let mut passage = Passage::default();
        // Where the allocator's own file is left for the first time.
        let first = frames.first().and_then(|frame| frame.module).filter(|module| self.by_module.contains_key(module));
        let exit = first.and_then(|_| frames.iter().position(|frame| frame.module != first));
        // A walk that does not get out of the allocator, for want of unwind information, tells nothing either.
        passage.may_be_inside = first.is_some() && frames.len() == 1;
        for (place, (address, frame)) in returns.zip(frames).take(NEAR).enumerate() {
            // A call from the allocator's own code; or one to which the kernel has put itself in the way back.
            if trampoline == Some(address) || self.by_module.function(*frame, |code, at| code.contains(&at)).is_some() {
                passage.is_inside = true;
                break;
            }
            let Some(called) = calls.called(address) else {
                passage.may_be_inside |= exit == Some(place);
                continue;
            };
            // As for a return address, one behind what is looked for.
            let at = modules.locate(process, generation, iter::once(called.wrapping_add(1)));
            let number = at.first().and_then(|at| self.by_module.function(*at, |code, at| code.start == at));
            match number {
                Some(number) if place == 0 => passage.innermost = number,
                Some(_) => passage.is_inside = true,
                None => {}
            }
        }
        passage
    }
}

trait Find {
    /// The number of a function at this place.
    fn function(&self, at: Location, is_it: impl Fn(&Range<u64>, u64) -> bool) -> Option<u16>;
}

impl Find for HashMap<ModuleIndex, Vec<(Range<u64>, u16)>> {
    fn function(&self, at: Location, is_it: impl Fn(&Range<u64>, u64) -> bool) -> Option<u16> {
        let functions = self.get(&at.module?)?.iter();
        functions.clone().find(|(code, _)| is_it(code, at.offset)).map(|(_, number)| *number)
    }
}
