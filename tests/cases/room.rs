//! COST to the machine: what leaktrace itself takes, in memory, time to start and processor time, beside a program that
//! is large in each of these ways.

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::harness::{Machine, Scratch, Target, number};

/// A program that holds blocks, has libraries loaded, and then allocates and frees at a steady pace.
///
/// `room BLOCKS PAIRS LIBRARIES...`: says "ready", hears "go", takes so many blocks, says "held", and does so many pairs
/// of malloc and free a second.
const PROGRAM: &str = r#"
    #include <dlfcn.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <time.h>
    #include <unistd.h>

    static void say(const char *word) { if (write(1, word, 6) != 6) exit(1); }

    __attribute__((noinline, noipa)) static void hold(size_t size) {
        void *block = malloc(size);
        __asm__ volatile("" : : "r"(block) : "memory");
    }

    int main(int count, char **arguments) {
        long blocks = atol(arguments[1]), pairs = atol(arguments[2]);
        for (int i = 3; i < count; i++)
            if (!dlopen(arguments[i], RTLD_NOW)) return 1;
        say("ready\n");
        char line[8];
        if (read(0, line, sizeof line) <= 0) return 1;
        for (long i = 0; i < blocks; i++) {
            hold(16 + i * 7 % 200);
            /* Not so fast that the ring runs over: none is to be missed. */
            if (i % 256 == 0) usleep(500);
        }
        say("held \n");
        struct timespec next;
        clock_gettime(CLOCK_MONOTONIC, &next);
        for (;;) {
            for (long i = 0; i < pairs / 1000; i++) {
                void *block = malloc(64);
                __asm__ volatile("" : "+r"(block) : : "memory");
                free(block);
            }
            next.tv_nsec += 1000000;
            if (next.tv_nsec >= 1000000000) next.tv_sec++, next.tv_nsec -= 1000000000;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
        }
    }
"#;

/// A library that is like many.
const LIBRARY: &str = "
    #include <stdlib.h>
    int triple(int number) { return 3 * number; }
    void *take(int number) { return calloc(triple(number), 8); }
";

/// Compiles a program or library; gives its path.
fn compiled(scratch: &Scratch, name: &str, source: &str, options: &[&str]) -> String {
    let source = scratch.file(&format!("{name}.c"), source);
    let mut command = Command::new("cc");
    command.args(["-g", "-O1", "-w", "-o"]).arg(scratch.path(name)).arg(source).args(options);
    assert!(command.status().expect("a C compiler").success());
    scratch.path(name).to_str().expect("a plain path").to_owned()
}

/// Starts the program.
fn room(machine: &Machine, scratch: &Scratch, arguments: &[String]) -> Target {
    let mut command = Command::new(compiled(scratch, "room", PROGRAM, &["-ldl"]));
    command.args(arguments);
    let mut target = Target::start(machine, command);
    assert_eq!(target.hear(), "ready");
    target
}

/// A figure in KiB of a process's `status`.
fn kibibytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of status");
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().expect("a number")
}

/// Processor time that a process has used.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
    // The kernel shows programs 100 ticks a second, whatever it counts itself.
    Duration::from_millis(10 * ticks)
}

#[test]
fn with_a_million_blocks_outstanding_leaktrace_takes_less_than_60_mb() {
    const BLOCKS: u64 = 1_000_000;
    const MOST_KIB: u64 = 60_000_000 / 1024;
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let mut target = room(&machine, &scratch, &[BLOCKS.to_string(), "1000".to_owned()]);
    let mut leaktrace = machine.attach(target.pid(), "--format json 1");
    target.say("go");
    assert_eq!(target.hear(), "held");
    let report = loop {
        let report = leaktrace.next_report();
        if number(&report["totals"], "outstanding_count") >= BLOCKS {
            break report;
        }
        assert_eq!(report["loss"]["complete"], true, "no block is missed: {}", report["loss"]);
    };
    // Ever, with the ring and what names are looked up in.
    let most = kibibytes(leaktrace.pid(), "VmHWM");
    assert!(most < MOST_KIB, "{most} KiB at most, with {}", report["totals"]);
    leaktrace.end().well();
}

#[test]
fn a_process_that_maps_300_objects_is_traced_within_a_second_of_processor_time() {
    const OBJECTS: usize = 300;
    let machine = Machine::alone();
    let scratch = Scratch::new();
    let library = compiled(&scratch, "library", LIBRARY, &["-shared", "-fPIC"]);
    let copies = (0..OBJECTS).map(|number| {
        let copy = scratch.path(&format!("library-{number}"));
        fs::copy(&library, &copy).expect("room for a copy");
        copy.to_str().expect("a plain path").to_owned()
    });
    let numbers = ["0", "1000"].map(str::to_owned);
    let mut target = room(&machine, &scratch, &numbers.into_iter().chain(copies).collect::<Vec<_>>());
    target.say("go");
    // Noise only adds, so the least is nearest to the truth.
    let least = (0..3).map(|_| {
        let leaktrace = machine.attach(target.pid(), "--format json 60");
        let used = processor_time(leaktrace.pid());
        sleep(Duration::from_millis(100));
        let report = leaktrace.end().last_report();
        assert!(number(&report["totals"], "allocated_count") > 0, "events came");
        used
    });
    let least = least.min().expect("three");
    assert!(least < Duration::from_secs(1), "{} ms until the probes were in place", least.as_millis());
}

#[test]
fn two_hundred_thousand_events_a_second_take_less_than_a_tenth_of_a_processor() {
    let machine = Machine::alone();
    let scratch = Scratch::new();
    let mut target = room(&machine, &scratch, &["0".to_owned(), "100000".to_owned()]);
    let mut leaktrace = machine.attach(target.pid(), "--format json 1");
    target.say("go");
    leaktrace.next_report();
    let (began, before) = (Instant::now(), processor_time(leaktrace.pid()));
    let first = number(&leaktrace.next_report()["totals"], "allocated_count");
    let last = [(); 4].map(|()| number(&leaktrace.next_report()["totals"], "allocated_count"))[3];
    let used = processor_time(leaktrace.pid()).saturating_sub(before).as_secs_f64();
    let pairs = (last - first) as f64 / 4.0 * began.elapsed().as_secs_f64();
    // By event, for a machine that has much else to do makes fewer of them.
    let share = used / (2.0 * pairs) * 200_000.0;
    assert!(share < 0.1, "{:.1} % at 200,000 events a second", 100.0 * share);
    leaktrace.end().well();
}
