/* Allocates again and again from the same place, on stacks that are alike but
 * for one thing: who remembers a stack must not take one for the other. What
 * each was is said as in stacks.c (see witness.h).
 *
 * Usage: again SEED CALLS
 *
 * Each function on the way has a twin with the same frame, so that stacks with
 * the one and the other have every stack pointer in common. Two functions have
 * a hole in their frames, as wide together in all stacks: what lies between
 * them is shifted, and only %rbp tells by how much, for the words at the old
 * place are often still there.
 *
 * Build: cc -O2 -g -fomit-frame-pointer -fcf-protection -pthread
 *        -o again again.c */
#include "witness.h"

#include <alloca.h>

#define HOLES 8   /* ways to share the two holes */
#define CALM 4    /* calls from a stack until others come between */
#define STRETCH 12 /* calls until that stack is another one */

#define STEP __attribute__((noinline, noipa)) static
/* The compiler must believe that somebody looks at the memory. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

typedef void step(void);
static step *const levels[][2];
static const unsigned level_count;
static unsigned level;
static unsigned twins; /* a bit for each level */
static unsigned hole;
static size_t bytes;

STEP void *end(void) {
    void *block = malloc(bytes);
    USED(block);
    return block;
}

STEP void allocate(void) {
    witness_looks = 1;
    void *block = end();
    witness_looks = 0;
    USED(block);
}

__attribute__((always_inline)) static inline void onward(void) {
    if (level == level_count) {
        allocate();
    } else {
        unsigned own = level++;
        levels[own][twins >> own & 1]();
    }
}

#define TWINS(name, ...)              \
    STEP void name##_one(void) {      \
        __VA_ARGS__;                  \
        AFTER_CALL();                 \
    }                                 \
    STEP void name##_other(void) {    \
        __VA_ARGS__;                  \
        AFTER_CALL();                 \
    }

TWINS(plain, onward())
TWINS(near, onward())
TWINS(outer_hole, char *room = alloca(16 + 48 * hole); USED(room); onward(); USED(room))
TWINS(between, onward())
TWINS(array, char room[200]; USED(room); onward(); USED(room))
TWINS(inner_hole, char *room = alloca(16 + 48 * (HOLES - hole)); USED(room); onward(); USED(room))
TWINS(crowded,
      uint64_t a = witness_pick(9); uint64_t b = witness_pick(9); uint64_t c = witness_pick(9);
      uint64_t d = witness_pick(9); uint64_t e = witness_pick(9); uint64_t f = witness_pick(9);
      onward();
      __asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f) : "memory"))

static step *const levels[][2] = {
    {plain_one, plain_other},           {crowded_one, crowded_other},
    {outer_hole_one, outer_hole_other}, {between_one, between_other},
    {array_one, array_other},           {inner_hole_one, inner_hole_other},
    {near_one, near_other},
};
static const unsigned level_count = sizeof levels / sizeof levels[0];

STEP void walk(unsigned number) {
    bytes = WITNESS_LEAST_BYTES + 4 * (size_t)number;
    level = 0;
    onward();
    AFTER_CALL();
}

static void run(uint64_t seed, unsigned calls) {
    witness_random = seed;
    unsigned usual_twins = 0, usual_hole = 0;
    for (unsigned number = 0; number < calls; number++) {
        unsigned turn = number % STRETCH;
        if (turn == 0) {
            usual_twins = witness_pick(1 << level_count);
            usual_hole = witness_pick(HOLES + 1);
        }
        twins = usual_twins;
        hole = usual_hole;
        if (turn >= CALM && turn % 2 == 0) {
            unsigned change = witness_pick(3);
            if (change != 0) twins ^= 1 << witness_pick(level_count);
            if (change != 1) hole = witness_pick(HOLES + 1);
        }
        walk(number);
    }
}

int main(int argc, char **argv) { return witness_main(argc, argv, run); }
