/* Shared by leak.c and leak.cc: the books, the talk with the tester, the call
 * chains and the two worker threads.
 *
 * Talk:  -> "ready PID"   (everything the program needs exists by now)
 *        <- "go"          (the tracer is attached)
 *        -> "site NAME outstanding_bytes outstanding_count
 *                 allocated_bytes allocated_count" for every site, then "end"
 *        <- "quit" or end of file; the program leaves without freeing.
 *
 * Between "go" and "end" nothing here allocates: text goes through a static
 * buffer and read(2)/write(2), and the threads are born before "ready" and do
 * not end (a thread's end would free its own things). */
#ifndef BOOKS_H
#define BOOKS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* noipa (gcc) also stops cloning and merging of look-alike functions. */
#if defined(__GNUC__) && !defined(__clang__)
#define FRAME __attribute__((noinline, noipa))
#else
#define FRAME __attribute__((noinline))
#endif
/* Something to do after a call, so that the call is never a tail call. */
#define AFTER_CALL() __asm__ volatile("" ::: "memory")
/* The compiler must believe that somebody looks at the block. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

/* One site's books. Both threads write them, hence the atomics. */
struct book {
    const char *name;
    uint64_t live_bytes, live_count, total_bytes, total_count;
};

/* The program lists its sites as SITES(X); this makes SITE_<name> and books[]. */
#define BOOK_ID(name) SITE_##name,
#define BOOK_ROW(name) {#name, 0, 0, 0, 0},
#define DEFINE_BOOKS(SITES)                  \
    enum site { SITES(BOOK_ID) SITE_COUNT }; \
    static struct book books[SITE_COUNT] = {SITES(BOOK_ROW)};

#define BOOK_ADD(field, n) __atomic_fetch_add(&(field), (uint64_t)(n), __ATOMIC_RELAXED)
#define BOOK_SUB(field, n) __atomic_fetch_sub(&(field), (uint64_t)(n), __ATOMIC_RELAXED)

/* A successful allocating call for `bytes` as requested. */
static inline void book_alloc(struct book *b, size_t bytes) {
    BOOK_ADD(b->live_bytes, bytes);
    BOOK_ADD(b->live_count, 1);
    BOOK_ADD(b->total_bytes, bytes);
    BOOK_ADD(b->total_count, 1);
}

static inline void book_free(struct book *b, size_t bytes) {
    BOOK_SUB(b->live_bytes, bytes);
    BOOK_SUB(b->live_count, 1);
}

/* Part of a mapping went; the rest of it stays one mapping. */
static inline void book_shrink(struct book *b, size_t bytes) {
    BOOK_SUB(b->live_bytes, bytes);
}

struct worker {
    unsigned id;     /* 0 or 1 */
    unsigned round;  /* counts from 0 */
    uint32_t random; /* state of the generator below: runs repeat exactly */
};

static inline uint32_t pick(struct worker *w, uint32_t below) {
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

/* name_outer -> name_middle -> name_caller -> name, below the worker's own
 * worker_* -> round_*: at least six frames of the program on every stack. */
#define CHAIN(name)                                                                             \
    FRAME static void name##_caller(struct worker *w) { name(w); AFTER_CALL(); }                \
    FRAME static void name##_middle(struct worker *w) { name##_caller(w); AFTER_CALL(); }       \
    FRAME static void name##_outer(struct worker *w) { name##_middle(w); AFTER_CALL(); }

static char text[16384];

static inline void say(size_t length) {
    for (size_t at = 0; at < length;) {
        ssize_t n = write(1, text + at, length - at);
        if (n <= 0) _exit(1);
        at += (size_t)n;
    }
}

/* Reads one line into text; false at the end of the file. */
static inline int hear(void) {
    for (size_t at = 0; at + 1 < sizeof text; at++) {
        if (read(0, text + at, 1) != 1) return 0;
        if (text[at] == '\n') {
            text[at] = 0;
            return 1;
        }
    }
    return 0;
}

static unsigned rounds = 2000;
static unsigned pause_us = 9000;
static sem_t born_sem, go_sem, done_sem;

static inline void wait_on(sem_t *s) {
    while (sem_wait(s) != 0) {
    }
}

/* The body of both worker threads, below worker_one or worker_two. */
static inline void work(unsigned id, void (*one_round)(struct worker *)) {
    struct worker w = {id, 0, 12345u + id * 777u};
    sem_post(&born_sem);
    wait_on(&go_sem);
    for (; w.round < rounds; w.round++) {
        one_round(&w);
        if (w.round % 20 == 19) usleep(pause_us);
    }
    sem_post(&done_sem);
    for (;;) pause();
}

static inline int run(int argc, char **argv, void *(*one)(void *), void *(*two)(void *),
                      const struct book *all, size_t count) {
    if (argc > 1) rounds = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2) pause_us = (unsigned)strtoul(argv[2], NULL, 10);
    sem_init(&born_sem, 0, 0);
    sem_init(&go_sem, 0, 0);
    sem_init(&done_sem, 0, 0);
    pthread_t id;
    if (pthread_create(&id, NULL, one, NULL) != 0 || pthread_create(&id, NULL, two, NULL) != 0)
        _exit(1);
    wait_on(&born_sem);
    wait_on(&born_sem);

    say((size_t)snprintf(text, sizeof text, "ready %d\n", (int)getpid()));
    if (!hear()) _exit(1);
    sem_post(&go_sem);
    sem_post(&go_sem);
    wait_on(&done_sem);
    wait_on(&done_sem);

    size_t at = 0;
    for (const struct book *b = all; b < all + count; b++)
        at += (size_t)snprintf(text + at, sizeof text - at, "site %s %llu %llu %llu %llu\n",
                               b->name, (unsigned long long)b->live_bytes,
                               (unsigned long long)b->live_count,
                               (unsigned long long)b->total_bytes,
                               (unsigned long long)b->total_count);
    at += (size_t)snprintf(text + at, sizeof text - at, "end\n");
    say(at);
    while (hear() && strcmp(text, "quit") != 0) {
    }
    _exit(0);
}

#endif
