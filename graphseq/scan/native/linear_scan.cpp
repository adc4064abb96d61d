// First-order linear recurrence over segments: sequential in time, vectors over channels, threads over segments and
// blocks of channels. The state stays in registers, so each array is read or written once.

#include "channels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

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

struct Item : CutItem {
    int64_t segment, first, length;  // first row in scan direction

    Item(const Cut& cut, const Segments& segments, int64_t item) : CutItem(cut, item), segment(part) {
        const int64_t begin = segments.ptr[segment], end = segments.ptr[segment + 1];
        length = end - begin;
        first = segments.reversed ? end - 1 : begin;
    }
};

template <class F, bool shared, class Scan>
Cut cut_of(const Scan& scan) {
    const Segments& segments = scan.segments;
    return Cut::of<F, shared>(segments.count, segments.ptr[segments.count], scan.heads, scan.width, segments.threads);
}

template <class F, bool shared>
bool forward(const LinearScan& scan) {
    using T = typename F::Scalar;
    const Cut cut = cut_of<F, shared>(scan);
    const int64_t channels = cut.channels();
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
    const Cut cut = cut_of<F, shared>(scan);
    const int64_t channels = cut.channels(), tokens = scan.segments.ptr[scan.segments.count];
    const auto decay = static_cast<const T*>(scan.decay), states = static_cast<const T*>(scan.states);
    const auto initial = static_cast<const T*>(scan.initial), grad = static_cast<const T*>(scan.grad);
    const auto grad_source = static_cast<T*>(scan.grad_source), grad_initial = static_cast<T*>(scan.grad_initial);
    const int32_t reversed = scan.segments.reversed;

    const int64_t coefficients = scan.heads * F::unit;
    const SharedGradient<T> grad_decay(static_cast<T*>(scan.grad_decay), shared, cut.blocks, tokens * coefficients);
    if (!grad_decay) return false;

    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const Item item(cut, scan.segments, index);
        if (item.length == 0) {
            if (grad_initial)
                std::memset(grad_initial + item.segment * channels + item.channel, 0, item.count * sizeof(T));
            return;
        }
        T* const of_decay = grad_decay.of(item.block);
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

    grad_decay.finish();
    return true;
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
