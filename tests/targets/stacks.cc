// Allocates from as many stacks as it is told, each a random path through the
// kinds of calls that C++ has, and says what each stack was (see witness.h).
//
// Usage: stacks SEED CALLS
//
// The allocations are made by operator new, containers and strings, so that the
// C++ library stands between them and the program. Every fourth is made in a
// second thread.
//
// Build: c++ -std=c++17 -O2 -g -fomit-frame-pointer -fcf-protection -pthread
//        -o stacks stacks.cc
#include "witness.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#define STEP __attribute__((noinline)) static
// Something to do after a call, so that the call is never a tail call.
#define AFTER_CALL() __asm__ volatile("" ::: "memory")
// The compiler must believe that somebody looks at the memory.
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

namespace {

constexpr unsigned steps_least = 3, steps_most = 30;

using Step = void (*)();
Step next_step();
thread_local unsigned steps_left;
thread_local std::size_t bytes;

__attribute__((always_inline)) inline void onward() {
    next_step()();
    AFTER_CALL();
}

// ---- the ends of paths; what they make is never given back ----

std::string all_text;

STEP void end_new() { USED(::operator new(bytes)); }
STEP void end_new_array() { USED(new char[bytes]); }
STEP void end_new_that_may_fail() { USED(new (std::nothrow) char[bytes]); }
STEP void end_malloc() { USED(malloc(bytes)); }
STEP void end_string_of_one() { USED(new (std::align_val_t(64)) std::string(bytes - 1, 'x')); }
STEP void end_vector() { USED(new (std::align_val_t(64)) std::vector<char>(bytes)); }
STEP void end_unique() { USED(std::make_unique<char[]>(bytes).release()); }
// Grows inside the library, by a function that it has compiled.
STEP void end_string_grown() {
    auto *kept = new (std::align_val_t(64)) std::string;
    kept->append(all_text.data(), bytes - 1);
    USED(kept);
}
STEP void end_string_reserved() {
    auto *kept = new (std::align_val_t(64)) std::string;
    kept->reserve(bytes - 1);
    USED(kept);
}
STEP void end_wide_string() {
    auto *kept = new (std::align_val_t(64)) std::wstring;
    kept->resize(bytes / sizeof(wchar_t) - 1, L'x');
    USED(kept);
}

STEP void allocate() {
    static constexpr Step ends[] = {end_new,          end_new_array,       end_new_that_may_fail,
                                    end_malloc,       end_string_of_one,   end_vector,
                                    end_unique,       end_string_grown,    end_string_reserved,
                                    end_wide_string};
    Step end = ends[witness_pick(std::size(ends))];
    witness_looks = 1;
    end();
    witness_looks = 0;
}

// ---- functions, members and what is called like them ----

STEP void step_plain() { onward(); }
STEP void step_tail() { next_step()(); }

template <unsigned Room> __attribute__((noinline)) void step_template() {
    char room[Room];
    USED(room);
    onward();
    USED(room);
}

struct Base {
    virtual ~Base() = default;
    virtual void go(unsigned depth) = 0;
};
struct Left : Base {
    __attribute__((noinline)) void go(unsigned) override { onward(); }
};
struct Other {
    virtual ~Other() = default;
    virtual void other() { onward(); }
};
// Called through a thunk that moves `this`, when called as an Other.
struct Right : Base, Other {
    unsigned depth = 0;
    __attribute__((noinline)) void go(unsigned more) override {
        depth = more;
        other();
        AFTER_CALL();
    }
    __attribute__((noinline)) void other() override {
        USED(this);
        onward();
        USED(this);
    }
};

STEP void step_virtual() {
    Left left;
    Right right;
    Base *one = witness_pick(2) == 0 ? static_cast<Base *>(&left) : &right;
    USED(one);
    one->go(3);
    AFTER_CALL();
}

STEP void step_thunk() {
    Right right;
    Other *other = &right;
    __asm__ volatile("" : "+r"(other));
    other->other();
    AFTER_CALL();
}

STEP void step_member_pointer() {
    static void (Base::*volatile member)(unsigned) = &Base::go;
    Left left;
    Base *base = &left;
    (base->*member)(1);
    AFTER_CALL();
}

STEP void step_lambda() {
    char room[100];
    auto call = [&room](auto value) __attribute__((noinline)) {
        USED(room);
        onward();
        return value;
    };
    call(witness_pick(2));
    AFTER_CALL();
}

STEP void step_function() {
    char room[100];
    char *place = room;
    std::function<void()> call = [place] {
        USED(place);
        onward();
    };
    USED(&call);
    call();
    AFTER_CALL();
}

STEP void step_variant() {
    std::variant<int, double> either;
    if (witness_pick(2) == 0) either = 1.0;
    USED(&either);
    std::visit([](auto value) { USED(&value); onward(); }, either);
    AFTER_CALL();
}

// ---- called back by the library ----

STEP void step_sorted() {
    int values[] = {3, 1, 2};
    bool is_first = true;
    std::sort(std::begin(values), std::end(values), [&](int one, int other) {
        if (std::exchange(is_first, false)) onward();
        return one < other;
    });
    USED(values);
}

STEP void step_summed() {
    int values[] = {1, 2, 3};
    bool is_first = true;
    int sum = std::accumulate(std::begin(values), std::end(values), 0, [&](int one, int other) {
        if (std::exchange(is_first, false)) onward();
        return one + other;
    });
    USED(&sum);
}

STEP void step_once() {
    std::once_flag once;
    std::call_once(once, [] { onward(); });
    AFTER_CALL();
}

// ---- exceptions: while one is thrown, caught, or passes ----

STEP void thrower(bool is_thrown) {
    if (is_thrown) throw std::runtime_error("on purpose");
    onward();
}

STEP void step_caught() {
    try {
        thrower(true);
    } catch (const std::exception &) {
        onward();
    }
}

struct OnLeaving {
    char room[40];
    __attribute__((noinline)) ~OnLeaving() {
        USED(room);
        onward();
    }
};

STEP void leave_by_exception() {
    OnLeaving leaving;
    USED(&leaving);
    thrower(true);
}

STEP void step_unwound() {
    try {
        leave_by_exception();
    } catch (const std::exception &) {
        USED(&bytes);
    }
}

STEP void step_not_thrown() noexcept {
    try {
        thrower(false);
    } catch (...) {
        USED(&bytes);
    }
}

STEP void step_aligned() {
    alignas(64) char room[64];
    USED(room);
    onward();
    USED(room);
}

constexpr Step steps[] = {
    step_plain,      step_tail,        step_template<8>,    step_template<5000>, step_virtual,
    step_thunk,      step_lambda,      step_member_pointer, step_function,       step_variant,
    step_sorted,     step_summed,      step_once,           step_caught,         step_unwound,
    step_not_thrown, step_aligned,
};

__attribute__((always_inline)) inline Step next_step() {
    if (steps_left == 0) return allocate;
    steps_left--;
    return steps[witness_pick(std::size(steps))];
}

STEP void walk(std::uint64_t seed, unsigned number) {
    witness_random = seed * 1000003 + number;
    witness_pick(2);
    bytes = WITNESS_LEAST_BYTES + 4 * std::size_t{number};
    steps_left = steps_least + witness_pick(steps_most - steps_least + 1);
    onward();
}

void run(std::uint64_t seed, unsigned calls) {
    auto walk_some = [=](bool is_second) {
        for (unsigned number = 0; number < calls; number++)
            if ((number % 4 == 3) == is_second) walk(seed, number);
    };
    walk_some(false);
    std::thread(walk_some, true).join();
}

} // namespace

int main(int argc, char **argv) {
    all_text.assign(WITNESS_LEAST_BYTES + 4 * WITNESS_CALLS, 'x');
    return witness_main(argc, argv, run);
}
