//! `leaktrace history`: over the sessions of two builds it says which leak was fixed, and it goes on where a file is broken.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Machine, Running, Scratch};

/// A program that handles a request every five milliseconds, and loses what it took for it unless it is the fixed build.
const PROGRAM: &str = "
    #include <stdlib.h>
    #include <time.h>
    #define FRAME __attribute__((noinline, noipa))
    FRAME static void *take(void) { return malloc(1000); }
    FRAME static void handle_request(void) {
        void *request = take();
        __asm__ volatile(\"\" : \"+r\"(request) : : \"memory\");
    #ifdef FIXED
        free(request);
    #endif
        __asm__ volatile(\"\");
    }
    int main(void) {
        struct timespec pause = {0, 5000000};
        for (;;) {
            handle_request();
            nanosleep(&pause, NULL);
        }
    }
";

/// A build of it, in a folder of its own.
fn build(scratch: &Scratch, folder: &str, options: &[&str]) -> PathBuf {
    let source = scratch.file("served.c", PROGRAM);
    fs::create_dir(scratch.path(folder)).expect("our folder");
    let program = scratch.path(folder).join("served");
    let mut command = Command::new("cc");
    command.args(["-O1", "-g", "-fno-omit-frame-pointer", "-Wl,--build-id"]).args(options);
    let status = command.arg("-o").arg(&program).arg(&source).status().expect("cc");
    assert!(status.success(), "{command:?}");
    program
}

fn start(machine: &Machine, program: &Path) -> Running {
    machine.program(Command::new(program).stdin(Stdio::null()))
}

#[test]
fn a_leak_that_the_next_build_has_no_more_is_fixed() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let kept = scratch.path("kept");
    let directory = kept.to_str().expect("a plain path");
    let sample = || machine.leaktrace_with(["sample", "--for", "6s", "--directory", directory, "served"]).wait().well();
    let history = |arguments: &[&str]| {
        machine.leaktrace_with(["history", "--directory", directory].iter().chain(arguments)).wait().well()
    };
    let leaks = start(&machine, &build(&scratch, "first", &[]));
    sample();
    sample();
    drop(leaks);
    let repaired = start(&machine, &build(&scratch, "second", &["-DFIXED"]));
    sample();
    drop(repaired);
    scratch.file("kept/foreign.leak", "\u{1b}[2J");

    let outcome = history(&["--format", "json", "served"]);
    assert!(outcome.errors.contains("foreign.leak is not a session"), "{}", outcome.errors);
    let told = outcome.reports().remove(0);
    assert_eq!(told["schema"], "leaktrace.history/1");
    let sessions = told["sessions"].as_array().expect("sessions");
    let other_builds: Vec<_> = sessions.iter().map(|session| session["is_other_build"] == true).collect();
    assert_eq!(other_builds, [false, false, true], "{told}");
    let [leak] = told["leaks"].as_array().expect("leaks").as_slice() else { panic!("one leak: {told}") };
    assert_eq!((&leak["state"], &leak["sessions"]), (&"fixed".into(), &2.into()), "{told}");
    assert_eq!(
        (&leak["first"]["build_id"], &leak["last"]["build_id"]),
        (&sessions[0]["build_id"], &sessions[1]["build_id"])
    );
    assert_eq!(leak["frames"][1]["function"], "handle_request", "{leak}");
    let since = sessions[2]["since_last"].as_str().expect("a sentence");
    assert!(since.contains("stack was fixed") || since.contains("smaller or gone"), "{since}");

    let page = history(&["served"]).output;
    assert!(page.contains("1 stack that leaked or grew: 1 fixed") && page.contains("handle_request"), "{page}");
    assert!(page.contains("* another build"), "{page}");
    let services = history(&[]).output;
    assert!(services.contains("1 service, 3 sessions") && services.contains("good  served"), "{services}");
    let nobody = machine.leaktrace_with(["history", "--directory", directory, "nobody"]).wait();
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.errors.contains("there is no session of nobody in"), "{}", nobody.errors);
}
