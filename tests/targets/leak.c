/* A C program that leaks known amounts through every allocation function and
 * keeps its own books (see books.h for the talk and for what the books hold).
 *
 * Usage: leak [ROUNDS [PAUSE_US]]: 2000 rounds, 9000 us of sleep in every 20
 * rounds, by default, which takes about a second.
 *
 * Build: cc -O1 -g -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
 *        -fno-optimize-sibling-calls -pthread -o leak leak.c
 *
 * Bytes are as requested: n*size for calloc and reallocarray, strlen+1 for
 * strdup, len for mmap. A realloc or mremap that succeeds is an allocation of
 * the new size and a free of the old one. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

#include "books.h"

#define SITES(X)                                                                       \
    X(malloc_site) X(calloc_site) X(realloc_site) X(reallocarray_site)                 \
    X(posix_memalign_site) X(aligned_alloc_site) X(memalign_site) X(valloc_site)       \
    X(pvalloc_site) X(strdup_site) X(big_site) X(zero_site) X(failing_site)            \
    X(mmap_site) X(mremap_site) X(churn_site) X(ring_site) X(handoff_site)
DEFINE_BOOKS(SITES)

#define PAGE 4096u

/* The compiler knows these functions and would warn of, or fold, the calls
 * that are wrong on purpose if it saw these values. */
static volatile size_t nothing = 0, absurd = SIZE_MAX / 4;
static volatile size_t bad_alignment = 3;

static void *took(struct book *b, void *p, size_t bytes) {
    if (p == NULL || p == MAP_FAILED) abort(); /* no books without the memory */
    USED(p);
    book_alloc(b, bytes);
    return p;
}

static void give_back(struct book *b, void *p, size_t bytes) {
    book_free(b, bytes);
    free(p);
}

/* ---- plain leaks; malloc_site is used by both threads: two stacks ---- */

FRAME static void malloc_site(struct worker *w) {
    size_t n = 1 + pick(w, 400);
    took(&books[SITE_malloc_site], malloc(n), n);
}

FRAME static void calloc_site(struct worker *w) {
    size_t n = 1 + pick(w, 20), size = 1 + pick(w, 30);
    took(&books[SITE_calloc_site], calloc(n, size), n * size);
}

FRAME static void posix_memalign_site(struct worker *w) {
    size_t n = 1 + pick(w, 300);
    void *p = NULL;
    if (posix_memalign(&p, (size_t)16 << pick(w, 4), n) != 0) abort();
    took(&books[SITE_posix_memalign_site], p, n);
}

FRAME static void aligned_alloc_site(struct worker *w) {
    size_t n = 64 * (1 + pick(w, 8));
    took(&books[SITE_aligned_alloc_site], aligned_alloc(64, n), n);
}

FRAME static void memalign_site(struct worker *w) {
    size_t n = 1 + pick(w, 500);
    took(&books[SITE_memalign_site], memalign(128, n), n);
}

FRAME static void valloc_site(struct worker *w) {
    size_t n = 1 + pick(w, 3000);
    took(&books[SITE_valloc_site], valloc(n), n);
}

/* pvalloc rounds up to pages, so only whole pages have an undisputed size. */
FRAME static void pvalloc_site(struct worker *w) {
    size_t n = PAGE * (1 + pick(w, 2));
    took(&books[SITE_pvalloc_site], pvalloc(n), n);
}

/* The malloc happens inside libc, whose strdup keeps the length in the frame
 * pointer's register: at that malloc a frame-pointer walk finds nothing. */
FRAME static void strdup_site(struct worker *w) {
    char word[128];
    size_t length = pick(w, sizeof word);
    memset(word, 'x', length);
    word[length] = 0;
    took(&books[SITE_strdup_site], strdup(word), length + 1);
}

/* Large enough that malloc itself calls mmap: must be counted once only. */
FRAME static void big_site(struct worker *w) {
    size_t n = 160 * 1024 + pick(w, 200 * 1024);
    void *p = took(&books[SITE_big_site], malloc(n), n);
    if (pick(w, 3) == 0) give_back(&books[SITE_big_site], p, n);
}

/* glibc's malloc(0) is a real block, of no bytes. */
FRAME static void zero_site(struct worker *w) {
    void *p = took(&books[SITE_zero_site], malloc(nothing), 0);
    if (pick(w, 2) == 0) give_back(&books[SITE_zero_site], p, 0);
}

/* ---- growth ---- */

FRAME static void realloc_site(struct worker *w) {
    struct book *b = &books[SITE_realloc_site];
    size_t n = 1 + pick(w, 100);
    /* realloc(NULL, n) is malloc(n); glibc really calls malloc there. */
    void *p = took(b, pick(w, 2) ? malloc(n) : realloc(NULL, n), n);
    for (unsigned step = 1 + pick(w, 5); step > 0; step--) {
        size_t more = n + 1 + pick(w, 300);
        void *grown = realloc(p, more);
        took(b, grown, more);
        book_free(b, n);
        p = grown;
        n = more;
    }
    switch (pick(w, 4)) {
    case 0:
        give_back(b, p, n);
        break;
    case 1: /* glibc: realloc to nothing frees and returns NULL */
        p = realloc(p, nothing);
        USED(p);
        book_free(b, n);
        break;
    default: /* leaked */
        break;
    }
}

FRAME static void reallocarray_site(struct worker *w) {
    struct book *b = &books[SITE_reallocarray_site];
    size_t size = 1 + pick(w, 24), n = 1 + pick(w, 8);
    void *p = took(b, reallocarray(NULL, n, size), n * size);
    void *grown = took(b, reallocarray(p, n * 3, size), n * 3 * size);
    book_free(b, n * size);
    if (pick(w, 3) == 0) give_back(b, grown, n * 3 * size);
}

/* Calls that fail leave the books, and the old block, as they were. */
FRAME static void failing_site(struct worker *w) {
    struct book *b = &books[SITE_failing_site];
    size_t n = 1 + pick(w, 600);
    void *p = took(b, malloc(n), n), *out = p;
    if (realloc(p, absurd) != NULL) abort();
    if (reallocarray(p, absurd, 16) != NULL) abort();
    if (calloc(absurd, 16) != NULL) abort();
    if (malloc(absurd) != NULL) abort();
    /* A failing posix_memalign leaves `out` alone: here, at a live block. */
    if (posix_memalign(&out, bad_alignment, 64) != EINVAL || out != p) abort();
    if (pick(w, 2) == 0) give_back(b, p, n);
}

/* ---- mappings ---- */

#define NEW_MAPPING PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0

FRAME static void mmap_site(struct worker *w) {
    struct book *b = &books[SITE_mmap_site];
    size_t half = PAGE * (1 + pick(w, 4)), length = 2 * half;
    char *p = took(b, mmap(NULL, length, NEW_MAPPING), length);
    p[half] = 1;
    switch (pick(w, 4)) {
    case 0: /* the second half goes */
        if (munmap(p + half, half) != 0) abort();
        book_shrink(b, half);
        break;
    case 1: /* the first half goes: what stays starts at another address */
        if (munmap(p, half) != 0) abort();
        book_shrink(b, half);
        break;
    case 2:
        if (munmap(p, length) != 0) abort();
        book_free(b, length);
        break;
    default: /* leaked whole */
        break;
    }
}

FRAME static void mremap_site(struct worker *w) {
    struct book *b = &books[SITE_mremap_site];
    size_t length = PAGE * (1 + pick(w, 2)), more = length * 2;
    char *p = took(b, mmap(NULL, length, NEW_MAPPING), length);
    char *grown = took(b, mremap(p, length, more, MREMAP_MAYMOVE), more);
    book_free(b, length);
    grown[length] = 1;
    if (pick(w, 4) == 0) {
        if (munmap(grown, more) != 0) abort();
        book_free(b, more);
    }
}

/* ---- healthy ---- */

FRAME static void churn_site(struct worker *w) {
    for (int i = 0; i < 4; i++) {
        size_t n = 1 + pick(w, 1000);
        give_back(&books[SITE_churn_site], took(&books[SITE_churn_site], malloc(n), n), n);
    }
}

struct held {
    void *block;
    size_t bytes;
};
static struct held ring[2][64];

FRAME static void ring_site(struct worker *w) {
    struct held *slot = &ring[w->id][w->round % 64];
    if (slot->block != NULL) give_back(&books[SITE_ring_site], slot->block, slot->bytes);
    slot->bytes = 1 + pick(w, 2000);
    slot->block = took(&books[SITE_ring_site], malloc(slot->bytes), slot->bytes);
}

/* One thread allocates, the other frees: each thread fills its own slots and
 * empties the other's. The block holds its own size. */
static size_t *slots[2][32];

FRAME static void handoff_site(struct worker *w) {
    struct book *b = &books[SITE_handoff_site];
    size_t n = sizeof(size_t) + pick(w, 500);
    size_t *mine = took(b, malloc(n), n);
    *mine = n;
    size_t *unfetched = __atomic_exchange_n(&slots[w->id][w->round % 32], mine, __ATOMIC_ACQ_REL);
    if (unfetched != NULL) give_back(b, unfetched, *unfetched);
    size_t *theirs = __atomic_exchange_n(&slots[1 - w->id][w->round % 32], NULL, __ATOMIC_ACQ_REL);
    if (theirs != NULL) give_back(b, theirs, *theirs);
}

/* ---- the threads ---- */

SITES(CHAIN)

FRAME static void round_both(struct worker *w) {
    malloc_site_outer(w);
    churn_site_outer(w);
    ring_site_outer(w);
    handoff_site_outer(w);
    if (w->round % 8 == 0) failing_site_outer(w);
    AFTER_CALL();
}

FRAME static void round_one(struct worker *w) {
    round_both(w);
    calloc_site_outer(w);
    realloc_site_outer(w);
    posix_memalign_site_outer(w);
    aligned_alloc_site_outer(w);
    memalign_site_outer(w);
    strdup_site_outer(w);
    AFTER_CALL();
}

FRAME static void round_two(struct worker *w) {
    round_both(w);
    reallocarray_site_outer(w);
    zero_site_outer(w);
    if (w->round % 4 == 0) mmap_site_outer(w);
    if (w->round % 4 == 2) mremap_site_outer(w);
    if (w->round % 8 == 1) valloc_site_outer(w);
    if (w->round % 8 == 5) pvalloc_site_outer(w);
    if (w->round % 50 == 0) big_site_outer(w);
    AFTER_CALL();
}

FRAME static void *worker_one(void *unused) {
    work(0, round_one);
    return unused;
}

FRAME static void *worker_two(void *unused) {
    work(1, round_two);
    return unused;
}

int main(int argc, char **argv) {
    return run(argc, argv, worker_one, worker_two, books, SITE_COUNT);
}
