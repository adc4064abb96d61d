// First-order linear recurrence on a directed acyclic graph: states in topological order, vectors over channels, threads
// over parts of the graph that no link joins and over blocks of channels.
//
// Links are grouped by their receiver. Along them a state gathers what enters it; against them it scatters what it has
// to its senders, each of which is complete once all its receivers are done. One grouping serves both directions, and
// so both passes, as the gradient of a scan is the scan against its direction.

#include "channels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

// How far ahead of its use a link is brought into the cache.
constexpr int64_t links_ahead = 8;

template <class F, bool shared, bool backward, int lanes, int vectors>
struct Sweep {
    using T = typename F::Scalar;
    using V = Vector<T, lanes>;

    const DagLinks& links;
    const T* decay;
    const T* source;
    const T* seen;  // the states of the forward pass
    T* states;
    T* grad_decay;
    int64_t decay_stride, source_stride, channels, coefficients;
    int64_t begin, end;  // places in the topological order
    bool accumulate;     // grad_decay already holds the sum over other channels of the head

    void run() {
        if (links.reversed) {
            for (int64_t place = begin; place < end; ++place) {
                const int64_t state = links.order[place];
                for (int k = 0; k < vectors; ++k) store(at(states, state, k), load<V>(from(state) + k * lanes));
            }
            for (int64_t place = end - 1; place >= begin; --place) scatter(place);
        } else {
            for (int64_t place = begin; place < end; ++place) gather(place);
        }
    }

    // The rows of a link and of its sender lie wherever their numbers say, which the processor does not foresee.
    GRAPHSEQ_FETCH void fetch_link(int64_t entry) const {
        if (entry < 0 || entry >= links.count) return;
        const int64_t link = links.link[entry], sender = links.sender[entry];
        fetch(decay + link * decay_stride, shared ? 1 : vectors * lanes);
        fetch(at(states, sender, 0), vectors * lanes);
        if (backward && links.reversed) fetch(at(seen, sender, 0), vectors * lanes);
        if (backward && !shared && grad_decay) fetch(grad_decay + link * coefficients, vectors * lanes);
    }

    void gather(int64_t place) {
        const int64_t receiver = links.order[place];
        V h[vectors];
        for (int k = 0; k < vectors; ++k) h[k] = load<V>(from(receiver) + k * lanes);
        for (int64_t entry = links.begin[place]; entry < links.begin[place + 1]; ++entry) {
            const int64_t link = links.link[entry], sender = links.sender[entry];
            fetch_link(entry + links_ahead);
            V sum{};
            for (int k = 0; k < vectors; ++k) {
                const V arriving = load<V>(at(states, sender, k));
                h[k] += times(decay_at(link, k), arriving);
                if (backward) product(link, k, F::conj_times(load<V>(at(seen, receiver, k)), arriving), sum);
            }
            if (backward) put_sum(link, sum);
        }
        for (int k = 0; k < vectors; ++k) store(at(states, receiver, k), h[k]);
    }

    void scatter(int64_t place) {
        const int64_t receiver = links.order[place];
        V h[vectors];
        for (int k = 0; k < vectors; ++k) h[k] = load<V>(at(states, receiver, k));
        for (int64_t entry = links.begin[place]; entry < links.begin[place + 1]; ++entry) {
            const int64_t link = links.link[entry], sender = links.sender[entry];
            fetch_link(entry - links_ahead);
            V sum{};
            for (int k = 0; k < vectors; ++k) {
                T* const to = at(states, sender, k);
                store(to, load<V>(to) + times(decay_at(link, k), h[k]));
                if (backward) product(link, k, F::conj_times(load<V>(at(seen, sender, k)), h[k]), sum);
            }
            if (backward) put_sum(link, sum);
        }
    }

    static V times(V a, V b) { return backward ? F::conj_times(a, b) : F::times(a, b); }
    V decay_at(int64_t link, int k) const { return decay_of<F, shared, V>(decay + link * decay_stride, k); }
    const T* from(int64_t state) const { return source + state * source_stride; }
    template <class U>
    U* at(U* array, int64_t state, int k) const {
        return array + state * channels + k * lanes;
    }

    void product(int64_t link, int k, V value, V& sum) const {
        if (shared)
            sum += value;
        else if (grad_decay)
            store(grad_decay + link * coefficients + k * lanes, value);
    }
    void put_sum(int64_t link, V sum) const {
        if (!shared || !grad_decay) return;
        T folded[F::unit];
        fold<F::unit>(sum, folded);
        T* const to = grad_decay + link * coefficients;
        for (int i = 0; i < F::unit; ++i) to[i] = accumulate ? to[i] + folded[i] : folded[i];
    }
};

template <class F, bool shared, bool backward>
bool scan_links(const DagScan& scan) {
    using T = typename F::Scalar;
    const DagLinks& links = scan.links;
    const Cut cut = Cut::of<F, shared>(links.parts, links.states + links.count, scan.heads, scan.width, scan.threads);
    const auto decay = static_cast<const T*>(scan.decay), source = static_cast<const T*>(scan.source);
    const auto seen = static_cast<const T*>(scan.seen);
    const auto states = static_cast<T*>(scan.states);
    const int64_t coefficients = scan.heads * F::unit;
    const SharedGradient<T> grad_decay(
        static_cast<T*>(scan.grad_decay), shared, cut.blocks, links.count * coefficients);
    if (!grad_decay) return false;

    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const CutItem item(cut, index);
        T* const of_decay = grad_decay.of(item.block);
        const auto pass = [&](auto width, int64_t offset) {
            const int64_t c = item.channel + offset, a = shared ? item.head * F::unit : c;
            Sweep<F, shared, backward, width.lanes, width.vectors>{
                links,
                decay + a,
                source + c,
                seen ? seen + c : nullptr,
                states + c,
                of_decay ? of_decay + a : nullptr,
                scan.decay_stride * F::unit,
                scan.source_stride * F::unit,
                cut.channels(),
                coefficients,
                links.part[item.part],
                links.part[item.part + 1],
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

bool dag_scan(const DagScan& scan) {
    return dispatch(scan, [&](auto field, auto shared) {
        using F = decltype(field);
        return scan.seen ? scan_links<F, shared.value, true>(scan) : scan_links<F, shared.value, false>(scan);
    });
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
