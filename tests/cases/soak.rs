//! A day of `leaktrace watch`, squeezed: targets come and go, the disk is full for a while, the clock is set, lists are read
//! again. It takes a minute, or twenty with `--full`, where the clock is set too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{scope, sleep},
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, Timespec, clock_gettime, clock_settime},
};

use crate::harness::{Machine, Scratch, Target, is_full, target_path};

/// Sessions go here; it can be filled up.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(&at).status();
        assert!(mounted.is_ok_and(|status| status.success()), "a small file system");
        Self(at)
    }

    /// Leaves no room for so long.
    fn fill(&self, time: Duration) {
        let ballast = self.0.join("ballast");
        // It ends with an error, where there is no room.
        let _ = fs::write(&ballast, vec![1; 8 << 20]);
        sleep(time);
        fs::remove_file(ballast).expect("room again");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Resident bytes of a process.
fn rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Sets the clock ahead for a while. Nothing that waits may hang on it.
fn jump(time: Duration) {
    let set = |seconds: i64| {
        let now = clock_gettime(ClockId::Realtime);
        let then = Timespec { tv_sec: now.tv_sec + seconds, ..now };
        clock_settime(ClockId::Realtime, then).expect("the clock is set");
    };
    set(3600);
    sleep(time);
    set(-3600);
}

/// A program that leaks from its start, by this name.
fn leaking(machine: &Machine, program: &Path) -> Target {
    let mut command = Command::new(program);
    command.args(["3", "1", "0"]);
    let mut target = Target::start(machine, command);
    target.run_pairs(1);
    target.say("leak 1000 400");
    target
}

#[test]
fn a_watch_bears_what_a_day_brings_and_neither_grows_nor_loses_a_session() {
    let whole = Duration::from_secs(if is_full() { 1200 } else { 60 });
    // Nobody else bears it that the clock is set.
    let machine = if is_full() { Machine::alone() } else { Machine::shared() };
    let scratch = Scratch::new();
    let program = scratch.path("soaked");
    fs::copy(target_path("pair"), &program).expect("a copy");
    let disk = SmallDisk::mount(scratch.path("disk"));
    let list = scratch.file("list", "allow soaked\n");
    let mut watch = machine.leaktrace(&format!(
        "watch --interval 500ms --within 6s --least-growth 256K --look 5s --cool-down 1s --directory {} --list {}",
        disk.0.display(),
        list.display()
    ));
    watch.wait_until_said("watching every process");
    let pid = watch.pid();
    let began = Instant::now();
    let is_over = AtomicBool::new(false);
    let mut early = 0;
    scope(|scope| {
        // Short lives, about a hundred a second.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let mut short = machine.program(&mut Command::new("true"));
                short.wait();
                sleep(Duration::from_millis(10));
            }
        });
        // The target is started anew every so often, also while it is looked at.
        scope.spawn(|| {
            let mut lives = [17, 29, 13].into_iter().cycle();
            while !is_over.load(Relaxed) {
                let target = leaking(&machine, &program);
                let life = Instant::now();
                let long = Duration::from_secs(lives.next().unwrap_or(17));
                while life.elapsed() < long && !is_over.load(Relaxed) {
                    sleep(Duration::from_millis(200));
                }
                drop(target);
            }
        });
        let pause = whole / 10;
        for turn in 0..10 {
            let next = began + pause * (turn + 1);
            match turn {
                2 => early = rss(pid),
                3 => disk.fill(Duration::from_secs(if is_full() { 10 } else { 4 })),
                5 if is_full() => jump(Duration::from_secs(5)),
                7 => {
                    fs::write(&list, if is_full() { "allow soaked\ndeny other\n" } else { "nonsense\n" })
                        .expect("a list");
                    kill_process(Pid::from_raw(pid.cast_signed()).expect("a pid"), Signal::HUP).expect("it listens");
                }
                _ => {}
            }
            sleep(next.saturating_duration_since(Instant::now()));
        }
        is_over.store(true, Relaxed);
    });
    let late = rss(pid);
    assert!(late < early + (2 << 20), "it has grown from {early} to {late} bytes");
    let told_to_end = Instant::now();
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a pid"), Signal::TERM).expect("it listens");
    let ended = watch.wait().well();
    // Beside much else: twice as long as it may take on a machine that has time.
    let stopped_in = told_to_end.elapsed();
    assert!(stopped_in < Duration::from_secs(if is_full() { 2 } else { 4 }), "it stopped in {stopped_in:?}");
    let kept: Vec<&str> =
        ended.errors.lines().filter_map(|line| line.split("kept in ").nth(1)?.split(';').next()).collect();
    let looks = ended.errors.matches("looking closer").count();
    assert!(looks as u64 >= whole.as_secs() / 40 && !kept.is_empty(), "{looks} looks:\n{}", ended.errors);
    let now = SystemTime::now();
    for session in &kept {
        // Those that had no room for a first snapshot are not said to be kept.
        let file = Path::new(session);
        assert!(file.exists(), "{session} of {now:?} is lost:\n{}", ended.errors);
        machine.leaktrace_with(["summary", session]).wait().well();
    }
    println!("{looks} looks, {} sessions, {early} -> {late} bytes, stopped in {stopped_in:?}", kept.len());
}
