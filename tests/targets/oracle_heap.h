/* What oracle.c does with blocks of the heap. */
#ifndef ORACLE_HEAP_H
#define ORACLE_HEAP_H

#include "oracle_table.h"

/* From nothing to what malloc itself maps, small ones most often. */
static size_t some_size(struct hand *h) {
    unsigned kind = below(h, 64);
    if (kind < 3) return 0;
    if (kind < 40) return 1 + below(h, 256);
    if (kind < 60) return 1 + below(h, 4096);
    if (kind < 63) return 1 + below(h, 65536);
    return (128u << 10) + below(h, 1u << 20);
}

/* No allocator has as much. */
static size_t absurd_size(struct hand *h) {
    return (SIZE_MAX >> (1 + below(h, 4))) & ~(size_t)(PAGE - 1);
}

/* A block is signed where that is possible, to notice whoever writes into it. */
static uint64_t signature(const struct block *b) { return mixed((uint64_t)b->start + b->size); }

static void sign(struct block *b) {
    uint64_t s = signature(b);
    if (b->size >= sizeof s)
        memcpy(b->start, &s, sizeof s);
    else if (b->size > 0)
        b->start[0] = (unsigned char)s;
    if (b->size > sizeof s) b->start[b->size - 1] = (unsigned char)s;
}

/* The block's first bytes, at an address where it may have moved to, are as they were. */
static void check(const struct block *b, const unsigned char *at, size_t bytes) {
    uint64_t s = signature(b);
    if (b->size >= sizeof s && bytes >= sizeof s) MUST(memcmp(at, &s, sizeof s) == 0);
    if (b->size > sizeof s && bytes >= b->size) MUST(at[b->size - 1] == (unsigned char)s);
}

/* Enters what came of a call for so many bytes. */
static void keep(struct block *b, const struct place *place, void *p, size_t size) {
    MUST(p != NULL || size == 0);
    *b = (struct block){p, size, place->book, place->family};
    if (p == NULL) return; /* an allocator may have no block for no bytes */
    book_alloc(&books[place->book], size);
    sign(b);
}

static void let_go(struct block *b) {
    if (b->start == NULL) return;
    check(b, b->start, b->size);
    book_free(&books[b->book], b->size);
    give_back(b->start, b->family);
    b->start = NULL;
}

static struct block *some_block(struct hand *h) { return &h->table->blocks[below(h, BLOCKS)]; }

static void allocate(struct hand *h) {
    struct block *b = some_block(h);
    struct call c = {.size = some_size(h), .count = 1};
    const struct place *place;
    int is_in_pages = 0;
    let_go(b);
    switch (below(h, 12)) {
    default:
        place = some_place(h, malloc_places);
        break;
    case 1:
        place = some_place(h, calloc_places);
        c.count = below(h, 40);
        c.size = below(h, 120);
        break;
    case 2:
        place = some_place(h, realloc_places);
        break;
    case 3:
        place = some_place(h, reallocarray_places);
        c.count = below(h, 60);
        c.size = below(h, 60);
        break;
    case 4:
        place = some_place(h, memalign_places);
        c.alignment = (size_t)16 << below(h, 12);
        break;
    case 5:
        place = some_place(h, posix_memalign_places);
        c.alignment = sizeof(void *) << below(h, 12);
        break;
    case 6:
        place = some_place(h, aligned_alloc_places);
        c.alignment = (size_t)16 << below(h, 8);
        c.size -= c.size % c.alignment;
        break;
    case 7:
        place = some_place(h, valloc_places);
        break;
#ifndef ORACLE_NO_PVALLOC
    case 8:
        place = some_place(h, pvalloc_places);
        is_in_pages = 1;
        break;
#endif
    }
    unsigned char *p = place->call(&c);
    MUST(c.error == 0);
    size_t size = c.count * c.size;
    keep(b, place, p, is_in_pages ? rounded(size) : size);
}

/* A place of the block's family, if there is one. */
static const struct place *place_for(struct hand *h, const struct place places[PLACES],
                                     const struct block *b) {
    const struct place *first = some_place(h, places);
    if (first->family == b->family) return first;
    for (unsigned n = 0; n < PLACES; n++)
        if (places[n].family == b->family) return &places[n];
    return NULL;
}

/* Grows, shrinks, or ends a block by a size of 0. */
static void resize(struct hand *h) {
    struct block *b = some_block(h);
    struct call c = {.old = b->start, .count = 1};
    const struct place *place = place_for(h, realloc_places, b);
    if (b->start == NULL) return allocate(h);
    check(b, b->start, b->size);
    switch (below(h, 6)) {
    case 0:
        c.size = b->size + below(h, 400);
        break;
    case 1:
        c.size = b->size / 2;
        break;
    case 2:
        c.size = 0;
        break;
    case 3: {
        const struct place *of_array = place_for(h, reallocarray_places, b);
        c.size = some_size(h) / 8;
        if (of_array == NULL) break;
        place = of_array;
        c.count = below(h, 10);
        break;
    }
    default:
        c.size = some_size(h);
        break;
    }
    size_t size = c.count * c.size;
    unsigned char *p = place->call(&c);
    if (p != NULL) check(b, p, size);
    book_free(&books[b->book], b->size);
    keep(b, place, p, size);
}

static void release(struct hand *h) { let_go(some_block(h)); }

static void release_nothing(struct hand *h) {
    give_back(NULL, below(h, 2) ? FIRST_FAMILY : OWN);
}

/* Calls that must fail, and leave what they were given as it is. */
static void fail(struct hand *h) {
    struct block *b = some_block(h);
    struct call c = {.old = b->start, .size = absurd_size(h), .count = 1, .alignment = 64};
    const struct place *place;
    unsigned what = below(h, 9);
    if (b->start == NULL && what < 2) return fail(h);
    switch (what) {
    case 0:
        place = place_for(h, realloc_places, b);
        break;
    case 1:
        place = place_for(h, reallocarray_places, b);
        if (place == NULL) return fail(h);
        c.count = 64;
        break;
    case 2:
        place = some_place(h, malloc_places);
        break;
    case 3:
        place = some_place(h, calloc_places);
        c.count = below(h, 2) ? 64 : 1;
        break;
    case 4:
        place = some_place(h, memalign_places);
        break;
    case 5:
        place = some_place(h, aligned_alloc_places);
        break;
    case 6:
        place = some_place(h, valloc_places);
        break;
#ifndef ORACLE_NO_PVALLOC
    case 7:
        place = some_place(h, pvalloc_places);
        break;
#endif
    default: {
        /* The result lies ready: at a live block, where it must not be taken for one. */
        static const size_t bad_alignments[] = {0, 3, 24};
        place = some_place(h, posix_memalign_places);
        if (below(h, 4)) {
            c.alignment = bad_alignments[below(h, 3)];
            c.size = 64;
        }
        MUST(place->call(&c) == b->start && c.error != 0);
        return;
    }
    }
    MUST(place->call(&c) == NULL);
    if (what < 2) check(b, b->start, b->size);
}

#endif
