/* Does once each what allocators' users do at the edges of the books: each in
 * a function of its own, called as the ruling is.
 *
 * Talk:  -> "ready PID"
 *        <- "go"          (the tracer is attached)
 *        -> "done BYTES COUNT", all that was allocated since "go"
 *        <- end of file; the program leaves without freeing.
 *
 * A realloc or mremap that succeeds is an allocation of the new size and a free
 * of the old one. What a case holds in the end is said at it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>

#include "books.h"

#define PAGE 4096u
#define ANONYMOUS PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
#define CASE(name) FRAME static void name(void)

/* The compiler would warn of, or fold, calls that are wrong on purpose if it
 * saw these values. */
static volatile size_t nothing = 0, absurd = SIZE_MAX / 4;
static volatile size_t bad_alignment = 3, half_of_the_bits = (size_t)1 << 32;

static unsigned long allocated_bytes, allocated_count;

static void *took(void *block, size_t bytes) {
    if (block == NULL || block == MAP_FAILED) abort();
    USED(block);
    allocated_bytes += bytes;
    allocated_count++;
    return block;
}

static void check(int is_so) {
    if (!is_so) abort();
}

/* A block, or mapping, with a stack of its own. */
FRAME static void *old_block(size_t bytes) {
    void *block = took(malloc(bytes), bytes);
    AFTER_CALL();
    return block;
}

FRAME static char *old_mapping(char *at, size_t length, int flags) {
    char *mapping = took(mmap(at, length, ANONYMOUS | flags, -1, 0), length);
    AFTER_CALL();
    return mapping;
}

FRAME static char *shared_mapping(size_t length) {
    char *mapping = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    AFTER_CALL();
    return took(mapping, length);
}

/* ---- realloc ---- */

CASE(realloc_grows) { /* 5000 */
    took(realloc(old_block(100), 5000), 5000);
}

CASE(realloc_shrinks) { /* 40 */
    took(realloc(old_block(5000), 40), 40);
}

CASE(realloc_to_nothing) { /* nothing */
    void *block = realloc(old_block(100), nothing);
    check(block == NULL);
}

CASE(realloc_of_null) { /* 300 */
    took(realloc(NULL, 300), 300);
}

CASE(realloc_fails) { /* 700, by old_block */
    void *old = old_block(700);
    check(realloc(old, absurd) == NULL);
    USED(old);
}

CASE(realloc_fails_before_free) { /* nothing */
    void *old = old_block(700);
    check(realloc(old, absurd) == NULL);
    free(old);
}

CASE(reallocarray_overflows) { /* 800, by old_block */
    void *old = old_block(800);
    check(reallocarray(old, absurd, 16) == NULL);
    USED(old);
}

/* ---- calls that fail, and calls for nothing ---- */

CASE(malloc_fails) { /* nothing */
    check(malloc(absurd) == NULL);
}

CASE(calloc_overflows) { /* nothing */
    check(calloc(absurd, 16) == NULL);
    /* To a small number of bytes. */
    check(calloc(half_of_the_bits, half_of_the_bits + 1) == NULL);
}

CASE(posix_memalign_fails) { /* 900, by old_block */
    void *out = old_block(900), *old = out;
    check(posix_memalign(&out, bad_alignment, 64) == EINVAL && out == old);
    check(posix_memalign(&out, 64, absurd) == ENOMEM && out == old);
    USED(old);
}

CASE(zero_sizes) { /* five blocks of nothing */
    took(malloc(nothing), 0);
    took(calloc(nothing, 8), 0);
    took(calloc(8, nothing), 0);
    took(realloc(NULL, nothing), 0);
    took(aligned_alloc(64, nothing), 0);
}

CASE(zero_size_freed) { /* nothing */
    free(took(malloc(nothing), 0));
}

CASE(free_of_null) { /* nothing */
    void *volatile null = NULL;
    free(null);
}

/* ---- what was there before ---- */

static void *before[3];
static char *mapped_before;

static void allocate_before(void) {
    for (int i = 0; i < 3; i++) before[i] = malloc(1000);
    mapped_before = mmap(NULL, 4 * PAGE, ANONYMOUS, -1, 0);
    check(before[2] != NULL && mapped_before != MAP_FAILED);
}

CASE(free_of_a_block_from_before) { /* nothing */
    free(before[0]);
}

CASE(realloc_of_a_block_from_before) { /* 3000 */
    took(realloc(before[1], 3000), 3000);
}

CASE(failing_realloc_of_a_block_from_before) { /* nothing */
    check(realloc(before[2], absurd) == NULL);
    free(before[2]);
}

CASE(munmap_of_a_mapping_from_before) { /* nothing */
    check(munmap(mapped_before, 4 * PAGE) == 0);
}

/* ---- mappings ---- */

CASE(mmap_fails) { /* nothing */
    check(mmap(NULL, nothing, ANONYMOUS, -1, 0) == MAP_FAILED);
    check(mmap(NULL, absurd, ANONYMOUS, -1, 0) == MAP_FAILED);
}

CASE(munmap_of_the_middle) { /* 4 pages, one mapping */
    char *mapping = old_mapping(NULL, 6 * PAGE, 0);
    check(munmap(mapping + 2 * PAGE, 2 * PAGE) == 0);
}

CASE(munmap_piece_by_piece) { /* nothing */
    char *mapping = old_mapping(NULL, 3 * PAGE, 0);
    check(munmap(mapping + PAGE, PAGE) == 0);
    check(munmap(mapping, PAGE) == 0);
    check(munmap(mapping + 2 * PAGE, PAGE) == 0);
}

FRAME static void lower_mapping(char *at, size_t length) {
    check(old_mapping(at, length, MAP_FIXED_NOREPLACE) == at);
}

FRAME static void upper_mapping(char *at, size_t length) {
    check(old_mapping(at, length, MAP_FIXED_NOREPLACE) == at);
}

CASE(munmap_across_two) { /* 3 pages, by lower_mapping, and 2, by upper_mapping */
    char *room = old_mapping(NULL, 8 * PAGE, 0);
    check(munmap(room, 8 * PAGE) == 0);
    lower_mapping(room, 4 * PAGE);
    upper_mapping(room + 4 * PAGE, 4 * PAGE);
    check(munmap(room + 3 * PAGE, 3 * PAGE) == 0);
}

CASE(munmap_fails) { /* 2 pages */
    char *mapping = old_mapping(NULL, 2 * PAGE, 0);
    check(munmap(mapping + 1, PAGE) == -1);
}

CASE(mmap_over_a_mapping) { /* 4 pages and 2, by old_mapping */
    char *mapping = old_mapping(NULL, 6 * PAGE, 0);
    check(old_mapping(mapping + PAGE, 2 * PAGE, MAP_FIXED) == mapping + PAGE);
}

CASE(mremap_grows) { /* 5 pages */
    took(mremap(old_mapping(NULL, 2 * PAGE, 0), 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), 5 * PAGE);
}

CASE(mremap_shrinks) { /* 1 page */
    took(mremap(old_mapping(NULL, 5 * PAGE, 0), 5 * PAGE, PAGE, 0), PAGE);
}

CASE(mremap_moves) { /* 3 pages */
    char *room = old_mapping(NULL, 3 * PAGE, 0);
    char *mapping = old_mapping(NULL, 3 * PAGE, 0);
    /* What lies where it goes is unmapped. */
    char *moved = took(mremap(mapping, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room), 3 * PAGE);
    check(moved == room);
}

CASE(mremap_of_a_part) { /* 2 pages, by old_mapping, and 4 */
    char *mapping = old_mapping(NULL, 4 * PAGE, 0);
    took(mremap(mapping + 2 * PAGE, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE), 4 * PAGE);
}

CASE(mremap_fails) { /* 2 pages, by old_mapping */
    char *mapping = old_mapping(NULL, 2 * PAGE, 0);
    check(mremap(mapping, 2 * PAGE, absurd, MREMAP_MAYMOVE) == MAP_FAILED);
}

#define LEAVING (MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

CASE(mremap_leaves_what_was_there) { /* 2 pages, and 2 by old_mapping */
    took(mremap(old_mapping(NULL, 2 * PAGE, 0), 2 * PAGE, 2 * PAGE, LEAVING, NULL), 2 * PAGE);
}

CASE(mremap_maps_shared_pages_twice) { /* 3 pages, and 3 by shared_mapping */
    took(mremap(shared_mapping(3 * PAGE), 0, 3 * PAGE, MREMAP_MAYMOVE), 3 * PAGE);
}

/* Shared: the kernel moves no private pages of a file and leaves them where they were. */
static char *map_file(char *at, size_t length, int flags) {
    int file = open("/proc/self/exe", O_RDONLY);
    char *mapping = mmap(at, length, PROT_READ, MAP_SHARED | flags, file, 0);
    check(mapping != MAP_FAILED);
    close(file);
    return mapping;
}

CASE(file_mapping) { /* nothing */
    check(mremap(map_file(NULL, PAGE, 0), PAGE, 2 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
    map_file(NULL, 2 * PAGE, 0);
    check(munmap(old_mapping(NULL, PAGE, 0), PAGE) == 0);
    check(mremap(map_file(NULL, PAGE, 0), 0, PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
    check(mremap(map_file(NULL, PAGE, 0), PAGE, PAGE, LEAVING, NULL) != MAP_FAILED);
}

CASE(file_mapping_over_anonymous) { /* 3 pages, by old_mapping */
    char *mapping = old_mapping(NULL, 5 * PAGE, 0);
    check(map_file(mapping, 2 * PAGE, MAP_FIXED) == mapping);
}

/* ---- signals ---- */

FRAME static void handler_on_the_stack(int signal) {
    (void)signal;
    took(malloc(640), 640);
}

FRAME static void handler_on_another_stack(int signal) {
    (void)signal;
    took(malloc(650), 650);
}

static void raise_with(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    check(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0);
}

CASE(signal_handler_allocates) { /* 640 */
    raise_with(handler_on_the_stack, 0);
}

static char other_stack[65536];

CASE(signal_handler_on_another_stack_allocates) { /* 650 */
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    check(sigaltstack(&stack, NULL) == 0);
    raise_with(handler_on_another_stack, SA_ONSTACK);
}

/* ---- threads ---- */

static sem_t asked, answered;
static void *handed;

FRAME static void answer_with_a_block(void) { /* 720 */
    handed = took(malloc(706), 706);
}

/* Allocates nothing by itself once it runs. */
static void *answer_all(void *unused) {
    (void)unused;
    for (;;) {
        sem_wait(&asked);
        free(handed);
        answer_with_a_block();
        sem_post(&answered);
    }
}

static void begin_to_answer(void) {
    pthread_t thread;
    check(sem_init(&asked, 0, 0) == 0 && sem_init(&answered, 0, 0) == 0);
    check(pthread_create(&thread, NULL, answer_all, NULL) == 0);
    /* A thread's first block comes with an arena of its own. */
    sem_post(&asked);
    sem_wait(&answered);
    allocated_bytes = allocated_count = 0;
}

/* The address is the same all the time: each thread gives out what it was given. */
CASE(a_block_goes_to_and_fro) { /* nothing; the last answer stays */
    for (unsigned n = 0; n < 5000; n++) {
        free(handed);
        handed = took(malloc(712), 712);
        sem_post(&asked);
        sem_wait(&answered);
    }
}

/* ---- depth ---- */

FRAME static void deep_recursion(unsigned depth) { /* 480 */
    if (depth > 0)
        deep_recursion(depth - 1);
    else
        took(malloc(480), 480);
    AFTER_CALL();
}

static void all(void) {
    realloc_grows();
    realloc_shrinks();
    realloc_to_nothing();
    realloc_of_null();
    realloc_fails();
    realloc_fails_before_free();
    reallocarray_overflows();
    malloc_fails();
    calloc_overflows();
    posix_memalign_fails();
    zero_sizes();
    zero_size_freed();
    free_of_null();
    free_of_a_block_from_before();
    realloc_of_a_block_from_before();
    failing_realloc_of_a_block_from_before();
    munmap_of_a_mapping_from_before();
    mmap_fails();
    munmap_of_the_middle();
    munmap_piece_by_piece();
    munmap_across_two();
    munmap_fails();
    mmap_over_a_mapping();
    mremap_grows();
    mremap_shrinks();
    mremap_moves();
    mremap_of_a_part();
    mremap_fails();
    mremap_leaves_what_was_there();
    mremap_maps_shared_pages_twice();
    file_mapping();
    file_mapping_over_anonymous();
    signal_handler_allocates();
    signal_handler_on_another_stack_allocates();
    a_block_goes_to_and_fro();
    deep_recursion(200);
}

int main(void) {
    allocate_before();
    begin_to_answer();
    say((size_t)snprintf(text, sizeof text, "ready %d\n", (int)getpid()));
    if (!hear()) return 1;
    all();
    say((size_t)snprintf(text, sizeof text, "done %lu %lu\n", allocated_bytes, allocated_count));
    hear();
    return 0;
}
