// Threads and their scratch memory.
#pragma once

#include <cstdint>
#include <cstdlib>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace graphseq {
namespace GRAPHSEQ_ISA {

// Calls run(item, thread) for each item. Which thread runs an item is left open: a result that depends on it is a bug.
template <class Run>
inline void for_each(int64_t items, [[maybe_unused]] int64_t threads, const Run& run) {
#ifdef _OPENMP
    if (threads > 1 && items > 1) {
        const int64_t chunk = items / (threads * 8) > 1 ? items / (threads * 8) : 1;
#pragma omp parallel for schedule(dynamic, chunk) num_threads(int(threads))
        for (int64_t item = 0; item < items; ++item) run(item, int64_t(omp_get_thread_num()));
        return;
    }
#endif
    for (int64_t item = 0; item < items; ++item) run(item, int64_t(0));
}

// No more threads than there are items, nor so many that one would be started for less than `least` of the work.
inline int64_t useful_threads(int64_t threads, int64_t items, int64_t work, int64_t least) {
    const int64_t worth = 1 + work / least;
    int64_t useful = threads < items ? threads : items;
    useful = useful < worth ? useful : worth;
    return useful > 1 ? useful : 1;
}

// Uninitialised memory, aligned for any vector.
template <class T>
class Scratch {
public:
    explicit Scratch(int64_t count) {
        const std::size_t bytes = (std::size_t(count > 0 ? count : 1) * sizeof(T) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* data() const { return data_; }
    explicit operator bool() const { return data_ != nullptr; }

private:
    T* data_;
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
