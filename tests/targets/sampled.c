/* Allocates blocks of mixed sizes from many stacks, all of them alike, and keeps books of none: what each stack holds
 * in the end follows from its arguments. A trace that samples has as many tries at one figure as there are stacks.
 *
 * Usage: sampled STACKS_LOG2
 *
 * Says "ready"; on a line of input allocates from each of 2^STACKS_LOG2 stacks, frees every other block, and says
 * "stacks N allocated_bytes A allocated_count B outstanding_bytes C outstanding_count D", each figure of one stack.
 * Leaves at the end of its input.
 *
 * A stack is told from the others by its path: a frame of left or right for each bit of its number. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME __attribute__((noinline, noipa))
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

enum { SMALL = 1600, MEDIUM = 160, LARGE = 16, BLOCKS = SMALL + MEDIUM + LARGE };

static unsigned levels;
static uint64_t allocated_bytes, outstanding_bytes, outstanding_count;

/* The n-th block's size: small ones of 8 to 519 bytes, some of 1 to 8 KiB, a few of 16 to 128 KiB. */
static size_t size_of(unsigned n)
{
    if (n < SMALL)
        return 8 + n * 37 % 512;
    if (n < SMALL + MEDIUM)
        return 1024 + n * 811 % 7168;
    return 16384 + n * 7919 % 114688;
}

static FRAME void work(void)
{
    static void *blocks[BLOCKS];
    for (unsigned n = 0; n < BLOCKS; n++) {
        blocks[n] = malloc(size_of(n));
        if (!blocks[n])
            abort();
    }
    for (unsigned n = 0; n < BLOCKS; n += 2)
        free(blocks[n]);
    AFTER_CALL();
}

static void step(unsigned number, unsigned level);

static FRAME void left(unsigned number, unsigned level)
{
    step(number, level);
    AFTER_CALL();
}

static FRAME void right(unsigned number, unsigned level)
{
    step(number, level);
    AFTER_CALL();
}

static FRAME void step(unsigned number, unsigned level)
{
    if (level == levels)
        work();
    else if (number >> level & 1)
        right(number, level + 1);
    else
        left(number, level + 1);
    AFTER_CALL();
}

int main(int argc, char **argv)
{
    char line[64];
    levels = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        for (unsigned number = 0; number < 1u << levels; number++)
            step(number, 0);
        allocated_bytes = outstanding_bytes = outstanding_count = 0;
        for (unsigned n = 0; n < BLOCKS; n++) {
            allocated_bytes += size_of(n);
            if (n % 2 != 0) {
                outstanding_bytes += size_of(n);
                outstanding_count++;
            }
        }
        printf("stacks %u allocated_bytes %llu allocated_count %u outstanding_bytes %llu outstanding_count %llu\n",
               1u << levels, (unsigned long long)allocated_bytes, (unsigned)BLOCKS,
               (unsigned long long)outstanding_bytes, (unsigned long long)outstanding_count);
        fflush(stdout);
    }
    return 0;
}
