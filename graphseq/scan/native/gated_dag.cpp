// The gated scan on directed acyclic graphs: nodes in topological order, with the states of all edges of a component
// in scratch memory, one head at a time. Backward repeats the forward walk. Threads over components and heads.

#include "gated_node.h"
#include "kernels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

// Edges that a step takes at once; nodes with more are met in several steps.
constexpr int tile = 2;

template <int ins_, int outs_>
struct Tile {
    static constexpr int ins = ins_, outs = outs_;
};

template <class Run>
void with_tile(int64_t ins, int64_t outs, const Run& run) {
    const auto with = [&](auto a) {
        constexpr int in = decltype(a)::ins;
        if (outs <= 0) return run(Tile<in, 0>{});
        if (outs == 1) return run(Tile<in, 1>{});
        return run(Tile<in, 2>{});
    };
    if (ins <= 0) return with(Tile<0, 0>{});
    if (ins == 1) return with(Tile<1, 0>{});
    return with(Tile<2, 0>{});
}

template <class T>
class Walk {
    using Step = GatedStep<T>;
    using V = typename Step::V;

public:
    explicit Walk(const GatedDag& in)
        : in_(in), nodes_(in.nodes), size_{in.key_size, in.value_size, Step::padded(in.value_size)}, states_(size_.state()) {}

    bool forward(const GatedDagScan& scan) const {
        const int64_t threads = this->threads(), per_thread = largest() * states_;
        const Scratch<T> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(items(), threads, [&](int64_t item, int64_t thread) {
            const Part part = of(item, scratch.data() + thread * per_thread);
            const auto read = static_cast<T*>(scan.read);
            in_order(part, in_.nodes.reversed, [&](int64_t place) {
                advance(part, place, read + (nodes_.node[place] * in_.heads + part.head) * in_.value_size);
            });
        });
        return true;
    }

    bool backward(const GatedDagScanBackward& scan) const {
        const int64_t rows = 2 * Step::padded(in_.key_size), states = largest() * states_;
        const int64_t threads = this->threads(), per_thread = 2 * states + rows * Step::lanes;
        const Scratch<T> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(items(), threads, [&](int64_t item, int64_t thread) {
            T* const memory = scratch.data() + thread * per_thread;
            V* const row_sums = reinterpret_cast<V*>(memory);
            for (int64_t i = 0; i < rows; ++i) row_sums[i] = V{};
            const Step step{size_, row_sums, row_sums + rows / 2};
            Part part = of(item, memory + rows * Step::lanes);
            part.grads = part.states + states;
            in_order(part, in_.nodes.reversed, [&](int64_t place) { advance(part, place, nullptr); });
            in_order(part, !in_.nodes.reversed, [&](int64_t place) {
                if (scan.grad_query)
                    retreat<true>(scan, part, step, place);
                else
                    retreat<false>(scan, part, step, place);
            });
        });
        return true;
    }

private:
    const GatedDag& in_;
    const DagNodes& nodes_;
    GatedSize size_;
    int64_t states_;

    // A component and a head, with the states of the edges from `first_slot` on.
    struct Part {
        int64_t begin, end, first_slot, head;
        T *states, *grads;
    };

    int64_t items() const { return nodes_.parts * in_.heads; }
    int64_t threads() const {
        return useful_threads(in_.threads, items(), (nodes_.links + nodes_.edges) * in_.heads * states_, gated_least);
    }
    int64_t largest() const {
        int64_t most = 0;
        for (int64_t part = 0; part < nodes_.parts; ++part) {
            const int64_t edges = nodes_.out_begin[nodes_.part[part + 1]] - nodes_.out_begin[nodes_.part[part]];
            most = edges > most ? edges : most;
        }
        return most;
    }
    Part of(int64_t item, T* states) const {
        const int64_t part = item / in_.heads, begin = nodes_.part[part], end = nodes_.part[part + 1];
        return {begin, end, nodes_.out_begin[begin], item % in_.heads, states, states};
    }

    template <class Visit>
    static void in_order(const Part& part, bool backwards, const Visit& visit) {
        if (backwards)
            for (int64_t place = part.end - 1; place >= part.begin; --place) visit(place);
        else
            for (int64_t place = part.begin; place < part.end; ++place) visit(place);
    }

    // The edges at a node in scan direction, by their slots; links lie row by row for each edge that enters the node in
    // the direction of the edges.
    struct Edges {
        int64_t ins, outs;
        const int64_t *in_slot, *out_slot;  // null: slots are consecutive from first_in or first_out
        int64_t first_in, first_out;
        const int64_t* link;
        int64_t link_in, link_out;

        int64_t in(int64_t a) const { return in_slot ? in_slot[a] : first_in + a; }
        int64_t out(int64_t b) const { return out_slot ? out_slot[b] : first_out + b; }
        int64_t through(int64_t a, int64_t b) const { return link[a * link_in + b * link_out]; }
    };
    Edges edges(int64_t place) const {
        const int64_t in = nodes_.in_begin[place], out = nodes_.out_begin[place];
        const int64_t ins = nodes_.in_begin[place + 1] - in, outs = nodes_.out_begin[place + 1] - out;
        const int64_t* const link = nodes_.link + nodes_.link_begin[place];
        if (nodes_.reversed) return {outs, ins, nullptr, nodes_.in_slot + in, out, 0, link, 1, outs};
        return {ins, outs, nodes_.in_slot + in, nullptr, 0, out, link, outs, 1};
    }

    // run(ports, first in, first out, tile) for each tile of the edges at a node; gates count for one tile of theirs.
    template <class Run>
    void tiles(const Part& part, const Edges& at, bool over_ins, const Run& run) const {
        for (int64_t a = 0; a == 0 || a < at.ins; a += tile)
            for (int64_t b = 0; b == 0 || b < at.outs; b += tile)
                with_tile(at.ins - a, at.outs - b, [&](auto size) {
                    constexpr int ins = decltype(size)::ins, outs = decltype(size)::outs;
                    GatedPorts<T, ins, outs> p;
                    p.add = over_ins ? a > 0 : b > 0;
                    for (int i = 0; i < ins; ++i) {
                        const int64_t slot = at.in(a + i), place = (slot - part.first_slot) * states_;
                        p.mark[i] = b ? T(0) : gate(in_.mark, in_.mark_strides, nodes_.out_edge[slot], part.head);
                        p.arriving[i] = part.states + place;
                        p.grad_arriving[i] = part.grads + place;
                        for (int o = 0; o < outs; ++o)
                            p.transition[i][o] =
                                gate(in_.transition, in_.transition_strides, at.through(a + i, b + o), part.head);
                    }
                    for (int o = 0; o < outs; ++o) {
                        const int64_t slot = at.out(b + o), place = (slot - part.first_slot) * states_;
                        p.source[o] = a ? T(0) : gate(in_.source, in_.source_strides, nodes_.out_edge[slot], part.head);
                        p.leaving[o] = part.states + place;
                        p.grad_leaving[o] = part.grads + place;
                    }
                    run(p, a, b, size);
                });
    }
    static T gate(const void* array, const int64_t* strides, int64_t number, int64_t head) {
        return static_cast<const T*>(array)[number * strides[0] + head * strides[1]];
    }

    GatedNode<T> node(int64_t place, int64_t head) const {
        const int64_t n = nodes_.node[place];
        const auto vector = [&](const void* array, const int64_t* strides) {
            return static_cast<const T*>(array) + n * strides[0] + head * strides[1];
        };
        GatedNode<T> found{};
        found.query = vector(in_.query, in_.query_strides);
        found.key = vector(in_.key, in_.key_strides);
        found.value = vector(in_.value, in_.value_strides);
        found.direct = *vector(in_.direct, in_.direct_strides);
        return found;
    }

    void advance(const Part& part, int64_t place, T* read) const {
        const Step step{size_, nullptr, nullptr};
        GatedNode<T> n = node(place, part.head);
        tiles(part, edges(place), true, [&](const auto& p, int64_t, int64_t b, auto) {
            step.forward(n, p, b ? nullptr : read);
            n.direct = b ? n.direct : T(0);
            n.accumulate = true;
        });
    }

    template <bool vectors>
    void retreat(const GatedDagScanBackward& scan, const Part& part, const Step& step, int64_t place) const {
        const Edges at = edges(place);
        const int64_t head = part.head, row = nodes_.node[place] * in_.heads + head;
        GatedNode<T> n = node(place, head);
        n.grad_read = static_cast<const T*>(scan.grad_read) + row * in_.value_size;
        n.grad_direct = static_cast<T*>(scan.grad_direct) + row;
        if (vectors) {
            n.grad_query = static_cast<T*>(scan.grad_query) + row * in_.key_size;
            n.grad_key = static_cast<T*>(scan.grad_key) + row * in_.key_size;
            n.grad_value = static_cast<T*>(scan.grad_value) + row * in_.value_size;
        }
        const auto put = [&](void* array, int64_t number, T value) { static_cast<T*>(array)[number * in_.heads + head] = value; };
        tiles(part, at, false, [&](const auto& p, int64_t a, int64_t b, auto size) {
            constexpr int ins = decltype(size)::ins, outs = decltype(size)::outs;
            GatedGrads<T, ins, outs> grads;
            step.template backward<ins, outs, vectors>(n, p, grads);
            n.direct = T(0);
            n.grad_direct = nullptr;
            n.accumulate = true;
            for (int i = 0; i < ins; ++i) put(scan.grad_mark, nodes_.out_edge[at.in(a + i)], grads.mark[i]);
            for (int o = 0; o < outs; ++o) put(scan.grad_source, nodes_.out_edge[at.out(b + o)], grads.source[o]);
            for (int i = 0; i < ins; ++i)
                for (int o = 0; o < outs; ++o) put(scan.grad_transition, at.through(a + i, b + o), grads.transition[i][o]);
        });
    }
};

}  // namespace

bool gated_dag_scan(const GatedDagScan& scan) {
    return scan.in.dtype == Dtype::float32 ? Walk<float>(scan.in).forward(scan) : Walk<double>(scan.in).forward(scan);
}

bool gated_dag_scan_backward(const GatedDagScanBackward& scan) {
    return scan.in.dtype == Dtype::float32 ? Walk<float>(scan.in).backward(scan) : Walk<double>(scan.in).backward(scan);
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
