// Vectors of any power of two of lanes, as the compiler's own extension: it splits those wider than the machine's.
// Included by sources that are compiled for several instruction sets, so everything lies in the namespace of one, and
// the standard library's inline functions are not used: the linker would keep only one of their copies.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace graphseq {
namespace GRAPHSEQ_ISA {

template <class T, int lanes>
struct VectorOf {
    typedef T type __attribute__((vector_size(lanes * sizeof(T))));
};

template <class T, int lanes>
using Vector = typename VectorOf<T, lanes>::type;

template <class T>
constexpr int native_lanes = GRAPHSEQ_VECTOR_BYTES / sizeof(T);

template <class V, class T>
inline V load(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class V, class T>
inline void store(T* to, V value) {
    std::memcpy(to, &value, sizeof value);
}

// What only brings memory into the cache has no effect that the compiler knows: a call of it would be dropped.
#define GRAPHSEQ_FETCH __attribute__((always_inline))

template <class T>
GRAPHSEQ_FETCH inline void fetch(const T* from, int64_t count) {
    constexpr int64_t line = 64 / sizeof(T);
    for (int64_t i = 0; i < count; i += line) __builtin_prefetch(from + i);
}

// The first `count` lanes; the others are zero.
template <class V, class T>
inline V load_some(const T* from, int64_t count) {
    T lanes[sizeof(V) / sizeof(T)] = {};
    for (int64_t lane = 0; lane < count; ++lane) lanes[lane] = from[lane];
    return load<V>(lanes);
}

template <class V, class T>
inline void store_some(T* to, V value, int64_t count) {
    T lanes[sizeof(V) / sizeof(T)];
    store(lanes, value);
    for (int64_t lane = 0; lane < count; ++lane) to[lane] = lanes[lane];
}

// b where a is not a number, and the other way round b where b is not: a bound belongs first.
template <class V>
inline V larger(V a, V b) {
    return a > b ? a : b;
}
template <class V>
inline V smaller(V a, V b) {
    return a < b ? a : b;
}
// Those are single instructions here, which the compiler does not see.
#define GRAPHSEQ_EXTREMES(T, lanes, prefix, suffix)                                                                  \
    inline Vector<T, lanes> larger(Vector<T, lanes> a, Vector<T, lanes> b) { return prefix##_max_##suffix(a, b); }   \
    inline Vector<T, lanes> smaller(Vector<T, lanes> a, Vector<T, lanes> b) { return prefix##_min_##suffix(a, b); }
#if defined(__AVX512F__)
GRAPHSEQ_EXTREMES(float, 16, _mm512, ps)
GRAPHSEQ_EXTREMES(double, 8, _mm512, pd)
#elif defined(__AVX__)
GRAPHSEQ_EXTREMES(float, 8, _mm256, ps)
GRAPHSEQ_EXTREMES(double, 4, _mm256, pd)
#elif defined(__SSE2__)
GRAPHSEQ_EXTREMES(float, 4, _mm, ps)
GRAPHSEQ_EXTREMES(double, 2, _mm, pd)
#endif
#undef GRAPHSEQ_EXTREMES

// The sum of lanes i, i + unit, i + 2 unit, … for each i < unit, as a tree.
template <int unit, class V, class T>
inline void fold(V value, T* to) {
    constexpr int count = sizeof(V) / sizeof(T);
    T lanes[count];
    store(lanes, value);
    for (int half = count / 2; half >= unit; half /= 2)
        for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    for (int lane = 0; lane < unit; ++lane) to[lane] = lanes[lane];
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define GRAPHSEQ_SHUFFLE
#endif
#endif

// Each lane of a and its partner, `distance` lanes away, added up, in the lanes where that bit is clear; of b where set.
template <int distance, class V, int... lane>
inline V add_partners(V a, V b, std::integer_sequence<int, lane...>) {
    constexpr int count = sizeof...(lane);
#ifdef GRAPHSEQ_SHUFFLE
    return __builtin_shufflevector(a, b, (lane & distance ? count + lane : lane)...) +
           __builtin_shufflevector(a, b, (lane & distance ? count + (lane ^ distance) : lane ^ distance)...);
#else
    return V{(lane & distance ? b[lane] + b[lane ^ distance] : a[lane] + a[lane ^ distance])...};
#endif
}
#undef GRAPHSEQ_SHUFFLE

// Lane i is the sum of the lanes of rows[i]; the rows, as many as a vector has lanes, are overwritten.
template <int count, class V>
inline V sum_each(V* rows) {
    constexpr int half = count / 2, lanes = sizeof(V) / sizeof(rows[0][0]);
    for (int row = 0; row < half; ++row)
        rows[row] = add_partners<half>(rows[row], rows[row + half], std::make_integer_sequence<int, lanes>{});
    if constexpr (half > 1)
        return sum_each<half>(rows);
    else
        return rows[0];
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
