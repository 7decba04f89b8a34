/* Compiles code as it runs, and tells what in /tmp/perf-PID.map.
 *
 * Talk:  -> "ready"
 *        <- "compile NAME", answered "compiled": the code is there, and has a line in the map
 *        <- "work", answered "done": the code compiled last keeps a block of 100 bytes
 *        <- end of file; the program leaves, and takes the map along. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPACE 64

static unsigned char *next;
static void (*code)(void);
static char path[64];

/* A function that calls malloc(100), with a frame as compilers make it. */
static void compile(const char *name) {
    unsigned char bytes[] = {0x55, 0x48, 0x89, 0xe5,                   /* push rbp; mov rbp, rsp */
                             0xbf, 100, 0, 0, 0,                       /* mov edi, 100 */
                             0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,       /* mov rax, malloc */
                             0xff, 0xd0, 0x5d, 0xc3};                  /* call rax; pop rbp; ret */
    void *(*allocate)(size_t) = malloc;
    memcpy(bytes + 11, &allocate, 8);
    memcpy(next, bytes, sizeof bytes);
    memcpy(&code, &next, sizeof code);
    FILE *map = fopen(path, "a");
    if (!map) abort();
    fprintf(map, "%lx %lx %s\n", (unsigned long)next, (unsigned long)sizeof bytes, name);
    fclose(map);
    next += SPACE;
}

__attribute__((noinline, noipa)) static void run_code(void) {
    code();
    __asm__ volatile("");
}

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

int main(void) {
    char line[512];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    next = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (next == MAP_FAILED) abort();
    say("ready");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "compile ", 8) == 0) {
            compile(line + 8);
            say("compiled");
        } else {
            run_code();
            say("done");
        }
    }
    unlink(path);
}
