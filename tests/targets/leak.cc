// A C++ program that leaks known amounts through libstdc++'s own operator new
// and keeps its own books (see books.h for the talk and what the books hold).
//
// Usage: leak [ROUNDS [PAUSE_US]], as leak.c.
//
// Build: c++ -std=c++17 -O1 -g -fno-omit-frame-pointer
//        -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls -pthread
//        -o leak leak.cc
//
// operator new is not replaced: containers count through an allocator that
// wraps it, and plain new and delete are booked by hand with the size that the
// compiler asks for.
#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "books.h"

#define SITES(X)                                                             \
    X(string_site) X(vector_site) X(new_site) X(map_site) X(new_array_site)  \
    X(cookie_array_site) X(aligned_new_site) X(temporary_site) X(ring_site)  \
    X(handoff_site)
DEFINE_BOOKS(SITES)

// Passes everything on to operator new, and writes it in the site's book.
template <class T, site S> struct Counted {
    using value_type = T;
    template <class U> struct rebind {
        using other = Counted<U, S>;
    };
    Counted() = default;
    template <class U> Counted(const Counted<U, S> &) {}

    T *allocate(size_t n) {
        void *p = ::operator new(n * sizeof(T));
        USED(p);
        book_alloc(&books[S], n * sizeof(T));
        return static_cast<T *>(p);
    }
    void deallocate(T *p, size_t n) {
        book_free(&books[S], n * sizeof(T));
        ::operator delete(p);
    }
    template <class U> bool operator==(const Counted<U, S> &) const { return true; }
    template <class U> bool operator!=(const Counted<U, S> &) const { return false; }
};

template <site S> using String = std::basic_string<char, std::char_traits<char>, Counted<char, S>>;
template <class T, site S> using Vector = std::vector<T, Counted<T, S>>;
template <site S>
using Map = std::map<unsigned, uint64_t, std::less<unsigned>,
                     Counted<std::pair<const unsigned, uint64_t>, S>>;

// `new T(...)` and `delete`, booked.
template <class T, site S, class... Args> inline T *make(Args &&...args) {
    T *p = new T(std::forward<Args>(args)...);
    USED(p);
    book_alloc(&books[S], sizeof(T));
    return p;
}

template <site S, class T> inline void destroy(T *p) {
    book_free(&books[S], sizeof(T));
    delete p;
}

struct Order {
    uint64_t id;
    char note[90];
    explicit Order(uint64_t id) : id(id) { note[0] = 0; }
};

// With a destructor to run, new[] asks for a cookie that holds the count.
struct Handle {
    uint32_t fd;
    Handle() : fd(7) {}
    ~Handle() { AFTER_CALL(); }
};

// Aligned beyond malloc's promise: libstdc++ calls aligned_alloc for it. The
// size is a multiple of the alignment, so that nothing is rounded up. That
// operator new uses the frame pointer's register for the size: at the
// aligned_alloc a frame-pointer walk finds nothing.
struct alignas(64) Lane {
    uint64_t cells[16];
};

// ---- leaks; vector_site is used by both threads: two stacks ----

FRAME static void vector_site(worker *w) {
    auto *v = make<Vector<uint32_t, SITE_vector_site>, SITE_vector_site>();
    for (uint32_t n = 1 + pick(w, 60); n > 0; n--) v->push_back(n);
    USED(v->data());
    if (pick(w, 4) == 0) destroy<SITE_vector_site>(v);
}

// Grows out of the string's own 15 bytes most of the time.
FRAME static void string_site(worker *w) {
    auto *s = make<String<SITE_string_site>, SITE_string_site>();
    for (uint32_t n = pick(w, 8); n > 0; n--) s->append("a few words ");
    USED(s->data());
    if (pick(w, 4) == 0) destroy<SITE_string_site>(s);
}

FRAME static void new_site(worker *w) {
    Order *order = make<Order, SITE_new_site>(w->round);
    if (pick(w, 3) == 0) destroy<SITE_new_site>(order);
}

// One map a thread, which only ever grows, but for an erased key here or there.
static Map<SITE_map_site> map_of[2];

FRAME static void map_site(worker *w) {
    map_of[w->id][pick(w, 100000)] = w->round;
    if (pick(w, 5) == 0) map_of[w->id].erase(map_of[w->id].begin());
}

FRAME static void new_array_site(worker *w) {
    size_t n = 1 + pick(w, 50);
    uint64_t *p = new uint64_t[n];
    USED(p);
    book_alloc(&books[SITE_new_array_site], n * sizeof *p);
    if (pick(w, 3) == 0) {
        book_free(&books[SITE_new_array_site], n * sizeof *p);
        delete[] p;
    }
}

FRAME static void cookie_array_site(worker *w) {
    size_t n = 1 + pick(w, 50), bytes = sizeof(size_t) + n * sizeof(Handle);
    Handle *p = new Handle[n];
    USED(p);
    book_alloc(&books[SITE_cookie_array_site], bytes);
    if (pick(w, 3) == 0) {
        book_free(&books[SITE_cookie_array_site], bytes);
        delete[] p;
    }
}

FRAME static void aligned_new_site(worker *w) {
    Lane *lane = make<Lane, SITE_aligned_new_site>();
    if (pick(w, 2) == 0) destroy<SITE_aligned_new_site>(lane);
}

// ---- healthy ----

FRAME static void temporary_site(worker *w) {
    Vector<String<SITE_temporary_site>, SITE_temporary_site> lines;
    for (uint32_t n = 1 + pick(w, 6); n > 0; n--) lines.emplace_back(10 * n, 'x');
    USED(lines.data());
}

static Order *ring[2][64];

FRAME static void ring_site(worker *w) {
    Order *&slot = ring[w->id][w->round % 64];
    if (slot != nullptr) destroy<SITE_ring_site>(slot);
    slot = make<Order, SITE_ring_site>(w->round);
}

// One thread makes it, the other destroys it: each thread fills its own slots
// and empties the other's.
static Order *slots[2][32];

FRAME static void handoff_site(worker *w) {
    Order *mine = make<Order, SITE_handoff_site>(w->round);
    unsigned at = w->round % 32;
    if (Order *unfetched = __atomic_exchange_n(&slots[w->id][at], mine, __ATOMIC_ACQ_REL))
        destroy<SITE_handoff_site>(unfetched);
    if (Order *theirs =
            __atomic_exchange_n(&slots[1 - w->id][at], (Order *)nullptr, __ATOMIC_ACQ_REL))
        destroy<SITE_handoff_site>(theirs);
}

// ---- the threads ----

SITES(CHAIN)

FRAME static void round_both(worker *w) {
    vector_site_outer(w);
    temporary_site_outer(w);
    ring_site_outer(w);
    handoff_site_outer(w);
    AFTER_CALL();
}

FRAME static void round_one(worker *w) {
    round_both(w);
    string_site_outer(w);
    map_site_outer(w);
    aligned_new_site_outer(w);
    AFTER_CALL();
}

FRAME static void round_two(worker *w) {
    round_both(w);
    new_site_outer(w);
    new_array_site_outer(w);
    cookie_array_site_outer(w);
    AFTER_CALL();
}

FRAME static void *worker_one(void *unused) {
    work(0, round_one);
    return unused;
}

FRAME static void *worker_two(void *unused) {
    work(1, round_two);
    return unused;
}

int main(int argc, char **argv) {
    return run(argc, argv, worker_one, worker_two, books, SITE_COUNT);
}
