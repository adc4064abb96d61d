// First-order linear recurrence over segments: sequential in time, vectors over channels, threads over segments and
// blocks of channels. The state stays in registers, so each array is read or written once.

#include "field.h"
#include "kernels.h"
#include "parallel.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

// Vectors of state that a block holds in registers.
constexpr int max_vectors = 8;
// Elements that are worth waking a thread for.
constexpr int64_t least_elements = 1 << 14;

// Rows of one segment, one block wide; `step` elements lead from a row to the one that it feeds.
template <class T>
struct Rows {
    T* row;
    int64_t step;
};

template <class T>
Rows<T> rows_of(T* array, int64_t stride, int64_t first, int32_t reversed) {
    return {array ? array + first * stride : nullptr, reversed ? -stride : stride};
}

template <class F, bool shared, class V>
V decay_of(const typename F::Scalar* decay, int vector) {
    constexpr int lanes = sizeof(V) / sizeof(*decay);
    return shared ? F::template broadcast<V>(decay) : load<V>(decay + vector * lanes);
}

template <class F, bool shared, int lanes, int vectors>
struct Forward {
    using T = typename F::Scalar;
    using V = Vector<T, lanes>;

    Rows<const T> decay, source;
    const T* initial;
    Rows<T> states;
    int64_t length;

    void run() {
        V h[vectors];
        int64_t t = 0;
        if (initial) {
            for (int k = 0; k < vectors; ++k) h[k] = load<V>(initial + k * lanes);
        } else {
            // The decay at the start has no state to act on: it is never read.
            for (int k = 0; k < vectors; ++k) store(states.row + k * lanes, h[k] = load<V>(source.row + k * lanes));
            advance();
            t = 1;
        }
        for (; t < length; ++t) {
            for (int k = 0; k < vectors; ++k) {
                h[k] = F::times(decay_of<F, shared, V>(decay.row, k), h[k]) + load<V>(source.row + k * lanes);
                store(states.row + k * lanes, h[k]);
            }
            advance();
        }
    }

    void advance() {
        decay.row += decay.step;
        source.row += source.step;
        states.row += states.step;
    }
};

// One pass against the scan: grad_source[t] = grad[t] + conj(decay[t + 1]) grad_source[t + 1] stays in registers.
template <class F, bool shared, int lanes, int vectors>
struct Backward {
    using T = typename F::Scalar;
    using V = Vector<T, lanes>;

    Rows<const T> decay, states;
    const T* initial;
    Rows<const T> grad;
    Rows<T> grad_decay, grad_source;
    T* grad_initial;
    int64_t length;
    bool accumulate;  // grad_decay already holds the sum over other channels of the head

    void run() {
        V arriving[vectors] = {};
        for (int64_t t = length - 1; t >= 0; --t) {
            const T* before = t > 0 ? states.row + (t - 1) * states.step : initial;
            V sum{};
            for (int k = 0; k < vectors; ++k) {
                const V g = load<V>(grad.row + t * grad.step + k * lanes) + arriving[k];
                store(grad_source.row + t * grad_source.step + k * lanes, g);
                V of_decay{};
                if (before) {
                    of_decay = F::conj_times(load<V>(before + k * lanes), g);
                    arriving[k] = F::conj_times(decay_of<F, shared, V>(decay.row + t * decay.step, k), g);
                }
                if (shared)
                    sum += of_decay;
                else if (grad_decay.row)
                    store(grad_decay.row + t * grad_decay.step + k * lanes, of_decay);
            }
            if (shared && grad_decay.row) {
                T folded[F::unit];
                fold<F::unit>(sum, folded);
                T* to = grad_decay.row + t * grad_decay.step;
                for (int i = 0; i < F::unit; ++i) to[i] = accumulate ? to[i] + folded[i] : folded[i];
            }
        }
        if (grad_initial)
            for (int k = 0; k < vectors; ++k) store(grad_initial + k * lanes, arriving[k]);
    }
};

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

// Channels are cut into heads and these into blocks. Where the decay is shared, a block's sum enters grad_decay, so
// the cut depends on shapes alone; else narrower blocks may serve more threads.
struct Cut {
    int64_t heads, width, block, blocks, items, threads;

    template <class F, bool shared>
    static Cut of(const Segments& segments, int64_t heads, int64_t width) {
        constexpr int64_t native = native_lanes<typename F::Scalar>;
        Cut cut{shared ? heads : 1, (shared ? width : heads) * F::unit, native * max_vectors, 0, 0, 0};
        const auto count = [&] { return segments.count * cut.heads * ((cut.width + cut.block - 1) / cut.block); };
        while (!shared && cut.block > native && count() < 2 * segments.threads) cut.block /= 2;
        cut.blocks = (cut.width + cut.block - 1) / cut.block;
        cut.items = count();
        const int64_t elements = segments.ptr[segments.count] * cut.heads * cut.width;
        cut.threads = useful_threads(segments.threads, cut.items, elements, least_elements);
        return cut;
    }
};

struct Item {
    int64_t segment, first, last, length;  // first and last row in scan direction
    int64_t head, block, channel, count;   // `count` scalars from `channel` on, within the row

    Item(const Cut& cut, const Segments& segments, int64_t item) {
        block = item % cut.blocks;
        head = item / cut.blocks % cut.heads;
        segment = item / cut.blocks / cut.heads;
        const int64_t begin = segments.ptr[segment], end = segments.ptr[segment + 1];
        length = end - begin;
        first = segments.reversed ? end - 1 : begin;
        channel = head * cut.width + block * cut.block;
        const int64_t rest = cut.width - block * cut.block;
        count = rest < cut.block ? rest : cut.block;
    }
};

template <class F, bool shared>
bool forward(const LinearScan& scan) {
    using T = typename F::Scalar;
    const Cut cut = Cut::of<F, shared>(scan.segments, scan.heads, scan.width);
    const int64_t channels = cut.heads * cut.width;
    const auto decay = static_cast<const T*>(scan.decay), source = static_cast<const T*>(scan.source);
    const auto initial = static_cast<const T*>(scan.initial);
    const auto states = static_cast<T*>(scan.states);
    const int32_t reversed = scan.segments.reversed;
    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const Item item(cut, scan.segments, index);
        if (item.length == 0) return;
        const auto pass = [&](auto width, int64_t offset) {
            const int64_t c = item.channel + offset, a = shared ? item.head * F::unit : c;
            Forward<F, shared, width.lanes, width.vectors>{
                rows_of(decay + a, scan.decay_stride * F::unit, item.first, reversed),
                rows_of(source + c, scan.source_stride * F::unit, item.first, reversed),
                initial ? initial + item.segment * channels + c : nullptr,
                rows_of(states + c, channels, item.first, reversed),
                item.length,
            }
                .run();
        };
        cover<F::unit, native_lanes<T>, max_vectors>(item.count, 0, pass);
    });
    return true;
}

template <class F, bool shared>
bool backward(const LinearScanBackward& scan) {
    using T = typename F::Scalar;
    const Cut cut = Cut::of<F, shared>(scan.segments, scan.heads, scan.width);
    const int64_t channels = cut.heads * cut.width, tokens = scan.segments.ptr[scan.segments.count];
    const auto decay = static_cast<const T*>(scan.decay), states = static_cast<const T*>(scan.states);
    const auto initial = static_cast<const T*>(scan.initial), grad = static_cast<const T*>(scan.grad);
    const auto grad_source = static_cast<T*>(scan.grad_source), grad_initial = static_cast<T*>(scan.grad_initial);
    const int32_t reversed = scan.segments.reversed;

    // Blocks of one head add to the same grad_decay: each has its own until all are done.
    const auto grad_decay = static_cast<T*>(scan.grad_decay);
    const int64_t coefficients = scan.heads * F::unit;
    const bool partial = shared && grad_decay && cut.blocks > 1;
    const Scratch<T> partials(partial ? cut.blocks * tokens * coefficients : 0);
    if (!partials) return false;

    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const Item item(cut, scan.segments, index);
        if (item.length == 0) {
            if (grad_initial)
                std::memset(grad_initial + item.segment * channels + item.channel, 0, item.count * sizeof(T));
            return;
        }
        T* const of_decay = partial ? partials.data() + item.block * tokens * coefficients : grad_decay;
        const auto pass = [&](auto width, int64_t offset) {
            const int64_t c = item.channel + offset, a = shared ? item.head * F::unit : c;
            Backward<F, shared, width.lanes, width.vectors>{
                rows_of(decay + a, scan.decay_stride * F::unit, item.first, reversed),
                rows_of(states + c, channels, item.first, reversed),
                initial ? initial + item.segment * channels + c : nullptr,
                rows_of(grad + c, scan.grad_stride * F::unit, item.first, reversed),
                rows_of(of_decay ? of_decay + a : nullptr, coefficients, item.first, reversed),
                rows_of(grad_source + c, channels, item.first, reversed),
                grad_initial ? grad_initial + item.segment * channels + c : nullptr,
                item.length,
                offset > 0,
            }
                .run();
        };
        cover<F::unit, native_lanes<T>, max_vectors>(item.count, 0, pass);
    });

    if (partial)
        for (int64_t i = 0; i < tokens * coefficients; ++i) {
            T sum = partials.data()[i];
            for (int64_t block = 1; block < cut.blocks; ++block) sum += partials.data()[block * tokens * coefficients + i];
            grad_decay[i] = sum;
        }
    return true;
}

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

}  // namespace

bool linear_scan(const LinearScan& scan) {
    return dispatch(scan, [&](auto field, auto shared) { return forward<decltype(field), shared.value>(scan); });
}

bool linear_scan_backward(const LinearScanBackward& scan) {
    return dispatch(scan, [&](auto field, auto shared) { return backward<decltype(field), shared.value>(scan); });
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
