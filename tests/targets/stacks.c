/* Allocates from as many stacks as it is told, each a random path through the
 * kinds of frames that C has, and says what each stack was (see witness.h).
 *
 * Usage: stacks SEED CALLS
 *
 * A call is made by STEPS_LEAST to STEPS_MOST steps, each of which calls the
 * next by way of something that walkers of stacks have been wrong about. Every
 * fourth call is made in a second thread.
 *
 * Build: cc -O2 -g -fomit-frame-pointer -fcf-protection -pthread
 *        -o stacks stacks.c, or with any other level, as PIE or not */
#include "witness.h"

#include <alloca.h>
#include <pthread.h>
#include <search.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <ucontext.h>
#include <wchar.h>

#define STEPS_LEAST 3
#define STEPS_MOST 40
#define SIDE_STACK (1 << 20)
#define COROUTINES 4

#define STEP __attribute__((noinline, noipa)) static
/* Something to do after a call, so that the call is never a tail call. */
#define AFTER_CALL() __asm__ volatile("" ::: "memory")
/* The compiler must believe that somebody looks at the memory. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

typedef void step(void);
static step *const steps[];
static const unsigned step_count;
static __thread unsigned steps_left;
static __thread size_t bytes;
static __thread unsigned coroutines; /* that this path is in */
static __thread int is_aside;        /* whether it has been on the signals' own stack */
static __thread sigjmp_buf bottom;

static void allocate(void);

/* The next step of the path; inlined into each. */
__attribute__((always_inline)) static inline step *next_step(void) {
    if (steps_left == 0) return allocate;
    steps_left--;
    return steps[witness_pick(step_count)];
}
#define ONWARD() next_step()()

/* ---- the ends of paths ---- */

static char text[WITNESS_LEAST_BYTES + 4 * WITNESS_CALLS];
static wchar_t wide[WITNESS_LEAST_BYTES / 4 + WITNESS_CALLS];

STEP void *end_malloc(void) {
    void *block = malloc(bytes);
    USED(block);
    return block;
}
STEP void *end_tail_call(void) { return malloc(bytes); }
STEP void *end_strdup(void) { return strdup(text + sizeof text - bytes); }
STEP void *end_strndup(void) { return strndup(text, bytes - 1); }
STEP void *end_wcsdup(void) { return wcsdup(wide + sizeof wide / sizeof wide[0] - bytes / 4); }
STEP void *end_getcwd(void) { return getcwd(NULL, bytes); }

STEP void allocate(void) {
    static void *(*const ends[])(void) = {end_malloc,  end_tail_call, end_strdup,
                                          end_strndup, end_wcsdup,    end_getcwd};
    void *(*end)(void) = ends[witness_pick(sizeof ends / sizeof ends[0])];
    witness_looks = 1;
    void *block = end();
    witness_looks = 0;
    USED(block);
}

/* ---- frames whose size or place is found out as they run ---- */

STEP void step_plain(void) {
    ONWARD();
    AFTER_CALL();
}

STEP void step_alloca(void) {
    char *room = alloca(16 + witness_pick(500));
    USED(room);
    ONWARD();
    USED(room);
}

STEP void step_array(void) {
    char room[1 + witness_pick(3000)];
    USED(room);
    ONWARD();
    USED(room);
}

STEP void step_aligned(void) {
    char room[64] __attribute__((aligned(64)));
    USED(room);
    ONWARD();
    USED(room);
}

/* Needs a frame pointer whatever the flags, and another for what lies above. */
STEP void step_aligned_array(void) {
    char room[64] __attribute__((aligned(128)));
    char more[1 + witness_pick(300)];
    USED(room);
    USED(more);
    ONWARD();
    USED(room);
    USED(more);
}

STEP void step_huge(void) {
    char room[20000];
    USED(room);
    ONWARD();
    USED(room);
}

/* ---- registers ---- */

STEP void step_crowded(void) {
    uint64_t a = witness_pick(9), b = witness_pick(9), c = witness_pick(9), d = witness_pick(9),
             e = witness_pick(9), f = witness_pick(9), g = witness_pick(9);
    ONWARD();
    __asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f), "r"(g) : "memory");
    AFTER_CALL();
}

/* %rbp holds what is no frame pointer, and lies above the stack pointer. */
STEP void step_misled(void) {
    uint64_t misled;
    __asm__ volatile("lea 64(%%rsp), %0" : "=r"(misled));
    register uint64_t in_rbp __asm__("rbx") = misled;
    __asm__ volatile("" : "+r"(in_rbp));
    ONWARD();
    __asm__ volatile("" : : "r"(in_rbp) : "memory");
}

/* ---- calls of all sorts ---- */

STEP void step_tail(void) { ONWARD(); }

STEP void step_again(void) {
    if (steps_left > 0 && witness_pick(3) == 0) {
        steps_left--;
        step_again();
    } else {
        ONWARD();
    }
    AFTER_CALL();
}

STEP void step_variadic_callee(int count, ...) {
    va_list list;
    va_start(list, count);
    USED(va_arg(list, char *));
    ONWARD();
    va_end(list);
    AFTER_CALL();
}
STEP void step_variadic(void) {
    step_variadic_callee(9, text, text, text, text, text, text, text, 1.0, 2.0);
    AFTER_CALL();
}

struct large {
    char bytes[200];
};
STEP struct large step_by_value_callee(struct large given) {
    ONWARD();
    USED(&given);
    return given;
}
STEP void step_by_value(void) {
    struct large given = {{0}};
    given = step_by_value_callee(given);
    USED(&given);
}

/* Its frame is made only on the way that needs one. */
STEP void step_late_frame(void) {
    if (__builtin_expect(steps_left == 1000, 1)) return;
    char room[300];
    USED(room);
    ONWARD();
    USED(room);
}

/* The call lies in a part of the function that is laid elsewhere. */
__attribute__((cold, noinline, noipa)) static void step_cold_callee(void) {
    ONWARD();
    AFTER_CALL();
}
STEP void step_cold(void) {
    if (steps_left != 1000) {
        char room[50];
        USED(room);
        step_cold_callee();
        USED(room);
    }
    AFTER_CALL();
}

/* The return address is another function's. */
__attribute__((noreturn, noinline, noipa)) static void step_endless_callee(void) {
    ONWARD();
    siglongjmp(bottom, 1);
}
STEP void step_endless(void) { step_endless_callee(); }

/* ---- called back by the C library ---- */

static int by_onward(const void *one, const void *other) {
    ONWARD();
    AFTER_CALL();
    return one < other;
}

static void *(*volatile bsearch_of_libc)(const void *, const void *, size_t, size_t,
                                         int (*)(const void *, const void *)) = bsearch;

STEP void step_sorted(void) {
    uint64_t two[2] = {2, 1};
    qsort(two, 2, sizeof two[0], by_onward);
    AFTER_CALL();
}

STEP void step_searched(void) {
    uint64_t one[1] = {1};
    USED(bsearch_of_libc(one, one, 1, sizeof one[0], by_onward));
}

STEP void step_found(void) {
    uint64_t one[1] = {1};
    size_t count = 1;
    USED(lfind(one, one, &count, sizeof one[0], by_onward));
}

/* ---- signals: between two instructions, and on another stack ---- */

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)info;
    if (signal == SIGUSR2) is_aside = 1;
    ONWARD();
    /* Past the instruction that brought it here. */
    if (signal == SIGILL) ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

STEP void step_raised(void) {
    raise(SIGUSR1);
    AFTER_CALL();
}

/* The kernel would take the stack aside for unused once it was left for a coroutine's. */
STEP void step_raised_aside(void) {
    raise(is_aside && coroutines > 0 ? SIGUSR1 : SIGUSR2);
    AFTER_CALL();
}

/* A leaf that keeps what it has below the stack pointer. */
STEP void step_trapped(void) {
    volatile uint64_t kept[4] = {1, 2, 3, 4};
    __asm__ volatile("ud2" ::: "memory");
    if (kept[0] + kept[3] != 5) abort();
}

/* The very first instruction: a byte before it is another function. */
void step_trapped_at_once(void);
__asm__(".text\n"
        ".type step_trapped_at_once, @function\n"
        "step_trapped_at_once:\n"
        ".cfi_startproc\n"
        "ud2\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size step_trapped_at_once, . - step_trapped_at_once\n");

static void handle(int signal, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | flags;
    sigaction(signal, &action, NULL);
}

/* ---- stacks that begin anywhere ---- */

static __thread ucontext_t callers[COROUTINES], coroutine[COROUTINES];
static char coroutine_stacks[2][COROUTINES][SIDE_STACK];
static __thread unsigned thread_number;

static void coroutine_main(void) {
    ONWARD();
    AFTER_CALL();
}

STEP void step_coroutine(void) {
    unsigned own = coroutines;
    if (own < COROUTINES && witness_pick(8) == 0) {
        coroutines++;
        getcontext(&coroutine[own]);
        coroutine[own].uc_stack.ss_sp = coroutine_stacks[thread_number][own];
        coroutine[own].uc_stack.ss_size = SIDE_STACK;
        coroutine[own].uc_link = &callers[own];
        makecontext(&coroutine[own], coroutine_main, 0);
        swapcontext(&callers[own], &coroutine[own]);
    } else {
        ONWARD();
    }
    AFTER_CALL();
}

/* Some twice, so that they come more often. */
static step *const steps[] = {
    step_plain,        step_alloca,   step_array,    step_aligned,  step_aligned_array,
    step_huge,         step_crowded,  step_misled,   step_tail,     step_again,
    step_variadic,     step_by_value, step_late_frame, step_cold,   step_endless,
    step_sorted,       step_searched, step_found,    step_raised,
    step_raised_aside, step_trapped,  step_trapped_at_once, step_coroutine, step_plain,
    step_alloca,       step_aligned,  step_tail,     step_crowded,  step_sorted,
};
static const unsigned step_count = sizeof steps / sizeof steps[0];

/* ---- paths ---- */

static uint64_t seed;
static unsigned calls;

STEP void walk(unsigned number) {
    witness_random = seed * 1000003 + number;
    witness_pick(2);
    bytes = WITNESS_LEAST_BYTES + 4 * (size_t)number;
    steps_left = STEPS_LEAST + witness_pick(STEPS_MOST - STEPS_LEAST + 1);
    coroutines = 0;
    is_aside = 0;
    if (sigsetjmp(bottom, 0) == 0) ONWARD();
    AFTER_CALL();
}

STEP void *walk_all(void *second) {
    static char aside[2][SIDE_STACK];
    thread_number = second != NULL;
    stack_t stack;
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = aside[thread_number];
    stack.ss_size = SIDE_STACK;
    sigaltstack(&stack, NULL);
    for (unsigned number = 0; number < calls; number++)
        if ((number % 4 == 3) == (second != NULL)) walk(number);
    return NULL;
}

static void run(uint64_t given_seed, unsigned given_calls) {
    pthread_t thread;
    seed = given_seed;
    calls = given_calls;
    walk_all(NULL);
    if (pthread_create(&thread, NULL, walk_all, (void *)&seed) != 0) abort();
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    memset(text, 'x', sizeof text - 1);
    wmemset(wide, L'x', sizeof wide / sizeof wide[0] - 1);
    handle(SIGUSR1, 0);
    handle(SIGUSR2, SA_ONSTACK);
    handle(SIGILL, 0);
    return witness_main(argc, argv, run);
}
