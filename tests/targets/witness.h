/* What a program knows of its own stacks: each allocation that it makes while
 * `witness_looks` is set is recorded, when that is asked for, with the stack as
 * the compiler's own runtime walks it (_Unwind_Backtrace), in memory that no
 * allocator gave.
 *
 * The program's own malloc, which forwards to the C library's, is what records:
 * so the calls told are those from malloc's caller outwards, to the byte.
 *
 * Said by witness_tell(), one line each:
 *   call BYTES WHOLE MODULE+0xADDRESS ...
 * An address is that of the call, as the module's symbols have it: a byte
 * before the return address, or of the very instruction that a signal
 * interrupted. WHOLE is 1 where the walk came to the bottom of the stack.
 *
 * For C and C++; stacks.rs has its own. Include in one file. */
#ifndef WITNESS_H
#define WITNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#define WITNESS_CALLS 4096
#define WITNESS_FRAMES 127
/* A call's bytes tell which it is: four times its number, and this many more,
 * which no other allocation here has. */
#define WITNESS_LEAST_BYTES 4096

#ifdef __cplusplus
#define WITNESS_C extern "C"
#else
#define WITNESS_C
#endif

struct witness_call {
    size_t bytes;
    int whole;
    unsigned depth;
    unsigned skip; /* frames of the recording itself, still to come */
    uintptr_t at[WITNESS_FRAMES];
};

static struct witness_call witness_calls[WITNESS_CALLS];
static unsigned witness_count;
static int witness_records;
static __thread int witness_looks;

/* A debugger stops here: its caller is malloc. */
WITNESS_C __attribute__((noinline, noipa, used)) void witness_seen(size_t bytes) {
    __asm__ volatile("" : : "r"(bytes) : "memory");
}

static _Unwind_Reason_Code witness_frame(struct _Unwind_Context *frame, void *into) {
    struct witness_call *call = (struct witness_call *)into;
    int is_exact = 0;
    uintptr_t at = _Unwind_GetIPInfo(frame, &is_exact);
    if (call->skip > 0) {
        call->skip--;
    } else if (at == 0) {
        call->whole = call->depth < WITNESS_FRAMES; /* nobody called the last one */
    } else if (call->depth < WITNESS_FRAMES) {
        call->at[call->depth++] = is_exact ? at : at - 1;
    }
    return _URC_NO_REASON;
}

__attribute__((noinline, noipa)) static void witness_record(size_t bytes) {
    witness_looks = 0;
    unsigned number = __atomic_fetch_add(&witness_count, 1, __ATOMIC_RELAXED);
    if (number >= WITNESS_CALLS) abort();
    struct witness_call *call = &witness_calls[number];
    call->bytes = bytes;
    call->skip = 2; /* this function and malloc */
    _Unwind_Backtrace(witness_frame, call);
    witness_looks = 1;
}

WITNESS_C void *__libc_malloc(size_t bytes);
WITNESS_C void __libc_free(void *block);

WITNESS_C __attribute__((noinline, noipa)) void *malloc(size_t bytes) {
    if (witness_looks && witness_records && bytes >= WITNESS_LEAST_BYTES) {
        witness_record(bytes);
        witness_seen(bytes);
    }
    return __libc_malloc(bytes);
}

/* Who defines only one of the two is no allocator. */
WITNESS_C void free(void *block) {
    __libc_free(block);
}

struct witness_module {
    uintptr_t address;
    uintptr_t in_module;
    const char *name;
};

static int witness_look_in(struct dl_phdr_info *object, size_t size, void *into) {
    struct witness_module *sought = (struct witness_module *)into;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && sought->address - start < part->p_memsz) {
            sought->in_module = sought->address - object->dlpi_addr;
            sought->name = object->dlpi_name;
            return 1;
        }
    }
    return 0;
}

/* Says all that was recorded, and "end". */
static void witness_tell(void) {
    static char program[4096], out[1 << 16];
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) abort();
    setvbuf(stdout, out, _IOFBF, sizeof out);
    for (unsigned i = 0; i < witness_count; i++) {
        const struct witness_call *call = &witness_calls[i];
        printf("call %zu %d", call->bytes, call->whole);
        for (unsigned j = 0; j < call->depth; j++) {
            struct witness_module module = {call->at[j], call->at[j], "nowhere"};
            dl_iterate_phdr(witness_look_in, &module);
            char path[PATH_MAX]; /* not that of a link, which names it in another way */
            if (realpath(module.name[0] == '\0' ? program : module.name, path) == NULL)
                strcpy(path, "nowhere");
            const char *slash = strrchr(path, '/');
            printf(" %s+0x%zx", slash == NULL ? path : slash + 1, (size_t)module.in_module);
        }
        putchar('\n');
    }
    puts("end");
    fflush(stdout);
}

/* Random numbers that are the same in every run. */
static __thread uint64_t witness_random;

static inline uint32_t witness_pick(uint32_t below) {
    witness_random = witness_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(witness_random >> 33) % below;
}

/* Says "ready", and hears "tell", or the end of the input: has `run` make the
 * calls of its seed, and tells them. Hearing "go", it makes them unrecorded.
 * Either way it says "end", and waits for the end of the input.
 * Usage of every such program: SEED CALLS. */
static int witness_main(int argc, char **argv, void (*run)(uint64_t seed, unsigned calls)) {
    static char line[16];
    unsigned calls = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    if (calls == 0 || calls > WITNESS_CALLS) {
        fprintf(stderr, "usage: %s SEED CALLS (1 to %d)\n", argv[0], WITNESS_CALLS);
        return 2;
    }
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    ssize_t heard = read(0, line, sizeof line);
    witness_records = line[0] != 'g';
    run(strtoull(argv[1], NULL, 10), calls);
    witness_tell();
    while (heard > 0) heard = read(0, line, sizeof line);
    return 0;
}

#endif
