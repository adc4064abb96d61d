// Products of real and of complex vectors, the latter as interleaved real and imaginary parts.
#pragma once

#include "vector.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

template <class R>
struct Real {
    using Scalar = R;
    static constexpr int unit = 1;

    template <class V>
    static V times(V a, V b) {
        return a * b;
    }
    // conj(a) b
    template <class V>
    static V conj_times(V a, V b) {
        return a * b;
    }
    template <class V>
    static V broadcast(const R* a) {
        return *a - V{};
    }
};

template <class R>
struct Complex {
    using Scalar = R;
    static constexpr int unit = 2;

    template <class V>
    static V times(V a, V b) {
        return real(a) * b + signed_imaginary(a, R(-1), R(1)) * swapped(b);
    }
    template <class V>
    static V conj_times(V a, V b) {
        return real(a) * b + signed_imaginary(a, R(1), R(-1)) * swapped(b);
    }
    template <class V>
    static V broadcast(const R* a) {
        V value;
        for (int i = 0; i < lanes<V>; ++i) value[i] = a[i % 2];
        return value;
    }

private:
    template <class V>
    static constexpr int lanes = sizeof(V) / sizeof(R);

    template <class V>
    static V real(V a) {
        V value;
        for (int i = 0; i < lanes<V>; ++i) value[i] = a[i / 2 * 2];
        return value;
    }
    template <class V>
    static V signed_imaginary(V a, R even, R odd) {
        V value;
        for (int i = 0; i < lanes<V>; ++i) value[i] = (i % 2 ? odd : even) * a[i / 2 * 2 + 1];
        return value;
    }
    template <class V>
    static V swapped(V a) {
        V value;
        for (int i = 0; i < lanes<V>; ++i) value[i] = a[i ^ 1];
        return value;
    }
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
