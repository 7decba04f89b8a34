/* A tiny allocator whose functions are called PREFIX##malloc and so on: it
 * hands out what lies next in a static arena and never reuses it. Its functions
 * call one another, as a real allocator's do. For one thread at a time.
 *
 * Before a block is made, HEAP_HOOK(bytes), if it is defined, is asked for one.
 *
 * As a library: cc -shared -fPIC -DPREFIX=je_ -x c tiny_heap.h */
#ifndef TINY_HEAP_H
#define TINY_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TINY_PASTE_(one, other) one##other
#define TINY_PASTE(one, other) TINY_PASTE_(one, other)
#define TINY(name) TINY_PASTE(PREFIX, name)

/* noipa: calls from one to another stay calls. */
#define TINY_CALL __attribute__((noinline, noipa))

/* Each block has its size before it. */
static _Alignas(16) char tiny_arena[1 << 20];
static size_t tiny_used;

TINY_CALL void *TINY(malloc)(size_t bytes) {
#ifdef HEAP_HOOK
    void *answer = HEAP_HOOK(bytes);
    if (answer != NULL) return answer;
#endif
    size_t whole = 16 + ((bytes + 15) & ~(size_t)15);
    if (bytes > sizeof tiny_arena || tiny_used + whole > sizeof tiny_arena) return NULL;
    char *block = tiny_arena + tiny_used + 16;
    tiny_used += whole;
    memcpy(block - 16, &bytes, sizeof bytes);
    return block;
}

TINY_CALL void TINY(free)(void *block) { __asm__ volatile("" : : "r"(block) : "memory"); }

TINY_CALL void *TINY(calloc)(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *block = TINY(malloc)(bytes);
    return block == NULL ? NULL : memset(block, 0, bytes);
}

TINY_CALL void *TINY(realloc)(void *old, size_t bytes) {
    void *block = TINY(malloc)(bytes);
    if (block == NULL || old == NULL) return block;
    size_t had;
    memcpy(&had, (char *)old - 16, sizeof had);
    memcpy(block, old, had < bytes ? had : bytes);
    TINY(free)(old);
    return block;
}

#endif
