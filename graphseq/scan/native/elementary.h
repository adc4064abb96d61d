// exp2, softplus, the logistic function, sine and cosine on vectors. Polynomials are minimax fits (Remez) of the relative error.
#pragma once

#include "vector.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// exp2: (2^f - 1) / f on |f| <= 1/2, so that exp2(0) is exactly 1; relative error 2e-9 and 3e-18.
// atanh: atanh(√q) / √q on 0 <= q <= 1/9; relative error 4e-9 and 5e-17.
// sine: sin(2π √q) / √q, cosine: cos(2π √q), on 0 <= q <= 1/64; relative error 3e-9 and 6e-11, 3e-18 and 4e-20.
template <class T>
struct Constants;

template <>
struct Constants<float> {
    using Bits = int32_t;
    static constexpr int mantissa = 23;
    static constexpr float round = 12582912.0f + 127;  // 1.5 · 2^23, plus the exponent's bias
    static constexpr float lowest = -127, highest = 128;
    static constexpr float exp2[] = {0.693147202855000238f,   0.240226479137565798f,  0.0555033247130962879f,
                                     0.00961843734092780597f, 0.00133988743595111638f, 0.000153533666184812058f};
    static constexpr float atanh[] = {1.00000000396051298f, 0.333331573411001879f, 0.200124551366465504f,
                                      0.13980301446420738f, 0.140891671227244956f};
    static constexpr float nearest = 12582912.0f;  // 1.5 · 2^23
    static constexpr float sine[] = {6.28318528683337873f, -41.3416614549393925f, 81.5923535569120032f,
                                     -75.3935628891071803f};
    static constexpr float cosine[] = {0.999999999943937371f, -19.7392086330360499f, 64.9393107445742314f,
                                       -85.4422979699579956f, 59.2027960093167655f};
};

template <>
struct Constants<double> {
    using Bits = int64_t;
    static constexpr int mantissa = 52;
    static constexpr double round = 6755399441055744.0 + 1023;  // 1.5 · 2^52, plus the exponent's bias
    static constexpr double lowest = -1023, highest = 1024;
    static constexpr double exp2[] = {0.693147180559945326,    0.240226506959101313,   0.0555041086648200832,
                                      0.00961812910759412134,  0.00133335581467746259, 0.000154035304571104917,
                                      0.0000152527334931161927, 1.32154352831002927e-6, 1.01781995784035934e-7,
                                      7.07378311555888531e-9,  4.43477010883327712e-10};
    static constexpr double atanh[] = {0.999999999999999954, 0.333333333333415158, 0.199999999975887194,
                                       0.142857145609342845, 0.111110951937218953, 0.0909143607487072289,
                                       0.0768174363867393724, 0.0679649517730606183, 0.0493634492549111375,
                                       0.0889849154808490128};
    static constexpr double nearest = 6755399441055744.0;  // 1.5 · 2^52
    static constexpr double sine[] = {6.28318530717958646, -41.3417022403996315, 81.6052492759445095,
                                      -76.7058597033150837, 42.0586849020491788, -15.0937975049918851,
                                      3.78072616759566937};
    static constexpr double cosine[] = {1.0,
                                        -19.739208802178717,
                                        64.939394022667923,
                                        -85.4568172065095811,
                                        60.2446413264826689,
                                        -26.4262506860504164,
                                        7.9030813769274804,
                                        -1.69666168336477486};
};

template <class V, class T, int count>
inline V polynomial(V x, const T (&coefficients)[count]) {
    V value = coefficients[count - 1] - V{};
    for (int i = count - 2; i >= 0; --i) value = value * x + coefficients[i];
    return value;
}

// A result below the smallest normal number is 0, one above the largest is infinite; NaN stays.
template <class T, int lanes>
inline Vector<T, lanes> exp2(Vector<T, lanes> x) {
    using K = Constants<T>;
    using V = Vector<T, lanes>;
    x = smaller(K::highest - V{}, larger(K::lowest - V{}, x));
    // Adding `round` leaves the nearest integer, biased, in the last bits: shifted into place they are 2^integer.
    const V rounded = x + K::round;
    const V fraction = x - (rounded - K::round);
    Vector<typename K::Bits, lanes> bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    bits <<= K::mantissa;
    V scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return (fraction * polynomial(fraction, K::exp2) + T(1)) * scale;
}

constexpr double log2_e = 1.4426950408889634074;

// exp(-|x|), from which softplus and the logistic function follow without overflow.
template <class T, int lanes>
inline Vector<T, lanes> exp_minus_abs(Vector<T, lanes> x) {
    return exp2<T, lanes>((x < 0 ? x : -x) * T(log2_e));
}

template <class T, int lanes>
inline Vector<T, lanes> logistic(Vector<T, lanes> x) {
    const Vector<T, lanes> w = exp_minus_abs<T, lanes>(x);
    return (x < 0 ? w : T(1) - Vector<T, lanes>{}) / (T(1) + w);
}

// Linear from here on, as in torch.nn.functional.softplus, so that backends agree.
constexpr int softplus_threshold = 20;

// max(x, 0) + log(1 + w), w = exp(-|x|), with log(1 + w) = 2 atanh(w / (2 + w)).
template <class T, int lanes>
inline Vector<T, lanes> softplus(Vector<T, lanes> x) {
    using V = Vector<T, lanes>;
    const V w = exp_minus_abs<T, lanes>(x);
    const V s = w / (T(2) + w);
    const V value = (x > 0 ? x : V{}) + T(2) * s * polynomial(s * s, Constants<T>::atanh);
    return x > T(softplus_threshold) ? x : value;
}

template <class T, int lanes>
inline Vector<T, lanes> softplus_derivative(Vector<T, lanes> x) {
    return x > T(softplus_threshold) ? T(1) - Vector<T, lanes>{} : logistic<T, lanes>(x);
}

// Cosine and sine of x turns. Of more turns than float has digits for, some angle.
template <class T, int lanes>
inline void turned(Vector<T, lanes> x, Vector<T, lanes>* cosine, Vector<T, lanes>* sine) {
    using K = Constants<T>;
    using V = Vector<T, lanes>;
    // Adding `nearest` leaves the number of quarter turns in the last bits.
    const V rounded = x * T(4) + K::nearest;
    const V rest = x - (rounded - K::nearest) * T(0.25);
    const V angle = smaller(T(0.125) - V{}, larger(T(-0.125) - V{}, rest)), square = angle * angle;
    const V s = angle * polynomial(square, K::sine), c = polynomial(square, K::cosine);
    Vector<typename K::Bits, lanes> quarters;
    std::memcpy(&quarters, &rounded, sizeof quarters);
    const auto odd = (quarters & 1) != 0, left = ((quarters + 1) & 2) != 0, lower = (quarters & 2) != 0;
    const V along = odd ? s : c, across = odd ? c : s;
    *cosine = left ? -along : along;
    *sine = lower ? -across : across;
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
