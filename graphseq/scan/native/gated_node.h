// What one node of the gated scan does for one head: read the states that arrive on its edges, and write those that
// leave. The same on every topology. A state is a matrix [keys, row], whose rows are whole vectors.
//
//   C_e = sum_p T[p, e] C_p + S_e k v^T,     y = sum_p M_p C_p^T q + D (q · k) v
#pragma once

#include "chunk.h"
#include "parallel.h"
#include "vector.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// Cells, edges or links times numbers of a state for which one more thread is worth starting.
constexpr int64_t gated_least = 1 << 15;

struct GatedSize {
    int64_t keys, values, row;  // row: values, filled up with zeros to whole vectors

    int64_t state() const { return keys * row; }
};

// Row vectors of one node and head. Only what is added up over edges has gradients in more than one place.
template <class T>
struct GatedNode {
    const T *query, *key, *value;
    T direct;
    const T* grad_read;                       // backward only
    T *grad_query, *grad_key, *grad_value;    // null if not asked for
    T* grad_direct;                           // null likewise
    bool accumulate;                          // outputs of the node already hold something
};

// The scalars at a node with `ins` edges in and `outs` out, and the states on those edges. More edges than a step takes
// are met in several: `add` says that what is written for edges holds the sum over others already.
template <class T, int ins, int outs>
struct GatedPorts {
    bool add = false;
    T mark[ins ? ins : 1], source[outs ? outs : 1], transition[ins ? ins : 1][outs ? outs : 1];
    const T* arriving[ins ? ins : 1];
    const T* grad_leaving[outs ? outs : 1];
    T* leaving[outs ? outs : 1];
    T* grad_arriving[ins ? ins : 1];
};

template <class T, int ins, int outs>
struct GatedGrads {
    T mark[ins ? ins : 1], source[outs ? outs : 1], transition[ins ? ins : 1][outs ? outs : 1];
};

template <class T>
struct GatedStep {
    static constexpr int lanes = native_lanes<T>;
    using V = Vector<T, lanes>;

    GatedSize size;
    V *rows_query, *rows_key;  // scratch of keys_padded() vectors each, zero behind the keys

    static int64_t padded(int64_t count) { return ceil_div(count, lanes) * lanes; }

    // Elements behind `count` are zero.
    static V get(const T* from, int64_t at, int64_t count) {
        return at + lanes <= count ? load<V>(from + at) : load_some<V>(from + at, count - at);
    }
    static void put(T* to, int64_t at, int64_t count, V value, bool accumulate) {
        if (at + lanes <= count)
            store(to + at, accumulate ? load<V>(to + at) + value : value);
        else
            store_some(to + at, accumulate ? load_some<V>(to + at, count - at) + value : value, count - at);
    }
    static T dot(const T* a, const T* b, int64_t count) {
        V sum{};
        for (int64_t i = 0; i < count; i += lanes) sum += get(a, i, count) * get(b, i, count);
        T folded;
        fold<1>(sum, &folded);
        return folded;
    }

    // States that leave may take the place of those that arrive. Nothing is read out if `read` is null.
    template <int ins, int outs>
    void forward(const GatedNode<T>& node, const GatedPorts<T, ins, outs>& ports, T* read) const {
        const GatedPorts<T, ins, outs> p = ports;
        const T own = read && node.direct != T(0) ? node.direct * dot(node.query, node.key, size.keys) : T(0);
        for (int64_t at = 0; at < size.values; at += lanes) {
            const V value = get(node.value, at, size.values);
            V answer = own * value;
            for (int64_t i = 0; i < size.keys; ++i) {
                const int64_t entry = i * size.row + at;
                const V product = node.key[i] * value;
                V state[ins ? ins : 1], asked{};
                for (int a = 0; a < ins; ++a) {
                    state[a] = load<V>(p.arriving[a] + entry);
                    asked += p.mark[a] * state[a];
                }
                answer += node.query[i] * asked;
                for (int b = 0; b < outs; ++b) {
                    V sum = p.add ? load<V>(p.leaving[b] + entry) : p.source[b] * product;
                    for (int a = 0; a < ins; ++a) sum += p.transition[a][b] * state[a];
                    store(p.leaving[b] + entry, sum);
                }
            }
            if (read) put(read, at, size.values, answer, node.accumulate);
        }
    }

    // With G_e the gradient of the state on e, which is complete once the node that e enters is done:
    //   G_p = M_p q dy^T + sum_e T[p, e] G_e;   dT[p, e] = <C_p, G_e>,  dM_p = q^T C_p dy,  dS_e = k^T G_e v;
    //   dq = sum_p M_p C_p dy,  dk = sum_e S_e G_e v,  dv = sum_e S_e G_e^T k; and those of D (q · k) v.
    // The gradients of states that arrive may take the place of those of states that leave.
    template <int ins, int outs, bool vectors>
    void backward(const GatedNode<T>& node, const GatedPorts<T, ins, outs>& ports, GatedGrads<T, ins, outs>& grads) const {
        const GatedPorts<T, ins, outs> p = ports;
        const T met = dot(node.query, node.key, size.keys), own = node.direct * met;
        const T back = dot(node.value, node.grad_read, size.values), of_own = node.direct * back;
        if (node.grad_direct) *node.grad_direct = met * back;
        if (vectors)
            for (int64_t i = 0; i < size.keys; ++i) rows_query[i] = rows_key[i] = V{};
        V of_mark[ins ? ins : 1] = {}, of_source[outs ? outs : 1] = {}, of_transition[ins ? ins : 1][outs ? outs : 1] = {};
        for (int64_t at = 0; at < size.values; at += lanes) {
            const V value = get(node.value, at, size.values), given = get(node.grad_read, at, size.values);
            V of_value = own * given;
            for (int64_t i = 0; i < size.keys; ++i) {
                const int64_t entry = i * size.row + at;
                const V product = node.key[i] * value, wanted = node.query[i] * given;
                V state[ins ? ins : 1], grad[outs ? outs : 1], asked{}, sent{};
                for (int b = 0; b < outs; ++b) {
                    grad[b] = load<V>(p.grad_leaving[b] + entry);
                    of_source[b] += product * grad[b];
                    if (vectors) sent += p.source[b] * grad[b];
                }
                for (int a = 0; a < ins; ++a) {
                    state[a] = load<V>(p.arriving[a] + entry);
                    of_mark[a] += wanted * state[a];
                    if (vectors) asked += p.mark[a] * state[a];
                    V sum = p.add ? load<V>(p.grad_arriving[a] + entry) : p.mark[a] * wanted;
                    for (int b = 0; b < outs; ++b) {
                        of_transition[a][b] += state[a] * grad[b];
                        sum += p.transition[a][b] * grad[b];
                    }
                    store(p.grad_arriving[a] + entry, sum);
                }
                if (vectors) {
                    of_value += node.key[i] * sent;
                    rows_query[i] += asked * given;
                    rows_key[i] += sent * value;
                }
            }
            if (vectors) put(node.grad_value, at, size.values, of_value, node.accumulate);
        }
        sums<ins, outs>(of_mark, of_source, of_transition, grads);
        if (!vectors) return;
        for (int64_t i = 0; i < size.keys; i += lanes) {
            const V query = get(node.query, i, size.keys), key = get(node.key, i, size.keys);
            put(node.grad_query, i, size.keys, sum_each<lanes>(rows_query + i) + of_own * key, node.accumulate);
            put(node.grad_key, i, size.keys, sum_each<lanes>(rows_key + i) + of_own * query, node.accumulate);
        }
        for (int64_t i = size.keys; i < padded(size.keys); ++i) rows_query[i] = rows_key[i] = V{};
    }

private:
    template <int ins, int outs, class Transition>
    static void sums(const V* mark, const V* source, const Transition& transition, GatedGrads<T, ins, outs>& grads) {
        // All at once, as the lanes of a vector or two.
        constexpr int count = ins + outs + ins * outs;
        V all[(count / lanes + 1) * lanes] = {};
        int number = 0;
        for (int a = 0; a < ins; ++a) all[number++] = mark[a];
        for (int b = 0; b < outs; ++b) all[number++] = source[b];
        for (int a = 0; a < ins; ++a)
            for (int b = 0; b < outs; ++b) all[number++] = transition[a][b];
        T folded[(count / lanes + 1) * lanes];
        for (int i = 0; i < count; i += lanes) store(folded + i, sum_each<lanes>(all + i));
        number = 0;
        for (int a = 0; a < ins; ++a) grads.mark[a] = folded[number++];
        for (int b = 0; b < outs; ++b) grads.source[b] = folded[number++];
        for (int a = 0; a < ins; ++a)
            for (int b = 0; b < outs; ++b) grads.transition[a][b] = folded[number++];
    }
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
