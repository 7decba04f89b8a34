/* What oracle.c does with mappings. The books follow single pages: each belongs
 * to the call that mapped it, and that call counts until its last page is gone. */
#ifndef ORACLE_MAPS_H
#define ORACLE_MAPS_H

#include "oracle_table.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static int file = -1; /* anything that can be mapped */

/* Pages of an area, from the first to before the last. */
struct range {
    struct area *area;
    unsigned from, to;
};

static unsigned pages_of(struct range r) { return r.to - r.from; }
static char *start_of(struct range r) { return r.area->start + (size_t)PAGE * r.from; }
static size_t bytes_of(struct range r) { return (size_t)PAGE * pages_of(r); }

/* A length that the kernel will round up to so many pages. */
static size_t length(struct hand *h, unsigned pages) {
    return (size_t)PAGE * pages - (below(h, 2) ? below(h, PAGE) : 0);
}

/* ---- the books ---- */

static uint16_t new_owner(struct table *t, const struct place *place, unsigned pages) {
    uint16_t owner = 1;
    while (t->mappings[owner].pages != 0) owner++;
    t->mappings[owner] = (struct mapping){place->book, pages, 1};
    book_alloc(&books[place->book], (size_t)PAGE * pages);
    return owner;
}

static void disown(struct table *t, struct range r) {
    for (unsigned page = r.from; page < r.to; page++) {
        struct mapping *m = &t->mappings[r.area->owners[page]];
        if (r.area->owners[page] == 0) continue;
        book_shrink(&books[m->book], PAGE);
        if (--m->pages == 0) book_free(&books[m->book], 0);
    }
}

static void own(struct range r, uint16_t owner) {
    for (unsigned page = r.from; page < r.to; page++) r.area->owners[page] = owner;
}

static struct area *free_area(struct table *t) {
    for (struct area *a = t->areas; a < t->areas + AREAS; a++)
        if (a->pages == 0) return a;
    MUST(!"too many areas");
    return NULL;
}

static struct range add(struct table *t, char *start, unsigned pages, uint16_t owner) {
    struct range all = {free_area(t), 0, pages};
    all.area->start = start;
    all.area->pages = pages;
    own(all, owner);
    return all;
}

/* Takes pages that are not mapped any more out of their area: what lay behind
 * them becomes an area of its own. */
static void cut(struct table *t, struct range r) {
    struct area *a = r.area, *rest;
    disown(t, r);
    if (r.to < a->pages) {
        rest = add(t, a->start + (size_t)PAGE * r.to, a->pages - r.to, 0).area;
        memcpy(rest->owners, a->owners + r.to, rest->pages * sizeof *a->owners);
    }
    a->pages = r.from;
}

/* ---- picking ---- */

static struct range some_area(struct hand *h) {
    struct table *t = h->table;
    for (unsigned n = below(h, AREAS), tries = 0; tries < AREAS; n++, tries++)
        if (t->areas[n % AREAS].pages != 0)
            return (struct range){&t->areas[n % AREAS], 0, t->areas[n % AREAS].pages};
    return (struct range){NULL, 0, 0};
}

/* All of the range, its head, its tail or what lies between. */
static struct range some_part(struct hand *h, struct range r) {
    unsigned pages = pages_of(r), kind = below(h, 4);
    if (pages == 0) return r;
    if (kind & 1) r.to -= below(h, pages);
    if (kind & 2) r.from += below(h, pages_of(r));
    return r;
}

/* Part of a mapping, as far as it lies in one piece; empty if it is a file's, or cannot be moved. */
static struct range some_mapping(struct hand *h) {
    struct range r = some_area(h);
    if (r.area == NULL) return r;
    unsigned hit = below(h, r.to);
    uint16_t owner = r.area->owners[hit];
    if (owner == 0 || !h->table->mappings[owner].is_alike) return (struct range){NULL, 0, 0};
    r.from = hit;
    while (r.from > 0 && r.area->owners[r.from - 1] == owner) r.from--;
    r.to = hit + 1;
    while (r.to < r.area->pages && r.area->owners[r.to] == owner) r.to++;
    return some_part(h, r);
}

/* How many of the pages are a file's. */
static unsigned uncounted(struct range r) {
    unsigned pages = 0;
    for (unsigned page = r.from; page < r.to; page++) pages += r.area->owners[page] == 0;
    return pages;
}

static int is_of_one(struct range r) {
    for (unsigned page = r.from; page < r.to; page++)
        if (r.area->owners[page] != r.area->owners[r.from]) return 0;
    return 1;
}

/* ---- what is done ---- */

static void unmap_range(struct hand *h, struct range r) {
    MUST(unmap(start_of(r), length(h, pages_of(r))) == 0);
    cut(h->table, r);
}

/* An operation adds two areas at most: what it makes, and what it cuts off. */
static void make_room(struct hand *h) {
    unsigned used = 0;
    for (unsigned n = 0; n < AREAS; n++) used += h->table->areas[n].pages != 0;
    for (; used + 2 > AREAS; used--) unmap_range(h, some_area(h));
}

static struct call mapping_call(struct hand *h) {
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    static const int flags[] = {0, MAP_NORESERVE, MAP_POPULATE, MAP_STACK};
    struct call c = {.file = -1};
    c.protection = protections[below(h, 3)];
    c.flags = (below(h, 3) ? MAP_PRIVATE : MAP_SHARED) | flags[below(h, 4)];
    if (below(h, 5) == 0) {
        c.flags = MAP_PRIVATE;
        c.protection = PROT_READ;
        c.file = file;
    } else {
        c.flags |= MAP_ANONYMOUS;
        if (below(h, 4) == 0) c.file = file; /* means nothing here */
    }
    return c;
}

static uint16_t owner_by(struct hand *h, const struct call *c, const struct place *place, unsigned pages) {
    return c->flags & MAP_ANONYMOUS ? new_owner(h->table, place, pages) : 0;
}

static void map(struct hand *h) {
    make_room(h);
    unsigned pages = 1 + below(h, below(h, 8) ? 16 : AREA_PAGES);
    const struct place *place = some_place(h, mmap_places);
    struct call c = mapping_call(h);
    c.size = length(h, pages);
    char *p = place->call(&c);
    MUST(p != MAP_FAILED);
    add(h->table, p, pages, owner_by(h, &c, place, pages));
}

/* mmap over pages that are mapped already. */
static void replace(struct hand *h) {
    struct range r = some_part(h, some_area(h));
    if (r.area == NULL) return map(h);
    const struct place *place = some_place(h, mmap_places);
    struct call c = mapping_call(h);
    c.old = start_of(r);
    c.size = length(h, pages_of(r));
    c.flags |= MAP_FIXED;
    MUST(place->call(&c) == c.old);
    disown(h->table, r);
    own(r, owner_by(h, &c, place, pages_of(r)));
}

static void unmap_some(struct hand *h) {
    make_room(h);
    struct range r = some_part(h, some_area(h));
    if (r.area == NULL) return map(h);
    unmap_range(h, r);
}

/* Grows, shrinks or moves pages, of several mappings even. The kernel may
 * refuse: where they may not move and cannot grow, or are not alike. */
static void remap(struct hand *h) {
    make_room(h);
    struct range r = below(h, 4) ? some_mapping(h) : some_part(h, some_area(h));
    if (r.area == NULL || (uncounted(r) != 0 && !is_of_one(r))) return map(h);
    int is_counted = uncounted(r) == 0;
    int was_alike = is_of_one(r) && h->table->mappings[r.area->owners[r.from]].is_alike;
    unsigned was_pages = pages_of(r);
    unsigned pages = 1 + below(h, below(h, 2) ? 2 * pages_of(r) : AREA_PAGES);
    if (pages > AREA_PAGES) pages = AREA_PAGES;
    const struct place *place = some_place(h, mremap_places);
    struct call c = {.old = start_of(r), .old_size = length(h, pages_of(r)), .size = length(h, pages)};
    c.flags = below(h, 5) ? MREMAP_MAYMOVE : 0;
    char *p = place->call(&c);
    if (p == MAP_FAILED) return;
    cut(h->table, r);
    uint16_t owner = is_counted ? new_owner(h->table, place, pages) : 0;
    add(h->table, p, pages, owner);
    /* It can only grow what is alike, but shrink, or leave as it is, anything. */
    h->table->mappings[owner].is_alike = was_alike || pages > was_pages;
}

/* Moves pages, now and then a file's, over others. */
static void remap_over(struct hand *h) {
    make_room(h);
    struct range r = some_mapping(h), over = some_part(h, some_area(h));
    if (r.area == NULL || r.area == over.area) return map(h);
    const struct place *place = some_place(h, mremap_places);
    struct call c = {.old = start_of(r), .old_size = bytes_of(r), .size = length(h, pages_of(over))};
    c.flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    c.target = start_of(over);
    int is_file = below(h, 4) == 0;
    if (is_file) {
        MUST(mmap(c.old, c.old_size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == c.old);
        AFTER_CALL();
    }
    MUST(place->call(&c) == c.target);
    disown(h->table, over);
    own(over, is_file ? 0 : new_owner(h->table, place, pages_of(over)));
    cut(h->table, r);
}

/* Moves what pages hold; the pages stay mapped, and empty. */
static void remap_content(struct hand *h) {
    make_room(h);
    struct range r = some_mapping(h);
    if (r.area == NULL) return map(h);
    const struct place *place = some_place(h, mremap_places);
    struct call c = {.old = start_of(r), .old_size = bytes_of(r), .size = bytes_of(r)};
    c.flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    char *p = place->call(&c);
    MUST(p != MAP_FAILED);
    add(h->table, p, pages_of(r), new_owner(h->table, place, pages_of(r)));
}

/* ---- calls that must fail, and leave everything as it is ---- */

static void fail_to_map(struct hand *h) {
    struct range r = some_part(h, some_area(h));
    struct call c = {.size = PAGE, .flags = MAP_PRIVATE | MAP_ANONYMOUS, .file = -1};
    c.protection = PROT_READ | PROT_WRITE;
    if (r.area == NULL) return map(h);
    switch (below(h, 5)) {
    case 0:
        c.size = 0;
        break;
    case 1:
        c.size = SIZE_MAX / 4;
        break;
    case 2: /* neither private nor shared */
        c.flags = MAP_ANONYMOUS;
        break;
    case 3: /* not at a page's start */
        c.flags |= MAP_FIXED;
        c.old = start_of(r) + 1;
        break;
    default:
        c.flags |= MAP_FIXED_NOREPLACE;
        c.old = start_of(r);
        break;
    }
    MUST(some_place(h, mmap_places)->call(&c) == MAP_FAILED);
}

static void fail_to_unmap(struct hand *h) {
    struct range r = some_part(h, some_area(h));
    if (r.area == NULL) return map(h);
    switch (below(h, 3)) {
    case 0:
        MUST(unmap(start_of(r), 0) != 0);
        break;
    case 1:
        MUST(unmap(start_of(r) + 1, bytes_of(r)) != 0);
        break;
    default: /* beyond what a program can have */
        MUST(unmap(start_of(r), SIZE_MAX / 2) != 0);
        break;
    }
}

static void fail_to_remap(struct hand *h) {
    struct range r = some_mapping(h);
    if (r.area == NULL) return map(h);
    struct call c = {.old = start_of(r), .old_size = bytes_of(r), .size = bytes_of(r) + PAGE};
    c.flags = MREMAP_MAYMOVE;
    switch (below(h, 5)) {
    case 0:
        c.flags = 256;
        break;
    case 1:
        c.old = start_of(r) + 1;
        break;
    case 2:
        c.size = 0;
        break;
    case 3:
        c.size = SIZE_MAX / 4;
        break;
    default: /* it may not move, and the next page is taken */
        if (r.to == r.area->pages) return fail_to_remap(h);
        c.flags = 0;
        break;
    }
    MUST(some_place(h, mremap_places)->call(&c) == MAP_FAILED);
}

#endif
