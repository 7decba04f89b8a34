/* What oracle.c holds, and who holds it: tables of blocks and mappings, each
 * worked on by one thread at a time. They lie in the program's zeroed memory,
 * which no allocator hands out. */
#ifndef ORACLE_TABLE_H
#define ORACLE_TABLE_H

#include "oracle_sites.h"

#define PAGE 4096u
#ifndef THREADS
#define THREADS 4
#endif
#define BLOCKS 1024
#define AREAS 96
#define AREA_PAGES 64
#define MAPPINGS (AREAS * AREA_PAGES + 1) /* 0 is what leaves no trace: files */

/* A block of the heap; none where the address is 0. */
struct block {
    unsigned char *start;
    size_t size;
    unsigned book;
    enum family family;
};

/* What is left of a successful mmap or mremap, wherever it lies. Pages that
 * the kernel does not hold for alike cannot be moved together. */
struct mapping {
    unsigned book, pages, is_alike;
};

/* Mapped pages without a gap, each with the mapping it belongs to. */
struct area {
    char *start;
    unsigned pages;
    uint16_t owners[AREA_PAGES];
};

struct table {
    struct block blocks[BLOCKS];
    struct area areas[AREAS];
    struct mapping mappings[MAPPINGS];
};

/* A thread, what it works on, and its random numbers. */
struct hand {
    unsigned id;
    uint64_t random;
    struct table *table;
};

/* splitmix64: good from any seed, so that each operation can have its own. */
static inline uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From 0 to n - 1. */
static inline unsigned below(struct hand *h, unsigned n) {
    h->random += 0x9e3779b97f4a7c15u;
    return (unsigned)(mixed(h->random) >> 33) % n;
}

/* The kernel, and pvalloc, give whole pages. */
static inline size_t rounded(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

/* What must not happen: without it the books would be worth nothing. */
#define MUST(condition) \
    ((condition) ? (void)0 : give_up(#condition, __FILE__, __LINE__, errno))

FRAME static void give_up(const char *what, const char *file, int line, int error) {
    static char words[512];
    int n = snprintf(words, sizeof words, "oracle: not so: %s (%s:%d, errno %d)\n", what, file, line, error);
    if (write(2, words, (size_t)n) != n) _exit(2);
    abort();
}

static inline const struct place *some_place(struct hand *h, const struct place places[PLACES]) {
    return &places[below(h, PLACES)];
}

#endif
