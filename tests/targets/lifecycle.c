/* Does what happens in the life of a process when it is told to: loads and
 * unloads libraries, forks, starts programs, becomes another.
 *
 * Talk:  -> "ready PID"
 *        <- a command (see main), answered by a line that begins with its word
 *        <- end of file; the program leaves without freeing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "books.h"

#define BLOCKS 10

static void check(int is_so) {
    if (!is_so) abort();
}

static void answer(const char *word, unsigned long figure) {
    say((size_t)snprintf(text, sizeof text, "%s %lu\n", word, figure));
}

static void wait_for(pid_t child) {
    int status;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *kept[BLOCKS];

/* Ten blocks of 100 bytes. */
FRAME static void keep(void) {
    for (int i = 0; i < BLOCKS; i++) {
        kept[i] = malloc(100);
        USED(kept[i]);
    }
}

FRAME static void drop(void) {
    for (int i = 0; i < BLOCKS; i++) {
        free(kept[i]);
        kept[i] = NULL;
    }
}

/* ---- libraries: each has a function `work` that allocates ---- */

static void *library;
static void (*use)(void);

static void load(const char *path) {
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        dprintf(2, "%s\n", dlerror());
        abort();
    }
    *(void **)&use = dlsym(library, "work");
    check(use != NULL);
}

static void unload(void) {
    check(dlclose(library) == 0);
    use = NULL;
}

/* Loads the one, uses it and unloads it, then the other, and so on, as fast as
 * can be. How often a library was where the one before had been. */
static unsigned long swap(const char *one, const char *other, unsigned rounds) {
    unsigned long in_same_place = 0;
    void (*before)(void) = NULL;
    for (unsigned round = 0; round < rounds; round++) {
        load(round % 2 ? other : one);
        in_same_place += use == before;
        before = use;
        use();
        unload();
    }
    return in_same_place;
}

/* Maps a file as code, whatever is in it. */
static void map(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat stat;
    check(file >= 0 && fstat(file, &stat) == 0);
    check(mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) != MAP_FAILED);
    close(file);
}

/* ---- children ---- */

FRAME static void child_allocates(void) {
    for (int i = 0; i < BLOCKS; i++) USED(malloc(100));
}

/* A child gives back what it inherited, and allocates for itself. */
static void fork_once(void) {
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        drop();
        child_allocates();
        _exit(0);
    }
    wait_for(child);
}

static unsigned long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000000000 + (unsigned long)now.tv_nsec;
}

/* Nanoseconds that a child takes for a thousand pairs of malloc and free, when
 * it does best in so many milliseconds. */
static unsigned long pairs_in_child(unsigned milliseconds) {
    int ends[2];
    check(pipe(ends) == 0);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        unsigned long start = nanoseconds(), best = (unsigned long)-1, end = start;
        while (end - start < milliseconds * 1000000UL) {
            unsigned long begun = nanoseconds();
            for (int i = 0; i < 1000; i++) {
                void *block = malloc(64);
                USED(block);
                free(block);
            }
            end = nanoseconds();
            if (end - begun < best) best = end - begun;
        }
        _exit(write(ends[1], &best, sizeof best) != sizeof best);
    }
    unsigned long best;
    check(read(ends[0], &best, sizeof best) == sizeof best);
    close(ends[0]);
    close(ends[1]);
    wait_for(child);
    return best;
}

static char *const program[] = {"/bin/true", NULL};

static void start_by_vfork(void) {
    pid_t child = vfork();
    check(child >= 0);
    if (child == 0) {
        execv(program[0], program);
        _exit(1);
    }
    wait_for(child);
}

/* A vfork child that does what it should not: it allocates in its parent's
 * memory. */
static void allocate_in_vfork(void) {
    pid_t child = vfork();
    check(child >= 0);
    if (child == 0) {
        child_allocates();
        _exit(0);
    }
    wait_for(child);
}

static void start_by_spawn(void) {
    pid_t child;
    check(posix_spawn(&child, program[0], NULL, NULL, program, NULL) == 0);
    wait_for(child);
}

FRAME static void leak_between_forks(void) { USED(malloc(48)); }

/* So many short-lived children a second, and a block of 48 bytes leaked with
 * each; how many there were. */
static unsigned long storm(unsigned seconds, unsigned children_a_second) {
    unsigned long children = (unsigned long)seconds * children_a_second;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned long i = 0; i < children; i++) {
        leak_between_forks();
        pid_t child = fork();
        check(child >= 0);
        if (child == 0) {
            void *block = malloc(1000);
            USED(block);
            free(block);
            child_allocates();
            _exit(0);
        }
        wait_for(child);
        next.tv_nsec += 1000000000 / children_a_second;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return children;
}

/* Children one after the other, each of which allocates and stays a while. */
static void bring_up(unsigned children, unsigned milliseconds) {
    struct timespec while_alive = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    for (unsigned i = 0; i < children; i++) {
        pid_t child = fork();
        check(child >= 0);
        if (child == 0) {
            child_allocates();
            nanosleep(&while_alive, NULL);
            child_allocates();
            _exit(0);
        }
        wait_for(child);
    }
}

/* A child that does the talking until it is told to leave, or is at its end. */
static void hand_over(void) {
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        answer("branch", (unsigned long)getpid());
        return;
    }
    wait_for(child);
    answer("left", (unsigned long)child);
}

/* The same with a program, by vfork. */
static void hand_over_to(const char *path) {
    pid_t child = vfork();
    check(child >= 0);
    if (child == 0) {
        execl(path, path, (char *)NULL);
        _exit(1);
    }
    wait_for(child);
    answer("left", (unsigned long)child);
}

/* Starts a program as the process with this very id, which must be free; with
 * this process it is gone. */
static void start_as(pid_t id, const char *path, const char *argument) {
    struct clone_args arguments = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&id, .set_tid_size = 1};
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(path, path, argument, (char *)NULL);
        _exit(1);
    }
    if (child != id) abort();
}

/* ---- becoming another program ---- */

static void become(const char *path) {
    execl(path, path, (char *)NULL);
    abort();
}

static void *become_in_thread(void *path) {
    keep();
    become(path);
    return NULL;
}

int main(void) {
    say((size_t)snprintf(text, sizeof text, "ready %d\n", (int)getpid()));
    while (hear()) {
        char word[20], one[1024], other[1024];
        unsigned number = 0, second_number = 0;
        check(sscanf(text, "%19s", word) == 1);
        const char *rest = text + strlen(word);
        if (strcmp(word, "keep") == 0) {
            keep();
            answer(word, 0);
        } else if (strcmp(word, "drop") == 0) {
            drop();
            answer(word, 0);
        } else if (strcmp(word, "child-allocates") == 0) {
            child_allocates();
            answer(word, 0);
        } else if (strcmp(word, "load") == 0) { /* load LIBRARY */
            check(sscanf(rest, "%1023s", one) == 1);
            load(one);
            answer(word, (unsigned long)use);
        } else if (strcmp(word, "work") == 0) { /* work TIMES */
            check(sscanf(rest, "%u", &number) == 1);
            for (unsigned i = 0; i < number; i++) use();
            answer(word, number);
        } else if (strcmp(word, "unload") == 0) {
            unload();
            answer(word, 0);
        } else if (strcmp(word, "swap") == 0) { /* swap LIBRARY LIBRARY ROUNDS */
            check(sscanf(rest, "%1023s %1023s %u", one, other, &number) == 3);
            answer(word, swap(one, other, number));
        } else if (strcmp(word, "map") == 0) { /* map FILE */
            check(sscanf(rest, "%1023s", one) == 1);
            map(one);
            answer(word, 0);
        } else if (strcmp(word, "fork") == 0) {
            fork_once();
            answer(word, 0);
        } else if (strcmp(word, "vfork") == 0) {
            start_by_vfork();
            answer(word, 0);
        } else if (strcmp(word, "spawn") == 0) {
            start_by_spawn();
            answer(word, 0);
        } else if (strcmp(word, "pairs-in-child") == 0) { /* pairs-in-child MILLISECONDS */
            check(sscanf(rest, "%u", &number) == 1);
            answer(word, pairs_in_child(number));
        } else if (strcmp(word, "vfork-allocate") == 0) {
            allocate_in_vfork();
            answer(word, 0);
        } else if (strcmp(word, "storm") == 0) { /* storm SECONDS CHILDREN_A_SECOND */
            check(sscanf(rest, "%u %u", &number, &second_number) == 2);
            answer(word, storm(number, second_number));
        } else if (strcmp(word, "bring-up") == 0) { /* bring-up CHILDREN MILLISECONDS */
            check(sscanf(rest, "%u %u", &number, &second_number) == 2);
            bring_up(number, second_number);
            answer(word, number);
        } else if (strcmp(word, "branch") == 0) {
            hand_over();
        } else if (strcmp(word, "branch-to") == 0) { /* branch-to PROGRAM */
            check(sscanf(rest, "%1023s", one) == 1);
            hand_over_to(one);
        } else if (strcmp(word, "leave") == 0) {
            _exit(0);
        } else if (strcmp(word, "start-as") == 0) { /* start-as ID PROGRAM ARGUMENT */
            check(sscanf(rest, "%u %1023s %1023s", &number, one, other) == 3);
            start_as((pid_t)number, one, other);
            answer(word, number);
        } else if (strcmp(word, "exec") == 0) { /* exec PROGRAM */
            check(sscanf(rest, "%1023s", one) == 1);
            become(one);
        } else if (strcmp(word, "exec-in-thread") == 0) { /* exec-in-thread PROGRAM */
            pthread_t thread;
            check(sscanf(rest, "%1023s", one) == 1);
            check(pthread_create(&thread, NULL, become_in_thread, one) == 0);
            pthread_join(thread, NULL);
        } else {
            abort();
        }
    }
    return 0;
}
