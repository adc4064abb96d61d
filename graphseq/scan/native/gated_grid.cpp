// The gated scan on grids. A walk keeps one state for each column and one that moves along the row; backward repeats it
// a few rows at a time, from states kept at their top. Threads over grids and heads.

#include "gated_node.h"
#include "kernels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

// Of the states that backward recomputes at once: half of a common second-level cache.
constexpr int64_t kept_bytes = 1 << 20;

// An array [..., rows, columns, ...] of one grid and head, with the first cell and the steps of a way through it.
template <class T>
struct Cells {
    T* first;
    int64_t row, column;

    Cells() : first(nullptr), row(0), column(0) {}
    Cells(T* array, int64_t row, int64_t column, const GridCells& cells, bool up, bool left)
        : first(array), row(row), column(column) {
        if (!first) return;
        if (up) first += (cells.rows - 1) * row, this->row = -row;
        if (left) first += (cells.columns - 1) * column, this->column = -column;
    }
    T* at(int64_t r, int64_t c) const { return first ? first + r * row + c * column : nullptr; }
};

template <class T>
struct Way {
    Cells<const T> query, key, value, source, mark, transition, direct, grad_read;
    Cells<T> read, grad_query, grad_key, grad_value, grad_source, grad_mark, grad_transition, grad_direct;
    bool accumulate;
};

template <class T>
class Walk {
    using Step = GatedStep<T>;
    using V = typename Step::V;

public:
    explicit Walk(const GatedGrid& in)
        : in_(in),
          size_{in.key_size, in.value_size, Step::padded(in.value_size)},
          states_(size_.state()),
          kept_rows_(rows_kept(in, states_)),
          chunks_(ceil_div(in.cells.rows, kept_rows_)) {}

    bool forward(const GatedGridScan& scan) const {
        const int64_t threads = this->threads(), per_thread = (in_.cells.columns + 1) * states_;
        const Scratch<T> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(items(), threads, [&](int64_t item, int64_t thread) {
            for (int64_t number = 0; number < in_.ways; ++number) {
                Way<T> way = of(item, number);
                way.read = output(static_cast<T*>(scan.read), in_.value_size, item, number);
                run(way, scratch.data() + thread * per_thread);
            }
        });
        return true;
    }

    bool backward(const GatedGridScanBackward& scan) const {
        const int64_t columns = in_.cells.columns, rows = 2 * Step::padded(in_.key_size);
        const int64_t tops = (chunks_ - 1) * columns, kept = 2 * kept_rows_ * columns;
        const int64_t per_thread = (tops + kept + 2 * columns + 3) * states_ + rows * Step::lanes;
        const int64_t threads = this->threads();
        const Scratch<T> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(items(), threads, [&](int64_t item, int64_t thread) {
            T* const memory = scratch.data() + thread * per_thread;
            V* const row_sums = reinterpret_cast<V*>(memory);
            for (int64_t i = 0; i < rows; ++i) row_sums[i] = V{};
            const Step step{size_, row_sums, row_sums + rows / 2};
            T* const matrices = memory + rows * Step::lanes;
            for (int64_t number = 0; number < in_.ways; ++number) {
                Way<T> way = of(item, number);
                const auto vector = [&](void* to, int64_t width) { return output(static_cast<T*>(to), width, item, number); };
                way.grad_read = in_cells(static_cast<const T*>(scan.grad_read), in_.value_size, item, number);
                way.grad_query = vector(scan.grad_query, in_.key_size);
                way.grad_key = vector(scan.grad_key, in_.key_size);
                way.grad_value = vector(scan.grad_value, in_.value_size);
                way.grad_direct = number ? Cells<T>() : vector(scan.grad_direct, 1);
                const auto gate = [&](void* to, int64_t kinds) { return of_gate(static_cast<T*>(to), kinds, item, number); };
                way.grad_source = gate(scan.grad_source, 2);
                way.grad_mark = gate(scan.grad_mark, 2);
                way.grad_transition = gate(scan.grad_transition, 4);
                if (scan.grad_query)
                    retreat<true>(way, step, matrices);
                else
                    retreat<false>(way, step, matrices);
            }
        });
        return true;
    }

private:
    const GatedGrid& in_;
    GatedSize size_;
    int64_t states_, kept_rows_, chunks_;

    static int64_t rows_kept(const GatedGrid& in, int64_t state) {
        const int64_t per_row = 2 * in.cells.columns * state * int64_t(sizeof(T)), fitting = kept_bytes / (per_row ? per_row : 1);
        const int64_t most = fitting < in.cells.rows ? fitting : in.cells.rows;
        return most > 1 ? most : 1;
    }

    int64_t items() const { return in_.cells.batch * in_.heads; }
    int64_t threads() const {
        const int64_t cells = in_.ways * in_.cells.batch * in_.cells.rows * in_.cells.columns * in_.heads;
        return useful_threads(in_.cells.threads, items(), cells * size_.state(), gated_least);
    }

    bool up(int64_t way) const { return bool(way & 1) != bool(in_.cells.reversed); }
    bool left(int64_t way) const { return bool(way & 2) != bool(in_.cells.reversed); }

    // A contiguous [batch, rows, columns, heads, width].
    template <class U>
    Cells<U> in_cells(U* array, int64_t width, int64_t item, int64_t way) const {
        if (!array) return {};
        const int64_t column = in_.heads * width, row = in_.cells.columns * column;
        U* const first = array + item / in_.heads * in_.cells.rows * row + item % in_.heads * width;
        return {first, row, column, in_.cells, up(way), left(way)};
    }
    Cells<T> output(T* array, int64_t width, int64_t item, int64_t way) const { return in_cells(array, width, item, way); }

    // A contiguous [ways, kinds, batch, rows, columns, heads].
    Cells<T> of_gate(T* array, int64_t kinds, int64_t item, int64_t way) const {
        return in_cells(array + way * kinds * of_kind(), 1, item, way);
    }
    int64_t of_kind() const { return in_.cells.batch * in_.cells.rows * in_.cells.columns * in_.heads; }

    Way<T> of(int64_t item, int64_t way) const {
        const int64_t grid = item / in_.heads, head = item % in_.heads;
        // Strides of batch, rows, columns and heads.
        const auto cells = [&](const void* array, const int64_t* strides, int64_t offset) -> Cells<const T> {
            if (!array) return {};
            const T* const first = static_cast<const T*>(array) + offset + grid * strides[0] + head * strides[3];
            return {first, strides[1], strides[2], in_.cells, up(way), left(way)};
        };
        Way<T> found;
        found.query = cells(in_.query, in_.query_strides, 0);
        found.key = cells(in_.key, in_.key_strides, 0);
        found.value = cells(in_.value, in_.value_strides, 0);
        found.source = cells(in_.source, in_.source_strides + 2, way * in_.source_strides[0]);
        found.mark = cells(in_.mark, in_.mark_strides + 2, way * in_.mark_strides[0]);
        found.transition = cells(in_.transition, in_.transition_strides + 3, way * in_.transition_strides[0]);
        found.direct = way ? Cells<const T>() : cells(in_.direct, in_.direct_strides, 0);
        found.accumulate = way > 0;
        return found;
    }

    // A gate of an edge that comes from nowhere or leads nowhere is not read, so that its inf or NaN cannot leak.
    GatedPorts<T, 2, 2> ports(const Way<T>& way, int64_t r, int64_t c) const {
        const bool in[2] = {c > 0, r > 0}, out[2] = {c < in_.cells.columns - 1, r < in_.cells.rows - 1};
        const T *const mark = way.mark.at(r, c), *const source = way.source.at(r, c);
        const T* const transition = way.transition.at(r, c);
        GatedPorts<T, 2, 2> found;
        for (int a = 0; a < 2; ++a) {
            found.mark[a] = in[a] ? mark[a * in_.mark_strides[1]] : T(0);
            found.source[a] = out[a] ? source[a * in_.source_strides[1]] : T(0);
            for (int b = 0; b < 2; ++b)
                found.transition[a][b] =
                    in[a] && out[b] ? transition[a * in_.transition_strides[1] + b * in_.transition_strides[2]] : T(0);
        }
        return found;
    }
    GatedNode<T> node(const Way<T>& way, int64_t r, int64_t c) const {
        const T* const direct = way.direct.at(r, c);
        return {way.query.at(r, c), way.key.at(r, c), way.value.at(r, c), direct ? *direct : T(0), way.grad_read.at(r, c),
                way.grad_query.at(r, c), way.grad_key.at(r, c), way.grad_value.at(r, c), way.grad_direct.at(r, c),
                way.accumulate};
    }
    void clear(T* states, int64_t count) const {
        for (int64_t i = 0; i < count * states_; ++i) states[i] = T(0);
    }
    void copy(T* to, const T* from, int64_t count) const {
        for (int64_t i = 0; i < count * states_; ++i) to[i] = from[i];
    }

    void run(const Way<T>& way, T* scratch) const {
        const Step step{size_, nullptr, nullptr};
        T *const along = scratch, *const down = scratch + states_;
        clear(down, in_.cells.columns);
        for (int64_t r = 0; r < in_.cells.rows; ++r) {
            clear(along, 1);
            for (int64_t c = 0; c < in_.cells.columns; ++c) advance(way, step, r, c, along, down + c * states_);
        }
    }
    void advance(const Way<T>& way, const Step& step, int64_t r, int64_t c, T* along, T* down) const {
        auto p = ports(way, r, c);
        p.arriving[0] = p.leaving[0] = along;
        p.arriving[1] = p.leaving[1] = down;
        step.forward(node(way, r, c), p, way.read.at(r, c));
    }

    template <bool vectors>
    void retreat(const Way<T>& way, const Step& step, T* matrices) const {
        const int64_t columns = in_.cells.columns;
        const auto take = [&](int64_t count) { return matrices += count * states_, matrices - count * states_; };
        T *const tops = take((chunks_ - 1) * columns), *const kept = take(2 * kept_rows_ * columns);
        T *const down = take(columns), *const along = take(1), *const beyond = take(1);
        T *const grad_down = take(columns), *const grad_along = take(1);
        if (chunks_ > 1) keep_tops(way, step, tops, along, down);
        clear(grad_down, columns);
        for (int64_t chunk = chunks_ - 1; chunk >= 0; --chunk) {
            const int64_t top = chunk * kept_rows_, rest = in_.cells.rows - top, rows = rest < kept_rows_ ? rest : kept_rows_;
            keep_rows(way, step, top, rows, chunk ? tops + (chunk - 1) * columns * states_ : nullptr, kept, beyond);
            for (int64_t r = rows - 1; r >= 0; --r) {
                clear(grad_along, 1);
                for (int64_t c = columns - 1; c >= 0; --c)
                    retreat<vectors>(way, step, top + r, c, kept + 2 * (r * columns + c) * states_, grad_along, grad_down + c * states_);
            }
        }
    }

    // The states that enter the first row of each chunk but the first from above.
    void keep_tops(const Way<T>& way, const Step& step, T* tops, T* along, T* down) const {
        const int64_t columns = in_.cells.columns;
        clear(down, columns);
        for (int64_t r = 0; r < (chunks_ - 1) * kept_rows_; ++r) {
            clear(along, 1);
            for (int64_t c = 0; c < columns; ++c) advance(way, step, r, c, along, down + c * states_);
            if ((r + 1) % kept_rows_ == 0) copy(tops + r / kept_rows_ * columns * states_, down, columns);
        }
    }

    // Both states that arrive at each cell of some rows.
    void keep_rows(const Way<T>& way, const Step& step, int64_t top, int64_t rows, const T* entering, T* kept, T* beyond) const {
        const int64_t columns = in_.cells.columns;
        const auto at = [&](int64_t r, int64_t c, int64_t state) { return kept + (2 * (r * columns + c) + state) * states_; };
        for (int64_t c = 0; c < columns; ++c) {
            if (entering)
                copy(at(0, c, 1), entering + c * states_, 1);
            else
                clear(at(0, c, 1), 1);
        }
        for (int64_t r = 0; r < rows; ++r) {
            clear(at(r, 0, 0), 1);
            for (int64_t c = 0; c < columns; ++c) {
                auto p = ports(way, top + r, c);
                for (int64_t a = 0; a < 2; ++a) p.arriving[a] = at(r, c, a);
                p.leaving[0] = c + 1 < columns ? at(r, c + 1, 0) : beyond;
                p.leaving[1] = r + 1 < rows ? at(r + 1, c, 1) : beyond;
                step.forward(node(way, top + r, c), p, static_cast<T*>(nullptr));
            }
        }
    }

    template <bool vectors>
    void retreat(const Way<T>& way, const Step& step, int64_t r, int64_t c, const T* states, T* grad_along, T* grad_down) const {
        auto p = ports(way, r, c);
        for (int a = 0; a < 2; ++a) {
            p.arriving[a] = states + a * states_;
            T* const grad = a ? grad_down : grad_along;
            p.grad_leaving[a] = p.grad_arriving[a] = grad;
        }
        GatedGrads<T, 2, 2> grads;
        step.template backward<2, 2, vectors>(node(way, r, c), p, grads);
        const int64_t kind = of_kind();
        for (int a = 0; a < 2; ++a) {
            way.grad_mark.at(r, c)[a * kind] = grads.mark[a];
            way.grad_source.at(r, c)[a * kind] = grads.source[a];
            for (int b = 0; b < 2; ++b) way.grad_transition.at(r, c)[(2 * a + b) * kind] = grads.transition[a][b];
        }
    }
};

}  // namespace

bool gated_grid_scan(const GatedGridScan& scan) {
    return scan.in.dtype == Dtype::float32 ? Walk<float>(scan.in).forward(scan) : Walk<double>(scan.in).forward(scan);
}

bool gated_grid_scan_backward(const GatedGridScanBackward& scan) {
    return scan.in.dtype == Dtype::float32 ? Walk<float>(scan.in).backward(scan) : Walk<double>(scan.in).backward(scan);
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
