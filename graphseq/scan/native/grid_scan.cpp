// First-order linear recurrence on grids: cells row by row, vectors over channels, threads over grids and blocks of
// channels.
//
// A walk keeps the state that moves along the row in registers, so only the one that moves along the column is read
// again. Backward walks the other way: there a cell adds to the gradient of the state that came from above.

#include "channels.h"
#include "plane.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

template <class F, bool shared, int lanes, int vectors>
struct Forward {
    using T = typename F::Scalar;
    using V = Vector<T, lanes>;

    Plane<const T> decay, source;
    Plane<T> states;
    int64_t arriving, leaving;     // strides of decay
    int64_t of_source, of_states;  // strides between the two states of a cell
    int64_t rows, columns;

    void run() const {
        row<false>(0);
        for (int64_t r = 1; r < rows; ++r) row<true>(r);
    }

private:
    template <bool above>
    void row(int64_t r) const {
        V before[vectors];
        cell<false, above>(r, 0, before);
        for (int64_t c = 1; c < columns; ++c) cell<true, above>(r, c, before);
    }

    template <bool beside, bool above>
    void cell(int64_t r, int64_t c, V* before) const {
        const T* const a = decay.at(r, c);
        const T* const from = source.at(r, c);
        const T* const upper = above ? states.at(r - 1, c) + of_states : nullptr;
        T* const to = states.at(r, c);
        for (int k = 0; k < vectors; ++k) {
            V along = load<V>(from + k * lanes), down = load<V>(from + of_source + k * lanes);
            if (beside) {
                along += F::times(decay_of<F, shared, V>(a, k), before[k]);
                down += F::times(decay_of<F, shared, V>(a + leaving, k), before[k]);
            }
            if (above) {
                const V state = load<V>(upper + k * lanes);
                along += F::times(decay_of<F, shared, V>(a + arriving, k), state);
                down += F::times(decay_of<F, shared, V>(a + arriving + leaving, k), state);
            }
            store(to + k * lanes, along);
            store(to + of_states + k * lanes, down);
            before[k] = along;
        }
    }
};

template <class F, bool shared, int lanes, int vectors>
struct Backward {
    using T = typename F::Scalar;
    using V = Vector<T, lanes>;

    Plane<const T> decay, grad, states;
    Plane<T> grad_decay, grad_source;
    int64_t arriving, leaving;        // strides of decay
    int64_t of_arriving, of_leaving;  // strides of grad_decay
    int64_t of_grad, of_states;       // strides between the two states of a cell
    int64_t rows, columns;
    bool accumulate;  // grad_decay already holds the sum over other channels of the head

    void run() const {
        for (int64_t r = rows - 1; r > 0; --r) row<true>(r);
        row<false>(0);
    }

private:
    template <bool above>
    void row(int64_t r) const {
        V behind[vectors] = {};
        for (int64_t c = columns - 1; c > 0; --c) cell<true, above>(r, c, behind);
        cell<false, above>(r, 0, behind);
    }

    // `behind` is the gradient that the state moving along the row has from the cell that it enters.
    template <bool beside, bool above>
    void cell(int64_t r, int64_t c, V* behind) const {
        const T* const a = decay.at(r, c);
        const T* const left = beside ? states.at(r, c - 1) : nullptr;
        const T* const upper = above ? states.at(r - 1, c) + of_states : nullptr;
        const T* const of_along = grad.at(r, c);
        T* const to = grad_source.at(r, c);
        // The row below has added to the gradient of the state that enters it.
        const T* const of_down = r == rows - 1 ? of_along + of_grad : to + of_states;
        V sum[4] = {};
        for (int k = 0; k < vectors; ++k) {
            const V along = load<V>(of_along + k * lanes) + behind[k], down = load<V>(of_down + k * lanes);
            store(to + k * lanes, along);
            store(to + of_states + k * lanes, down);
            if (beside) {
                const V state = load<V>(left + k * lanes);
                product(r, c, 0, k, F::conj_times(state, along), sum);
                product(r, c, 1, k, F::conj_times(state, down), sum);
                behind[k] = F::conj_times(decay_of<F, shared, V>(a, k), along) +
                            F::conj_times(decay_of<F, shared, V>(a + leaving, k), down);
            } else if (!shared) {
                for (int link = 0; link < 2; ++link) product(r, c, link, k, V{}, sum);
            }
            if (above) {
                const V state = load<V>(upper + k * lanes);
                product(r, c, 2, k, F::conj_times(state, along), sum);
                product(r, c, 3, k, F::conj_times(state, down), sum);
                const V entering = F::conj_times(decay_of<F, shared, V>(a + arriving, k), along) +
                                   F::conj_times(decay_of<F, shared, V>(a + arriving + leaving, k), down);
                store(grad_source.at(r - 1, c) + of_states + k * lanes,
                      load<V>(grad.at(r - 1, c) + of_grad + k * lanes) + entering);
            } else if (!shared) {
                for (int link = 2; link < 4; ++link) product(r, c, link, k, V{}, sum);
            }
        }
        if (shared)
            for (int link = 0; link < 4; ++link) put_sum(of_decay(r, c, link), sum[link]);
    }

    T* of_decay(int64_t r, int64_t c, int link) const {
        return grad_decay.at(r, c) + link / 2 * of_arriving + link % 2 * of_leaving;
    }
    void product(int64_t r, int64_t c, int link, int k, V value, V* sum) const {
        if (shared)
            sum[link] += value;
        else
            store(of_decay(r, c, link) + k * lanes, value);
    }
    void put_sum(T* to, V sum) const {
        T folded[F::unit];
        fold<F::unit>(sum, folded);
        for (int i = 0; i < F::unit; ++i) to[i] = accumulate ? to[i] + folded[i] : folded[i];
    }
};

// Strides of a contiguous [2, batch, rows, columns, channels].
struct Strides {
    int64_t of[4];

    Strides(const GridCells& cells, int64_t channels)
        : of{cells.batch * cells.rows * cells.columns * channels, cells.rows * cells.columns * channels,
             cells.columns * channels, channels} {}
};

// The four links and two states of a cell.
int64_t work(const GridCells& cells) { return 6 * cells.batch * cells.rows * cells.columns; }

template <class F, bool shared>
bool forward(const GridScan& scan) {
    using T = typename F::Scalar;
    const GridCells& cells = scan.cells;
    const Cut cut = Cut::of<F, shared>(cells.batch, work(cells), scan.heads, scan.width, cells.threads);
    const auto decay = static_cast<const T*>(scan.decay), source = static_cast<const T*>(scan.source);
    const auto states = static_cast<T*>(scan.states);
    const Strides dense(cells, scan.heads * scan.width);

    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const CutItem item(cut, index);
        const auto pass = [&](auto width, int64_t offset) {
            const int64_t c = item.channel + offset, a = shared ? item.head * F::unit : c;
            Forward<F, shared, width.lanes, width.vectors>{
                {decay + a, scan.decay_strides + 2, item.part, cells, F::unit},
                {source + c, scan.source_strides + 1, item.part, cells, F::unit},
                {states + c, dense.of + 1, item.part, cells, F::unit},
                scan.decay_strides[0] * F::unit,
                scan.decay_strides[1] * F::unit,
                scan.source_strides[0] * F::unit,
                dense.of[0] * F::unit,
                cells.rows,
                cells.columns,
            }
                .run();
        };
        cover<F::unit, native_lanes<T>, max_vectors>(item.count, 0, pass);
    });
    return true;
}

template <class F, bool shared>
bool backward(const GridScanBackward& scan) {
    using T = typename F::Scalar;
    const GridCells& cells = scan.cells;
    const Cut cut = Cut::of<F, shared>(cells.batch, work(cells), scan.heads, scan.width, cells.threads);
    const auto decay = static_cast<const T*>(scan.decay), grad = static_cast<const T*>(scan.grad);
    const auto states = static_cast<const T*>(scan.states);
    const auto grad_source = static_cast<T*>(scan.grad_source);
    const Strides dense(cells, scan.heads * scan.width), links(cells, scan.heads);
    const SharedGradient<T> grad_decay(
        static_cast<T*>(scan.grad_decay), shared, cut.blocks, 4 * links.of[0] * F::unit);
    if (!grad_decay) return false;

    for_each(cut.items, cut.threads, [&](int64_t index, int64_t) {
        const CutItem item(cut, index);
        const auto pass = [&](auto width, int64_t offset) {
            const int64_t c = item.channel + offset, a = shared ? item.head * F::unit : c;
            Backward<F, shared, width.lanes, width.vectors>{
                {decay + a, scan.decay_strides + 2, item.part, cells, F::unit},
                {grad + c, scan.grad_strides + 1, item.part, cells, F::unit},
                {states + c, dense.of + 1, item.part, cells, F::unit},
                {grad_decay.of(item.block) + a, links.of + 1, item.part, cells, F::unit},
                {grad_source + c, dense.of + 1, item.part, cells, F::unit},
                scan.decay_strides[0] * F::unit,
                scan.decay_strides[1] * F::unit,
                2 * links.of[0] * F::unit,
                links.of[0] * F::unit,
                scan.grad_strides[0] * F::unit,
                dense.of[0] * F::unit,
                cells.rows,
                cells.columns,
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

bool grid_scan(const GridScan& scan) {
    return dispatch(scan, [&](auto field, auto shared) { return forward<decltype(field), shared.value>(scan); });
}

bool grid_scan_backward(const GridScanBackward& scan) {
    return dispatch(scan, [&](auto field, auto shared) { return backward<decltype(field), shared.value>(scan); });
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
