/* Says that it is a Python 3.12, and has in its heap what no Python has: lists that bite their tails, sizes beyond all
 * memory, types of each other, names that never end, and random words.
 *
 * fake_python crafted: all that somebody thought of. fake_python random SEED: words of which many are addresses.
 * fake_python changing SEED: the same, and different ones all the time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t word;

enum { POOL = 16384, HEAD = 48, POOLS = 128, TYPES = 64, TYPE_WORDS = 128 };

/* What an interpreter is found by. */
word _PyRuntime[459944 / 8];
word PyType_Type[TYPE_WORDS];
unsigned Py_Version = 0x030c01f0;

static word interpreter[1024], thread[256];
static word types[TYPES][TYPE_WORDS] __attribute__((aligned(32)));
static char *pools;
static const char *names[] = {"dict", "list", "tuple", "str", "int", "set", "collections.deque", "bytearray", "\x1b[2J\r\n\xe2\x80\xae", "type"};
static word seed = 1;

static word draw(void) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

/* A pool of which all blocks are in use. */
static char *make_pool(int number, unsigned size_class) {
    char *pool = pools + (size_t)number * POOL;
    unsigned size = (size_class + 1) * 16, blocks = (POOL - HEAD) / size;
    uint32_t *halves = (uint32_t *)pool;
    memset(pool, 0, HEAD);
    halves[0] = blocks;
    halves[8] = number / 64;
    halves[9] = size_class;
    halves[10] = HEAD + blocks * size;
    halves[11] = POOL - size;
    return pool;
}

static word address(const void *of) { return (word)of; }

static void make_type(word *type, const char *name, const void *of, word basic, word item, word flags) {
    type[0] = 1000;
    type[1] = address(of);
    type[3] = address(name);
    type[4] = basic;
    type[5] = item;
    type[21] = flags;
}

static void make_interpreter(void) {
    make_type(PyType_Type, "type", PyType_Type, 904, 40, 1u << 31 | 1 << 14);
    make_type(types[0], "dict", PyType_Type, 48, 0, 1 << 29 | 1 << 14);
    word *dict = (word *)(make_pool(0, 3) + HEAD + 16);
    dict[0] = 1;
    dict[1] = address(types[0]);
    dict[4] = address(dict);
    _PyRuntime[5] = address(interpreter);
    interpreter[0] = address(interpreter);
    interpreter[9] = address(thread);
    interpreter[118] = address(dict);
    thread[1] = address(thread);
    thread[2] = address(interpreter);
}

/* Objects of a type in every block of a pool, with this behind their heads. */
static void fill(int number, unsigned size_class, const word *type, const word *content, unsigned words) {
    char *pool = make_pool(number, size_class);
    unsigned size = (size_class + 1) * 16, head = type[21] >> 14 & 1 ? 16 : 0;
    for (unsigned at = HEAD; at + size <= POOL; at += size) {
        word *object = (word *)(pool + at + head);
        object[0] = 1;
        object[1] = address(type);
        memcpy(object + 2, content, words * sizeof(word));
    }
}

static void craft(void) {
    word end = ~(word)0, half = (word)1 << 63, self = address(pools);
    /* Lists of free blocks: one in a circle, one to itself, one that leaves, one that is not of blocks. */
    for (int number = 1; number <= 4; number++) {
        char *pool = make_pool(number, 3);
        word *first = (word *)(pool + HEAD), *second = (word *)(pool + HEAD + 64);
        ((word *)pool)[1] = address(first);
        *first = number == 2 ? address(first) : number == 3 ? self : number == 4 ? address(second) + 8 : address(second);
        *second = address(first);
    }
    /* Pools whose fields say what cannot be. */
    for (int number = 5; number < 10; number++) {
        uint32_t *halves = (uint32_t *)make_pool(number, 3);
        halves[number == 5 ? 0 : number + 3] = number % 2 ? ~0u : 0;
    }
    word huge[4] = {end, half, half, end};
    word here[4] = {half - 1, self, self, self};
    make_type(types[1], "list", PyType_Type, 40, 0, 1 << 25 | 1 << 14);
    make_type(types[2], "tuple", PyType_Type, 24, 8, 1 << 26 | 1 << 14);
    make_type(types[3], "str", PyType_Type, 64, 0, 1 << 28);
    make_type(types[4], "int", PyType_Type, 24, 4, 1 << 24);
    make_type(types[5], "set", PyType_Type, 200, 0, 1 << 14);
    make_type(types[6], "collections.deque", PyType_Type, 40, 0, 1 << 14);
    make_type(types[7], "bytes", PyType_Type, 33, 1, 1 << 27);
    for (int kind = 1; kind < 8; kind++) {
        fill(8 + 2 * kind, 3, types[kind], huge, 4);
        fill(9 + 2 * kind, 3, types[kind], here, 4);
    }
    /* A string of all memory, and a dict in its own table that has as many entries as fit into a number. */
    word string[] = {1, address(types[3]), half - 1, 0, 1 << 2 | 1 << 5 | 1 << 6, self};
    word dict[] = {1, address(types[0]), half, 0, self + 64, 0};
    memcpy(pools, string, sizeof(string));
    static word copies[2][16];
    memcpy(copies[0], string, sizeof(string));
    memcpy(copies[1], dict, sizeof(dict));
    copies[1][4] = address(copies[1]) + 32;
    make_pool(0, 3);
    /* Types of each other, of themselves, and of a long line of types; names that are none; sizes that are none. */
    for (int kind = 20; kind < TYPES; kind++) {
        make_type(types[kind], names[8], kind < 24 ? types[20 + (kind - 19) % 4] : types[kind - 1], 32, 0, 1u << 31 | 1 << 9);
        types[kind][109] = address(copies[0]);
        types[kind][33] = address(copies[1]);
        fill(30 + kind, 1, types[kind], huge, 2);
    }
    make_type(types[10], "unready", PyType_Type, end, end, end);
    make_type(types[11], (char *)8, PyType_Type, 32, 0, 0);
    make_type(types[12], (char *)pools + 70 * POOL, PyType_Type, 32, 0, 0);
    make_type(types[13], names[8], types[13], 32, 0, 1u << 31);
    make_type(types[14], names[8], PyType_Type, 32, 0, 1 << 9 | 1 << 4 | 1 << 14);
    types[14][109] = address(copies[0]);
    types[14][33] = address(copies[1]);
    memset(pools + 70 * POOL, 'x', POOL);
    for (int kind = 10; kind < 15; kind++)
        fill(90 + kind, kind == 14 ? 3 : 1, types[kind], huge, 2);
}

static word pick(void) {
    switch (draw() % 8) {
    case 0: return draw();
    case 1: return draw() % 64;
    case 2: return address(PyType_Type);
    case 3: case 4: return address(types[draw() % TYPES]);
    case 5: return address(names[draw() % 10]);
    default: return address(pools) + draw() % (POOLS * POOL) / 8 * 8;
    }
}

static void scatter(void) {
    int number = 1 + draw() % (POOLS - 1);
    char *pool = make_pool(number, draw() % 32);
    word *words = (word *)pool;
    for (unsigned at = HEAD / 8; at < POOL / 8; at++)
        words[at] = pick();
    if (draw() % 2) {
        words[1] = address(pool) + HEAD;
        ((uint32_t *)pool)[0] -= draw() % 4;
    }
    word *type = types[1 + draw() % (TYPES - 1)];
    make_type(type, names[draw() % 10], draw() % 4 ? PyType_Type : types[draw() % TYPES], draw() % 200, draw() % 3 * 4, draw());
    type[33] = pick();
    type[109] = pick();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "crafted";
    size_t size = (size_t)(POOLS + 1) * POOL;
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return 1;
    pools = (char *)((address(area) + POOL - 1) / POOL * POOL);
    make_interpreter();
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15 | 1;
    if (strcmp(what, "crafted") == 0)
        craft();
    else
        for (int times = 0; times < 1000; times++)
            scatter();
    puts("ready");
    fflush(stdout);
    while (strcmp(what, "changing") == 0)
        scatter();
    while (getchar() != EOF) {
    }
    return 0;
}
