//! Python's frames in the place of the interpreter's own.
//!
//! A native stack says that the interpreter's loop runs, once for each time that C code has called it. Python's frames say
//! what it runs: so each frame of the loop is replaced by those that the call has come to run, up to the one that C
//! code called.

use leak_ebpf::PythonCall;

/// A stack of both, from innermost outwards.
///
/// What is left of Python's frames goes where the outermost of the loop was, or behind all if there was none, for a native
/// stack may end early. A frame of the loop for which there are none stays as it is.
pub fn merge<T: Copy>(
    native: &[T],
    is_loop: impl Fn(&T) -> bool,
    python: &[PythonCall],
    mut named: impl FnMut(PythonCall) -> T,
) -> Vec<T> {
    let last = native.iter().rposition(&is_loop);
    let mut merged = Vec::with_capacity(native.len() + python.len());
    let mut rest = python;
    for (place, call) in native.iter().enumerate() {
        if rest.is_empty() || !is_loop(call) {
            merged.push(*call);
            continue;
        }
        let entered = rest.iter().position(|call| call.is_entered()).map_or(rest.len(), |entered| entered + 1);
        let (run, left) = rest.split_at(if last == Some(place) { rest.len() } else { entered });
        merged.extend(run.iter().map(|call| named(*call)));
        rest = left;
    }
    merged.extend(rest.iter().map(|call| named(*call)));
    merged
}

#[cfg(test)]
mod tests {
    use leak_ebpf::ENTERED;

    use super::*;

    const LOOP: u64 = 7;

    fn merged(native: &[u64], python: &[(u64, bool)]) -> Vec<u64> {
        let calls = python.iter().map(|(code, is_entered)| PythonCall {
            code: code | if *is_entered { ENTERED } else { 0 },
            instruction: 0,
        });
        let calls: Vec<PythonCall> = calls.collect();
        merge(native, |call| *call == LOOP, &calls, PythonCall::code_object)
    }

    #[test]
    fn each_run_of_the_loop_becomes_what_it_runs() {
        let python = [(32, false), (48, true), (64, true)];
        assert_eq!(merged(&[1, LOOP, 2, LOOP, 3], &python), [1, 32, 48, 2, 64, 3]);
    }

    #[test]
    fn what_is_left_over_stays() {
        assert_eq!(merged(&[1, LOOP, 2, LOOP, 3], &[(32, true)]), [1, 32, 2, LOOP, 3]);
        assert_eq!(merged(&[1, LOOP, 2], &[(32, true), (48, true)]), [1, 32, 48, 2]);
        assert_eq!(merged(&[1, 2], &[(32, true)]), [1, 2, 32]);
        assert_eq!(merged(&[1, LOOP], &[]), [1, LOOP]);
    }
}
