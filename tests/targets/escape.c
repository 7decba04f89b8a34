/* Does with an allocator of its own, esc_malloc and so on, what would break
 * libc's: leaves it by longjmp, from a signal handler or by the end of the
 * thread, enters it again and again, and is given the same block twice. Each
 * case runs twice, in threads of its own: as the first that its thread does with
 * the allocator, and after a call that another was nested in.
 *
 * Talk:  -> "ready PID"
 *        <- "go"          (the tracer is attached, with --symbols-prefix esc_)
 *        -> "done ESCAPES", the calls that never returned
 *        <- end of file; the program leaves. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "books.h"

/* What esc_malloc does the next time it is called. */
enum {
    ALLOCATE,
    JUMP_OUT,
    BE_INTERRUPTED,
    END_THREAD,
    RECURSE,
    GIVE_SAME,
    MAP_MEMORY,
} trick;

static void *play(size_t bytes);
#define HEAP_HOOK(bytes) (trick == ALLOCATE ? NULL : play(bytes))
#define PREFIX esc_
#include "tiny_heap.h"

#define CASE(name) FRAME static void name(void)

static sigjmp_buf outside;
static unsigned escapes;
static unsigned recursions;
static void *same;

static void *play(size_t bytes) {
    int now = trick;
    trick = ALLOCATE;
    switch (now) {
    case JUMP_OUT:
        escapes++;
        siglongjmp(outside, 1);
    case BE_INTERRUPTED:
        raise(SIGUSR1);
        return NULL;
    case END_THREAD:
        escapes++;
        pthread_exit(NULL);
    case RECURSE:
        if (recursions == 0) return NULL;
        recursions--;
        trick = RECURSE;
        return esc_malloc(bytes);
    case GIVE_SAME:
        return same;
    case MAP_MEMORY:
        return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    default:
        return NULL;
    }
}

/* esc_valloc is a bare jump to esc_malloc: both begin at one stack pointer. */
void *esc_valloc(size_t bytes);
__asm__(".globl esc_valloc\n.type esc_valloc, @function\n"
        "esc_valloc: jmp esc_malloc\n.size esc_valloc, . - esc_valloc\n");

FRAME static void take_with(int with, size_t bytes) {
    trick = with;
    USED(esc_malloc(bytes));
}

/* ---- calls that never return ---- */

CASE(escape_by_longjmp) { /* 100 */
    if (sigsetjmp(outside, 1) == 0) take_with(JUMP_OUT, 9000);
    USED(esc_malloc(100));
}

/* Two functions that call the allocator at one stack pointer. */
FRAME static void leave_it(void) {
    trick = JUMP_OUT;
    USED(esc_malloc(9000));
}

FRAME static void use_it(void) {
    trick = ALLOCATE;
    USED(esc_malloc(220));
}

CASE(allocation_in_the_place_of_an_escape) { /* 220 */
    if (sigsetjmp(outside, 1) == 0) leave_it();
    use_it();
}

FRAME static void allocate_deeper(unsigned depth) {
    if (depth > 0)
        allocate_deeper(depth - 1);
    else
        USED(esc_malloc(200));
    AFTER_CALL();
}

CASE(allocation_deeper_after_an_escape) { /* 200 */
    if (sigsetjmp(outside, 1) == 0) take_with(JUMP_OUT, 9000);
    allocate_deeper(20);
}

FRAME static void escape_from_below(unsigned depth) {
    if (depth > 0)
        escape_from_below(depth - 1);
    else
        take_with(JUMP_OUT, 9000);
    AFTER_CALL();
}

/* A frame that covers what the calls before have left on the stack, and changes
 * nothing of it. */
FRAME static void allocate_below_old_frames(size_t bytes) {
    char room[16384];
    USED(room);
    USED(esc_malloc(bytes));
    USED(room);
}

CASE(allocation_below_the_remains_of_an_escape) { /* 300, ten times */
    if (sigsetjmp(outside, 1) == 0) escape_from_below(10);
    for (int i = 0; i < 10; i++) allocate_below_old_frames(300);
}

static void leave_handler(int signal) {
    (void)signal;
    escapes++;
    siglongjmp(outside, 1);
}

CASE(escapes_from_a_signal_handler) { /* 16, a hundred times */
    struct sigaction action = {.sa_handler = leave_handler};
    sigaction(SIGUSR1, &action, NULL);
    for (volatile int i = 0; i < 100; i++) {
        if (sigsetjmp(outside, 1) == 0) take_with(BE_INTERRUPTED, 9000);
        USED(esc_malloc(16));
    }
}

static char other_stack[65536];

CASE(escapes_from_a_handler_on_another_stack) { /* 24, ten times */
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    struct sigaction action = {.sa_handler = leave_handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(outside, 1) == 0) take_with(BE_INTERRUPTED, 9000);
        USED(esc_malloc(24));
    }
}

CASE(end_of_the_thread_inside) { /* 400 */
    USED(esc_malloc(400));
    take_with(END_THREAD, 9000);
}

/* ---- calls inside calls ---- */

CASE(nested_calls) { /* 500 and 510 */
    USED(esc_calloc(5, 100));
    USED(esc_realloc(esc_malloc(100), 510));
}

CASE(tail_call) { /* 520 */
    USED(esc_valloc(520));
}

CASE(heap_call_that_maps) { /* 8192 */
    take_with(MAP_MEMORY, 8192);
}

CASE(recursive_allocator) { /* 530 and 540 */
    recursions = 100; /* more than the 64 returns that the kernel keeps track of */
    take_with(RECURSE, 530);
    USED(esc_malloc(540));
}

/* ---- a free that was not seen ---- */

FRAME static void first_owner(void) {
    same = esc_malloc(600);
    AFTER_CALL();
}

FRAME static void second_owner(void) { /* 610 */
    take_with(GIVE_SAME, 610);
    AFTER_CALL();
}

CASE(address_reused) { /* 610, by second_owner */
    first_owner();
    second_owner();
}

static void (*const cases[])(void) = {
    escape_by_longjmp,
    allocation_in_the_place_of_an_escape,
    allocation_deeper_after_an_escape,
    allocation_below_the_remains_of_an_escape,
    escapes_from_a_signal_handler,
    escapes_from_a_handler_on_another_stack,
    end_of_the_thread_inside,
    nested_calls,
    tail_call,
    heap_call_that_maps,
    recursive_allocator,
    address_reused,
};

static void (*one_case)(void);

FRAME static void *fresh_thread(void *unused) {
    one_case();
    AFTER_CALL();
    return unused;
}

FRAME static void *used_thread(void *unused) {
    esc_free(esc_calloc(1, 8));
    one_case();
    AFTER_CALL();
    return unused;
}

static void run_thread(void *(*body)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0) abort();
    pthread_join(thread, NULL);
}

int main(void) {
    say((size_t)snprintf(text, sizeof text, "ready %d\n", (int)getpid()));
    if (!hear()) return 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        one_case = cases[i];
        run_thread(fresh_thread);
        run_thread(used_thread);
    }
    say((size_t)snprintf(text, sizeof text, "done %u\n", escapes));
    hear();
    return 0;
}
