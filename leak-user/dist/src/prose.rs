//! What the man pages say beside what the definition of the commands says.

/// Paragraphs that follow a page's first.
pub fn description(page: &str) -> Vec<&'static str> {
    match page {
        "leaktrace" => vec![
            "It puts eBPF programs on the allocators that a process maps, keeps the books of what is outstanding for each \
             call stack, and says of each stack whether it leaks and how sure that is. Nothing is injected, and the \
             process is neither stopped nor restarted. What was lost and what tracing cost is in every report.",
            "Tracing keeps within a budget of the traced process's CPU time: it begins with every allocation, then \
             samples, then watches in bursts, and in the end lets go. It says so each time.",
            "It needs Linux 5.17 or later with BTF, and root or the capabilities CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and \
             CAP_DAC_READ_SEARCH.",
        ],
        "leaktrace-run" => vec![
            "Every allocation is traced whatever it costs, unless --sample or --budget say otherwise. The program gets \
             the rights, the user and the terminal of who launched it.",
        ],
        "leaktrace-mark" => vec!["The trace is one that keeps a session with -w, of the same user or asked by root."],
        "leaktrace-watch" => vec![
            "It reads at intervals how much memory each process has for itself, and places no probe. A process that \
             grows steadily is traced for a while within a budget, into a session; then it is left in peace, longer \
             after each time. Every decision is a line on standard error with its reason.",
            "The service leaktrace-watch.service runs it with few rights. It is installed with leaktrace and starts when \
             it is enabled: systemctl enable --now leaktrace-watch. Reloading the service, or SIGHUP, reads the list of \
             patterns again.",
        ],
        "leaktrace-doctor" => {
            vec!["It also measures what a probe's hit costs on this machine, and leaves nothing behind."]
        }
        // The others look at sessions.
        _ => vec!["A session is a file that leaktrace writes with -w. Looking at one needs no rights but to read it."],
    }
}

/// What the program ends with.
pub const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "A condition holds that was asked for with --fail-on or --fail-on-worse."),
    ("2", "A usage error, or nothing could be done; a sentence on standard error says why, and what to do."),
];

/// The files that a page is about.
pub fn files(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "leaktrace" | "leaktrace-run" => &[
            ("/var/cache/leaktrace", "Tables made of programs' unwind information, where making them took long."),
            ("/usr/lib/debug", "Debug information of other packages, read by build ID."),
            ("/tmp/perf-PID.map", "Names of functions that a runtime compiled in process PID, in that process's /tmp."),
        ],
        "leaktrace-watch" => &[
            ("/etc/leaktrace/watch.list", "Patterns of what the service may look at; read again when it is reloaded."),
            (
                "/etc/default/leaktrace",
                "More options for the services, in LEAKTRACE_WATCH_ARGS and LEAKTRACE_SAMPLE_ARGS.",
            ),
            ("/var/lib/leaktrace", "The sessions that were kept."),
        ],
        _ => &[],
    }
}

/// Pages of others, with their sections.
pub fn related(page: &str) -> &'static [(&'static str, &'static str)] {
    match page {
        "leaktrace" => &[("bpf", "2"), ("capabilities", "7"), ("proc", "5")],
        "leaktrace-watch" => &[("systemctl", "1"), ("systemd.service", "5"), ("journalctl", "1")],
        _ => &[],
    }
}
