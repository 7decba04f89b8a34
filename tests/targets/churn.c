/* The benchmark's other target: threads that churn through blocks of mixed
 * sizes in a table that they share, so that blocks live for a while and are
 * often freed by another thread than the one that allocated them.
 *
 * Usage: churn DEPTH THREADS 0
 *
 * The loop runs in the DEPTH-th frame (1 or more) below the thread function.
 * The program obeys lines on stdin:
 *   run MS   runs for so long, then answers "pairs TOTAL ns_per_pair MEDIAN"
 *   quit     leaves (as does the end of the file)
 * A pair is a malloc and the free of the block that it replaces; MEDIAN is over
 * the threads. Sizes go from 16 bytes to 8 KiB, half of them below 64. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define SLOTS 4096 /* blocks that are held at a time */
#define BATCH 16   /* pairs between two looks at the stop flag */

#if defined(__GNUC__) && !defined(__clang__)
#define FRAME __attribute__((noinline, noipa))
#else
#define FRAME __attribute__((noinline))
#endif

static unsigned depth, threads;
static pthread_barrier_t start, end; /* the threads and main */
static int stop;
static void *slots[SLOTS];

static struct result {
    uint64_t pairs, seed;
    double ns_per_pair;
} __attribute__((aligned(64))) results[MAX_THREADS];

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t next(uint64_t *seed) { /* xorshift */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* Each power of two from 16 up is half as likely as the one below it. */
static size_t a_size(uint64_t random) {
    int doublings = __builtin_ctzll(random | 1u << 9);
    size_t least = (size_t)16 << doublings;
    return least + (random >> 16) % least;
}

FRAME static void churn(struct result *r) {
    uint64_t pairs = 0;
    double began = now_ns();
    do {
        for (int i = 0; i < BATCH; i++) {
            uint64_t random = next(&r->seed);
            char *block = malloc(a_size(random >> 20));
            if (block == NULL) abort();
            block[0] = 1;
            free(__atomic_exchange_n(&slots[random % SLOTS], block, __ATOMIC_ACQ_REL));
        }
        pairs += BATCH;
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    r->ns_per_pair = (now_ns() - began) / (double)pairs;
    r->pairs = pairs;
}

FRAME static void level(unsigned more, struct result *r) {
    if (more == 0)
        churn(r);
    else
        level(more - 1, r);
    __asm__ volatile("" ::: "memory"); /* never a tail call */
}

static void *thread_main(void *result) {
    for (;;) {
        pthread_barrier_wait(&start);
        level(depth - 1, result);
        pthread_barrier_wait(&end);
    }
    return NULL;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_for(unsigned long ms) {
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    pthread_barrier_wait(&start);
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0) {
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&end);
}

static void report(void) {
    double times[MAX_THREADS];
    uint64_t pairs = 0;
    for (unsigned i = 0; i < threads; i++) {
        times[i] = results[i].ns_per_pair;
        pairs += results[i].pairs;
    }
    qsort(times, threads, sizeof times[0], by_size);
    double median = (times[(threads - 1) / 2] + times[threads / 2]) / 2;
    printf("pairs %llu ns_per_pair %.2f\n", (unsigned long long)pairs, median);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc == 4) {
        depth = (unsigned)strtoul(argv[1], NULL, 10);
        threads = (unsigned)strtoul(argv[2], NULL, 10);
    }
    if (depth < 1 || threads < 1 || threads > MAX_THREADS || strcmp(argv[3], "0") != 0) {
        fprintf(stderr, "usage: churn DEPTH THREADS 0 (1 or more, 1 to %d)\n", MAX_THREADS);
        return 2;
    }
    /* Static buffers: no malloc but the loop's while a tracer looks on. */
    static char in[256], out[4096];
    setvbuf(stdin, in, _IOLBF, sizeof in);
    setvbuf(stdout, out, _IOFBF, sizeof out);
    pthread_barrier_init(&start, NULL, threads + 1);
    pthread_barrier_init(&end, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t id;
        results[i].seed = 0x9e3779b97f4a7c15u * (i + 1);
        if (pthread_create(&id, NULL, thread_main, &results[i]) != 0) return 1;
    }
    static char line[128];
    unsigned long ms;
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
        if (sscanf(line, "run %lu", &ms) != 1) {
            fprintf(stderr, "churn: what is %s", line);
            continue;
        }
        run_for(ms);
        report();
    }
    _exit(0);
}
