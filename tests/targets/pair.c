/* The benchmark's target: malloc(64)/free pairs in a tight loop at a known
 * call depth, from threads that exist from the start.
 *
 * Usage: pair DEPTH THREADS SECONDS
 *
 * The loop runs in the DEPTH-th frame (1 or more) below the thread function.
 * With SECONDS above 0 the threads run once, for so long; then a line
 * "pairs N ns_per_pair X" for each thread and "total pairs N ns_per_pair X".
 * With SECONDS 0 the program obeys lines on stdin:
 *   run MS   runs for so long, then answers "pairs TOTAL ns_per_pair MEDIAN"
 *   leak BYTES TIMES   from now on loses a block of so many bytes so many times
 *            a second, beside whatever else it does
 *   quit     leaves (as does the end of the file)
 * X is a thread's time over its pairs; a total's or an answer's is the median
 * over the threads.
 *
 * Build: cc -O1 -g -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
 *        -fno-optimize-sibling-calls -pthread -o pair pair.c */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define ROOM 2   /* words that a frame keeps */
#define BATCH 16 /* pairs between two looks at the stop flag */

#if defined(__GNUC__) && !defined(__clang__)
#define FRAME __attribute__((noinline, noipa))
#else
#define FRAME __attribute__((noinline))
#endif
/* Something to do after a call, so that the call is never a tail call. */
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

static unsigned depth, threads;
static pthread_barrier_t start, end; /* the threads and main */
static int stop;

static struct result {
    uint64_t pairs;
    double ns_per_pair;
} __attribute__((aligned(64))) results[MAX_THREADS];

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Inlined into whichever level is the last one: no frame of its own. */
__attribute__((always_inline)) static inline void run_pairs(struct result *r) {
    uint64_t pairs = 0;
    double began = now_ns();
    do {
        for (int i = 0; i < BATCH; i++) {
            void *p = malloc(64);
            __asm__ volatile("" : "+r"(p) : : "memory"); /* keeps the pair */
            free(p);
        }
        pairs += BATCH;
    } while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
    r->ns_per_pair = (now_ns() - began) / (double)pairs;
    r->pairs = pairs;
}

/* Four functions in turn, so that a stack is not one address repeated, with
 * something of their own to keep over the call, as most functions have. */
#define LEVEL(name, next)                                     \
    FRAME static void name(unsigned more, struct result *r) { \
        uint64_t own[ROOM] = {more};                          \
        __asm__ volatile("" : : "r"(own) : "memory");         \
        if (more == 0)                                        \
            run_pairs(r);                                     \
        else                                                  \
            next(more - 1, r);                                \
        __asm__ volatile("" : : "r"(own) : "memory");         \
        if (r->pairs == more) AFTER_CALL();                   \
    }
FRAME static void level_north(unsigned more, struct result *r);
LEVEL(level_west, level_north)
LEVEL(level_south, level_west)
LEVEL(level_east, level_south)
LEVEL(level_north, level_east)

static void *thread_main(void *result) {
    for (;;) {
        pthread_barrier_wait(&start);
        level_north(depth - 1, result);
        pthread_barrier_wait(&end);
    }
    return NULL;
}

static struct leak {
    size_t bytes;
    unsigned long times;
} leak;

FRAME static void leak_slowly(void) {
    void *p = malloc(leak.bytes);
    __asm__ volatile("" : : "r"(p) : "memory");
    AFTER_CALL();
}

static void *leaker_main(void *unused) {
    (void)unused;
    for (;;) {
        struct timespec t = {0, (long)(1000000000 / leak.times - 1)};
        nanosleep(&t, NULL);
        leak_slowly();
    }
    return NULL;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_for(double seconds) {
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    pthread_barrier_wait(&start);
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0) {
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&end);
}

static void report(const char *prefix) {
    double times[MAX_THREADS];
    uint64_t pairs = 0;
    for (unsigned i = 0; i < threads; i++) {
        times[i] = results[i].ns_per_pair;
        pairs += results[i].pairs;
    }
    qsort(times, threads, sizeof times[0], by_size);
    double median = (times[(threads - 1) / 2] + times[threads / 2]) / 2;
    printf("%spairs %llu ns_per_pair %.2f\n", prefix, (unsigned long long)pairs, median);
}

int main(int argc, char **argv) {
    double seconds = argc == 4 ? strtod(argv[3], NULL) : -1;
    if (argc == 4) {
        depth = (unsigned)strtoul(argv[1], NULL, 10);
        threads = (unsigned)strtoul(argv[2], NULL, 10);
    }
    if (seconds < 0 || depth < 1 || threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: pair DEPTH THREADS SECONDS (1 or more, 1 to %d, 0 or more)\n",
                MAX_THREADS);
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
        if (pthread_create(&id, NULL, thread_main, &results[i]) != 0) return 1;
    }

    if (seconds > 0) {
        run_for(seconds);
        for (unsigned i = 0; i < threads; i++)
            printf("pairs %llu ns_per_pair %.2f\n", (unsigned long long)results[i].pairs,
                   results[i].ns_per_pair);
        report("total ");
    } else {
        static char line[128];
        unsigned long ms;
        while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
            if (sscanf(line, "leak %zu %lu", &leak.bytes, &leak.times) == 2 && leak.times > 0) {
                pthread_t id;
                if (pthread_create(&id, NULL, leaker_main, NULL) != 0) return 1;
                continue;
            }
            if (sscanf(line, "run %lu", &ms) != 1) {
                fprintf(stderr, "pair: what is %s", line);
                continue;
            }
            run_for((double)ms / 1000);
            report("");
            fflush(stdout);
        }
    }
    fflush(stdout);
    _exit(0);
}
