/* Allocates before main, in main, and leaves: what `leaktrace run` must see
 * from the first allocation on.
 *
 * Usage: first [BLOCKS]: main keeps so many blocks of 2000 bytes, or 5. A
 * constructor has kept 3 blocks of 1000 bytes by then.
 *
 * Build: cc -O1 -g -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
 *        -fno-optimize-sibling-calls -pthread -o first first.c */
#include <stdlib.h>

/* The compiler must believe that somebody looks at the block. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

__attribute__((noinline)) static void keep(unsigned blocks, size_t bytes) {
    for (; blocks > 0; blocks--) {
        void *block = malloc(bytes);
        if (block == NULL) abort();
        USED(block);
    }
}

__attribute__((constructor, noinline)) static void before_main(void) {
    keep(3, 1000);
    USED(NULL); /* no tail call */
}

__attribute__((noinline)) static void inside_main(unsigned blocks) {
    keep(blocks, 2000);
    USED(NULL);
}

int main(int argc, char **argv) {
    inside_main(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 5);
    return 0;
}
