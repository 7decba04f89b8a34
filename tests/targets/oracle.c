/* A random program that does everything a program can do with an allocator and
 * with mappings, and keeps its own books of it (see books.h for the talk).
 *
 * Usage: oracle SEED [OPS]: 200000 operations by default, by 4 threads.
 *
 * What a thread does follows from the seed alone. The threads take turns with
 * four tables of blocks and mappings, so that most is freed, resized and
 * unmapped by another thread than made it. Only the order in which the threads
 * come to run, and where the kernel finds room, differ from run to run.
 *
 * Bytes are as requested: n*size for calloc and reallocarray, whole pages for
 * pvalloc, mmap and mremap. A realloc or mremap that succeeds is an allocation
 * of the new size and a free of the old one; what fails changes nothing.
 *
 * It is compiled against several C libraries and allocators. */
#define _GNU_SOURCE
#include "oracle_heap.h"
#include "oracle_maps.h"

#include <fcntl.h>

#define ROUND 100 /* operations between two changes of tables */

static struct table tables[THREADS];
static pthread_barrier_t born, start, turn, end;
static uint64_t seed;
static unsigned operations = 200000 / THREADS;

static const struct {
    unsigned weight;
    void (*act)(struct hand *h);
} acts[] = {
    {36, allocate}, {20, resize},     {22, release},      {1, release_nothing},
    {4, fail},      {5, map},         {3, replace},       {4, unmap_some},
    {4, remap},     {1, remap_over},  {1, remap_content}, {1, fail_to_map},
    {1, fail_to_unmap}, {1, fail_to_remap},
};

FRAME static void act(struct hand *h) {
    unsigned all = 0, which = 0;
    for (unsigned n = 0; n < sizeof acts / sizeof *acts; n++) all += acts[n].weight;
    for (unsigned left = below(h, all); left >= acts[which].weight; which++)
        left -= acts[which].weight;
    acts[which].act(h);
    AFTER_CALL();
}

static void *worker(void *id) {
    struct hand h = {.id = (unsigned)(uintptr_t)id};
    pthread_barrier_wait(&born);
    pthread_barrier_wait(&start);
    for (unsigned n = 0; n < operations; n++) {
        if (n % ROUND == 0) pthread_barrier_wait(&turn);
        h.table = &tables[(h.id + n / ROUND) % THREADS];
        /* Each operation has its own numbers: what one draws changes no other. */
        h.random = mixed(mixed(seed * THREADS + h.id) + n);
        act(&h);
    }
    pthread_barrier_wait(&end);
    for (;;) pause();
    return NULL;
}

static void tell(void) {
    size_t at = 0;
    for (const struct book *b = books; b < books + SITE_COUNT; b++)
        at += (size_t)snprintf(text + at, sizeof text - at, "site %s %llu %llu %llu %llu\n", b->name,
                               (unsigned long long)b->live_bytes, (unsigned long long)b->live_count,
                               (unsigned long long)b->total_bytes,
                               (unsigned long long)b->total_count);
    at += (size_t)snprintf(text + at, sizeof text - at, "end\n");
    say(at);
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: oracle SEED [OPS]\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) operations = (unsigned)strtoul(argv[2], NULL, 10) / THREADS;
    file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    MUST(file >= 0);
    pthread_barrier_init(&turn, NULL, THREADS);
    pthread_barrier_t *with_main[] = {&born, &start, &end};
    for (unsigned n = 0; n < 3; n++) pthread_barrier_init(with_main[n], NULL, THREADS + 1);
    for (uintptr_t id = 0; id < THREADS; id++) {
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, worker, (void *)id) == 0);
    }
    pthread_barrier_wait(&born);
    say((size_t)snprintf(text, sizeof text, "ready %d\n", (int)getpid()));
    MUST(hear());
    pthread_barrier_wait(&start);
    pthread_barrier_wait(&end);
    tell();
    while (hear() && strcmp(text, "quit") != 0) {
    }
    _exit(0);
}
