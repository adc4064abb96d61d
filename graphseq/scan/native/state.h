// A state in each lane of a vector: a real number, or a complex one as a vector of its real and one of its imaginary part.
#pragma once

#include "elementary.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// Derivatives are those of real functions, as in PyTorch: the real part is that in the real part, the imaginary part
// that in the imaginary one.
template <class T>
struct RealState {
    using Scalar = T;
    static constexpr int unit = 1, lanes = native_lanes<T>;
    using V = Vector<T, lanes>;
    using Number = V;

    static Number same(const T* from) { return *from - V{}; }
    static V part(const Number& a, int) { return a; }
    static void set_part(Number& a, int, V value) { a = value; }
    static Number conj(Number a) { return a; }
    static Number times(Number a, Number b) { return a * b; }
    // conj(a) b
    static Number conj_times(Number a, Number b) { return a * b; }
    // The real part of it.
    static V inner(Number a, Number b) { return a * b; }
    // 2^(x a)
    static Number power(V x, Number a) { return exp2<T, lanes>(x * a); }
};

template <class T>
struct ComplexState {
    using Scalar = T;
    static constexpr int unit = 2, lanes = native_lanes<T>;
    using V = Vector<T, lanes>;

    struct Number {
        V re, im;

        friend Number operator+(Number a, Number b) { return {a.re + b.re, a.im + b.im}; }
        friend Number operator-(Number a, Number b) { return {a.re - b.re, a.im - b.im}; }
        friend Number operator*(V a, Number b) { return {a * b.re, a * b.im}; }
        Number& operator+=(Number b) { return *this = *this + b; }
        Number& operator*=(T b) { return *this = {re * b, im * b}; }
    };

    static Number same(const T* from) { return {from[0] - V{}, from[1] - V{}}; }
    static V part(const Number& a, int i) { return i ? a.im : a.re; }
    static void set_part(Number& a, int i, V value) { (i ? a.im : a.re) = value; }
    static Number conj(Number a) { return {a.re, -a.im}; }
    static Number times(Number a, Number b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
    static Number conj_times(Number a, Number b) { return {a.re * b.re + a.im * b.im, a.re * b.im - a.im * b.re}; }
    static V inner(Number a, Number b) { return a.re * b.re + a.im * b.im; }
    static Number power(V x, Number a) {
        constexpr double turns_per_bit = 0.11031780007632579670;  // ln 2 / 2π
        Number turn;
        turned<T, lanes>(x * a.im * T(turns_per_bit), &turn.re, &turn.im);
        return exp2<T, lanes>(x * a.re) * turn;
    }
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
