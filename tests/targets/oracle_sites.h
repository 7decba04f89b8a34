/* The call sites of oracle.c: every function that gives out memory, called from
 * three places each. A site's function calls the allocator itself, so that it
 * is the first frame of the stack whatever the allocator was compiled with.
 *
 * ORACLE_PREFIX: sites 1 and 2 call an allocator that is named je_malloc and
 * so on, site 3 the C library's own; blocks of the one never go to the other.
 * ORACLE_NO_PVALLOC: the allocator has no pvalloc (the C library's own, if
 * there is one, would not know the allocator's blocks). */
#ifndef ORACLE_SITES_H
#define ORACLE_SITES_H

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

#include "books.h"

#if !defined(__GLIBC__) && !defined(ORACLE_NO_PVALLOC)
#define ORACLE_NO_PVALLOC
#endif

/* A call to be made. */
struct call {
    void *old;                /* the block or mapping that is to move, or where to map */
    size_t old_size;          /* of a mapping */
    size_t count, size;       /* the size is `size` alone where a function takes no count */
    size_t alignment;
    int protection, flags, file;
    void *target;             /* for MREMAP_FIXED */
    int error;                /* posix_memalign's result */
};

typedef void *site_function(struct call *c);

/* A place that calls. Blocks of one family can be given to that family's functions alone. */
struct place {
    site_function *call;
    unsigned book;
    enum family { OWN, PREFIXED } family;
};

#define PLACES 3

#define KINDS_EVERYWHERE(X)                                                     \
    X(malloc) X(calloc) X(realloc) X(reallocarray) X(memalign) X(posix_memalign) \
    X(aligned_alloc) X(valloc) X(mmap) X(mremap)
#ifdef ORACLE_NO_PVALLOC
#define KINDS(X) KINDS_EVERYWHERE(X)
#else
#define KINDS(X) KINDS_EVERYWHERE(X) X(pvalloc)
#endif

#define SITES_OF_KIND(X, kind) X(site_##kind##_1) X(site_##kind##_2) X(site_##kind##_3)
#define BOOK_IDS(kind) SITES_OF_KIND(BOOK_ID, kind)
#define BOOK_ROWS(kind) SITES_OF_KIND(BOOK_ROW, kind)
enum { KINDS(BOOK_IDS) SITE_COUNT };
static struct book books[SITE_COUNT] = {KINDS(BOOK_ROWS)};

#ifdef ORACLE_PREFIX
__typeof__(malloc) je_malloc;
__typeof__(calloc) je_calloc;
__typeof__(realloc) je_realloc;
__typeof__(memalign) je_memalign;
__typeof__(posix_memalign) je_posix_memalign;
__typeof__(aligned_alloc) je_aligned_alloc;
__typeof__(valloc) je_valloc;
__typeof__(free) je_free;
#define FIRST_FAMILY PREFIXED
#define FIRST(function) je_##function
#else
#define FIRST_FAMILY OWN
#define FIRST(function) function
#endif
#define PLAIN(function) function

#define SITE(kind, n, result)                           \
    FRAME static void *site_##kind##_##n(struct call *c) { \
        void *p = result;                               \
        USED(p);                                        \
        return p;                                       \
    }
#define PLACE(kind, n, family) {site_##kind##_##n, SITE_site_##kind##_##n, family}
#define THREE_SITES(kind, CALL, NAME, family)                                               \
    SITE(kind, 1, CALL(NAME))                                                               \
    SITE(kind, 2, CALL(NAME))                                                               \
    SITE(kind, 3, CALL(PLAIN))                                                              \
    static const struct place kind##_places[PLACES] = {PLACE(kind, 1, family),              \
                                                       PLACE(kind, 2, family), PLACE(kind, 3, OWN)};

/* posix_memalign stores nothing when it fails, so `old` shows whether it did. */
#define CALL_MALLOC(NAME) NAME(malloc)(c->size)
#define CALL_CALLOC(NAME) NAME(calloc)(c->count, c->size)
#define CALL_REALLOC(NAME) NAME(realloc)(c->old, c->size)
#define CALL_REALLOCARRAY(NAME) NAME(reallocarray)(c->old, c->count, c->size)
#define CALL_MEMALIGN(NAME) NAME(memalign)(c->alignment, c->size)
#define CALL_POSIX_MEMALIGN(NAME) \
    (c->error = NAME(posix_memalign)(&c->old, c->alignment, c->size), c->old)
#define CALL_ALIGNED_ALLOC(NAME) NAME(aligned_alloc)(c->alignment, c->size)
#define CALL_VALLOC(NAME) NAME(valloc)(c->size)
#define CALL_PVALLOC(NAME) NAME(pvalloc)(c->size)
#define CALL_MMAP(NAME) NAME(mmap)(c->old, c->size, c->protection, c->flags, c->file, 0)
#define CALL_MREMAP(NAME) NAME(mremap)(c->old, c->old_size, c->size, c->flags, c->target)

THREE_SITES(malloc, CALL_MALLOC, FIRST, FIRST_FAMILY)
THREE_SITES(calloc, CALL_CALLOC, FIRST, FIRST_FAMILY)
THREE_SITES(realloc, CALL_REALLOC, FIRST, FIRST_FAMILY)
THREE_SITES(memalign, CALL_MEMALIGN, FIRST, FIRST_FAMILY)
THREE_SITES(posix_memalign, CALL_POSIX_MEMALIGN, FIRST, FIRST_FAMILY)
THREE_SITES(aligned_alloc, CALL_ALIGNED_ALLOC, FIRST, FIRST_FAMILY)
THREE_SITES(valloc, CALL_VALLOC, FIRST, FIRST_FAMILY)
THREE_SITES(reallocarray, CALL_REALLOCARRAY, PLAIN, OWN)
#ifndef ORACLE_NO_PVALLOC
THREE_SITES(pvalloc, CALL_PVALLOC, PLAIN, OWN)
#endif
THREE_SITES(mmap, CALL_MMAP, PLAIN, OWN)
THREE_SITES(mremap, CALL_MREMAP, PLAIN, OWN)

FRAME static void give_back(void *p, enum family family) {
    if (family == PREFIXED)
        FIRST(free)(p);
    else
        free(p);
    AFTER_CALL();
}

FRAME static int unmap(void *start, size_t length) {
    int result = munmap(start, length);
    AFTER_CALL();
    return result;
}

#endif
