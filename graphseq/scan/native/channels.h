// How rows of channels are cut: into heads whose channels share one coefficient, these into blocks, these into vectors.
#pragma once

#include "field.h"
#include "kernels.h"
#include "parallel.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// Vectors of state that a block holds in registers.
constexpr int max_vectors = 8;
// Elements that are worth waking a thread for.
constexpr int64_t least_elements = 1 << 14;

template <bool flag>
struct Flag {
    static constexpr bool value = flag;
};

template <int lane_count, int vector_count>
struct Width {
    static constexpr int lanes = lane_count, vectors = vector_count;
};

// Calls pass(width, offset) for channels 0 … count - 1 with the widest blocks that fit, down to a single one.
template <int unit, int lanes, int vectors, class Pass>
void cover(int64_t count, int64_t offset, const Pass& pass) {
    for (; count >= lanes * vectors; count -= lanes * vectors, offset += lanes * vectors)
        pass(Width<lanes, vectors>{}, offset);
    if constexpr (vectors > 1)
        cover<unit, lanes, vectors / 2>(count, offset, pass);
    else if constexpr (lanes > unit)
        cover<unit, lanes / 2, 1>(count, offset, pass);
}

template <class F, bool shared, class V>
V decay_of(const typename F::Scalar* decay, int vector) {
    constexpr int lanes = sizeof(V) / sizeof(*decay);
    return shared ? F::template broadcast<V>(decay) : load<V>(decay + vector * lanes);
}

// Where the decay is shared, a block's sum enters grad_decay, so the cut depends on shapes alone. Else blocks are narrow
// enough to serve all threads and no narrower: memory is slow to read in small pieces. `parts` do not depend on one
// another; all of them together have `rows` rows.
struct Cut {
    int64_t heads, width, block, blocks, items, threads;

    template <class F, bool shared>
    static Cut of(int64_t parts, int64_t rows, int64_t heads, int64_t width, int64_t threads) {
        constexpr int64_t native = native_lanes<typename F::Scalar>;
        Cut cut{shared ? heads : 1, (shared ? width : heads) * F::unit, native * max_vectors, 0, 0, 0};
        const auto count = [&] { return parts * cut.heads * ((cut.width + cut.block - 1) / cut.block); };
        while (!shared && cut.block > native && count() < threads) cut.block /= 2;
        cut.blocks = (cut.width + cut.block - 1) / cut.block;
        cut.items = count();
        cut.threads = useful_threads(threads, cut.items, rows * cut.heads * cut.width, least_elements);
        return cut;
    }

    int64_t channels() const { return heads * width; }
};

// One block of channels in one part.
struct CutItem {
    int64_t part, head, block, channel, count;  // `count` scalars from `channel` on, within the row

    CutItem(const Cut& cut, int64_t item) {
        block = item % cut.blocks;
        head = item / cut.blocks % cut.heads;
        part = item / cut.blocks / cut.heads;
        channel = head * cut.width + block * cut.block;
        const int64_t rest = cut.width - block * cut.block;
        count = rest < cut.block ? rest : cut.block;
    }
};

// Where the gradient of a decay goes that channels share. Blocks of one head add to the same place: each has its own
// until all are done, so that the order of the sum depends on shapes alone.
template <class T>
class SharedGradient {
public:
    SharedGradient(T* to, bool shared, int64_t blocks, int64_t count)
        : to_(to), blocks_(blocks), count_(count), partial_(shared && to && blocks > 1),
          partials_(partial_ ? blocks * count : 0) {}

    explicit operator bool() const { return bool(partials_); }
    T* of(int64_t block) const { return partial_ ? partials_.data() + block * count_ : to_; }

    void finish() const {
        if (!partial_) return;
        for (int64_t i = 0; i < count_; ++i) {
            T sum = partials_.data()[i];
            for (int64_t block = 1; block < blocks_; ++block) sum += partials_.data()[block * count_ + i];
            to_[i] = sum;
        }
    }

private:
    T* to_;
    int64_t blocks_, count_;
    bool partial_;
    Scratch<T> partials_;
};

// run(field, shared) for the dtype's field.
template <class Scan, class Run>
bool dispatch(const Scan& scan, const Run& run) {
    const auto with = [&](auto field) {
        return scan.width > 1 ? run(field, Flag<true>{}) : run(field, Flag<false>{});
    };
    switch (scan.dtype) {
        case Dtype::float32: return with(Real<float>{});
        case Dtype::float64: return with(Real<double>{});
        case Dtype::complex64: return with(Complex<float>{});
        case Dtype::complex128: return with(Complex<double>{});
    }
    return false;
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
