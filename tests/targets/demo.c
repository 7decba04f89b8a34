/* The bundled demo: a pretend web service with two worker threads, about 2,000
 * pretend requests a second, a healthy cache and three leaks:
 *
 *   remember_session   one session in four requests is never ended: ~160 kB/s
 *   cache_thumbnail    a thumbnail in a hundred requests is never evicted: ~330 kB/s
 *   append_audit_line  the audit log is never flushed: a line in five requests, ~18 kB/s
 *
 * Usage: demo [SECONDS]: runs until killed, or for 120 seconds.
 *
 * Build: cc -O1 -g -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
 *        -fno-optimize-sibling-calls -pthread -o demo demo.c */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Every step has its own frame, so that stacks read like a real service's. */
#if defined(__GNUC__) && !defined(__clang__)
#define STEP __attribute__((noinline, noipa)) static
#else
#define STEP __attribute__((noinline)) static
#endif
/* The compiler must believe that somebody looks at the block. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

#define REQUESTS_PER_SECOND_AND_THREAD 1000

struct request {
    uint64_t number;  /* counts from 1 in each thread */
    uint32_t *random; /* the thread's generator */
    char *body;
    char *answer;
};

static uint32_t pick(struct request *r, uint32_t below) {
    *r->random = *r->random * 1664525u + 1013904223u;
    return (*r->random >> 8) % below;
}

static void *must(void *block) {
    if (block == NULL) {
        fputs("demo: out of memory\n", stderr);
        _exit(1);
    }
    USED(block);
    return block;
}

/* ---- sessions: the first leak ---- */

struct session {
    struct session *next;
    uint64_t user;
    char token[64];
    char settings[240];
};

static struct session *sessions;
static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;

/* LEAK: nothing ever takes a session out of the list. */
STEP void remember_session(uint64_t user) {
    struct session *s = must(malloc(sizeof *s));
    memset(s, 0, sizeof *s);
    s->user = user;
    pthread_mutex_lock(&sessions_lock);
    s->next = sessions;
    sessions = s;
    pthread_mutex_unlock(&sessions_lock);
}

STEP void open_session(struct request *r) {
    char *form = must(malloc(256)); /* the parsed login form: healthy */
    memset(form, 0, 256);
    remember_session(r->number);
    free(form);
}

STEP void handle_login(struct request *r) {
    open_session(r);
    memcpy(r->answer, "303", 4);
}

/* ---- the audit log: the second leak ---- */

#define AUDIT_BUFFER 16384
#define AUDIT_STEP 512

static char **audit_buffers; /* full ones, and the one being filled, last */
static size_t audit_buffer_count, audit_used = AUDIT_BUFFER, audit_room = AUDIT_BUFFER;
static pthread_mutex_t audit_lock = PTHREAD_MUTEX_INITIALIZER;

/* LEAK: buffers fill and are kept for a flush that never comes. */
STEP void append_audit_line(const char *line, size_t length) {
    pthread_mutex_lock(&audit_lock);
    if (audit_used + length > AUDIT_BUFFER) {
        audit_buffers =
            must(realloc(audit_buffers, (audit_buffer_count + 1) * sizeof *audit_buffers));
        audit_buffers[audit_buffer_count++] = NULL;
        audit_used = audit_room = 0;
    }
    char **last = &audit_buffers[audit_buffer_count - 1];
    if (audit_used + length > audit_room) {
        audit_room += AUDIT_STEP;
        *last = must(realloc(*last, audit_room));
    }
    memcpy(*last + audit_used, line, length);
    audit_used += length;
    pthread_mutex_unlock(&audit_lock);
}

STEP void write_audit(struct request *r) {
    char line[128];
    int length = snprintf(line, sizeof line, "request %llu from 10.0.%u.%u: answered %.3s\n",
                          (unsigned long long)r->number, pick(r, 256), pick(r, 256), r->answer);
    append_audit_line(line, (size_t)length);
    USED(line);
}

/* ---- pages: a healthy cache that fills within two seconds, then replaces ---- */

#define PAGES 1024

static char *pages[PAGES];
static size_t next_page;
static pthread_mutex_t pages_lock = PTHREAD_MUTEX_INITIALIZER;

STEP void cache_page(struct request *r) {
    size_t size = 1024 + pick(r, 4096);
    char *page = must(malloc(size));
    memset(page, ' ', size);
    pthread_mutex_lock(&pages_lock);
    char *evicted = pages[next_page]; /* the oldest, once the cache is full */
    pages[next_page] = page;
    next_page = (next_page + 1) % PAGES;
    pthread_mutex_unlock(&pages_lock);
    free(evicted);
}

/* ---- thumbnails: the third leak ---- */

struct thumbnail {
    struct thumbnail *next;
    char pixels[16 * 1024 - sizeof(struct thumbnail *)];
};

static struct thumbnail *thumbnails;
static pthread_mutex_t thumbnails_lock = PTHREAD_MUTEX_INITIALIZER;

/* LEAK: a cache without a bound. */
STEP void cache_thumbnail(const char *image) {
    struct thumbnail *t = must(malloc(sizeof *t));
    memset(t->pixels, image[0], sizeof t->pixels);
    pthread_mutex_lock(&thumbnails_lock);
    t->next = thumbnails;
    thumbnails = t;
    pthread_mutex_unlock(&thumbnails_lock);
}

STEP void load_image(struct request *r) {
    size_t size = 32 * 1024 + pick(r, 32 * 1024);
    char *image = must(malloc(size)); /* the decoded image: healthy */
    memset(image, 1, size);
    cache_thumbnail(image);
    free(image);
}

STEP void render_page(struct request *r) {
    char *rows = must(calloc(8, 100)); /* the page's data: healthy */
    if (r->number % 100 == 50) load_image(r); /* never a login: no multiple of 4 */
    if (pick(r, 4) != 0) cache_page(r);
    free(rows);
}

STEP void handle_page(struct request *r) {
    render_page(r);
    memcpy(r->answer, "200", 4);
}

/* ---- requests ---- */

STEP void answer_request(struct request *r) {
    if (r->number % 4 == 0)
        handle_login(r);
    else
        handle_page(r);
    if (r->number % 5 == 0) write_audit(r);
    USED(r);
}

STEP void handle_request(uint64_t number, uint32_t *random) {
    struct request r = {number, random, NULL, NULL};
    r.body = must(malloc(200 + pick(&r, 1800)));
    r.answer = must(malloc(4096));
    answer_request(&r);
    free(r.answer);
    free(r.body);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Requests arrive on a schedule, one pause after the other, so that the rate
 * holds however long a request takes (under a tracer, say). */
STEP void serve_connections(uint32_t *random) {
    int64_t due = now_us();
    for (uint64_t number = 1;; number++) {
        handle_request(number, random);
        *random = *random * 1664525u + 1013904223u;
        due += 1000000 / REQUESTS_PER_SECOND_AND_THREAD / 2 +
               (*random >> 8) % (1000000 / REQUESTS_PER_SECOND_AND_THREAD);
        int64_t wait = due - now_us();
        if (wait > 0)
            usleep((useconds_t)wait);
        else if (wait < -1000000)
            due = now_us(); /* stopped for long: do not catch up */
    }
}

static void *worker_main(void *seed) {
    uint32_t random = (uint32_t)(uintptr_t)seed;
    serve_connections(&random);
    return NULL;
}

int main(int argc, char **argv) {
    unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 120;
    printf("demo: a leaking pretend web service, pid %d, for %u s\n", (int)getpid(), seconds);
    fflush(stdout);
    for (uintptr_t seed = 1; seed <= 2; seed++) {
        pthread_t id;
        if (pthread_create(&id, NULL, worker_main, (void *)seed) != 0) return 1;
    }
    for (int64_t end = now_us() + (int64_t)seconds * 1000000; now_us() < end;) usleep(100000);
    _exit(0);
}
