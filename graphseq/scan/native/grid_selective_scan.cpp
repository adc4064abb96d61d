// Selective scan on grids (Behrouz et al. 2024, Chimera), fused: steps to decays, two coupled states, read-out and skip
// in one pass.
//
// A vector holds as many channels. A grid is walked in tiles of tile_rows × tile_columns cells, and within a tile each
// state n runs over all cells before the next one does, so that its rows of A stay in registers. Only what crosses the
// borders between tiles outlives a tile; backward starts from that and recomputes one tile at a time.

#include "kernels.h"
#include "plane.h"
#include "spans.h"
#include "state.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

constexpr int64_t tile_cells = tile_rows * tile_columns;

// Grids fall into shares of about as many. An item is one span of one group in one share.
struct Plan {
    int64_t batch, shares;
    Spans spans;

    Plan(const GridSelectiveInputs& in, int64_t lanes)
        : batch(in.cells.batch),
          shares(batch < max_items ? batch : max_items),
          spans(in.channels, in.groups, lanes, shares) {}

    int64_t items() const { return shares * spans.groups * spans.count; }
};

struct Item {
    int64_t share, group, span, first_grid, end_grid, blocks;

    Item(const Plan& plan, int64_t item) : spans_(&plan.spans) {
        span = item % plan.spans.count;
        group = item / plan.spans.count % plan.spans.groups;
        share = item / plan.spans.count / plan.spans.groups;
        first_grid = share * plan.batch / plan.shares;
        end_grid = (share + 1) * plan.batch / plan.shares;
        blocks = plan.spans.blocks_of(span);
    }

    Block block(int64_t index) const { return spans_->block(group, span, index); }

private:
    const Spans* spans_;
};

// Tiles of a grid, in bands from the first row on, each from the first column on.
struct Tiling {
    int64_t bands, strips;

    explicit Tiling(const GridCells& cells)
        : bands(ceil_div(cells.rows, tile_rows)), strips(ceil_div(cells.columns, tile_columns)) {}

    int64_t count() const { return bands * strips; }
};

struct Tile {
    int64_t grid, band, strip;
    int64_t row, column, rows, columns;  // its first cell in scan order, and its size
    bool last_band, last_strip;

    Tile(const GridCells& cells, const Tiling& tiling, int64_t grid, int64_t index)
        : grid(grid), band(index / tiling.strips), strip(index % tiling.strips),
          row(band * tile_rows), column(strip * tile_columns),
          rows(cells.rows - row < tile_rows ? cells.rows - row : tile_rows),
          columns(cells.columns - column < tile_columns ? cells.columns - column : tile_columns),
          last_band(band == tiling.bands - 1), last_strip(strip == tiling.strips - 1) {}

    bool first() const { return band == 0 && strip == 0; }

    // run(place, r, c) for all cells; the place is that among tile_cells.
    template <class Run>
    void for_cells(const Run& run) const {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < columns; ++c) run(r * tile_columns + c, row + r, column + c);
    }
};

// Strides of a contiguous [2, batch, rows, columns, count].
struct Dense {
    int64_t strides[4];

    Dense(const GridCells& cells, int64_t count)
        : strides{cells.batch * cells.rows * cells.columns * count, cells.rows * cells.columns * count,
                  cells.columns * count, count} {}
};

template <class T>
Plane<T> plane_of(const CellArray& array, int64_t state, int64_t grid, const GridCells& cells, int unit = 1) {
    return {static_cast<T*>(array.data) + state * array.strides[0] * unit, array.strides + 1, grid, cells, unit};
}

// The inputs of one grid.
template <class S>
struct Cells {
    using T = typename S::Scalar;

    Plane<const T> u, delta[2], exchange[2], B[2], C[2];

    Cells(const GridSelectiveInputs& in, int64_t grid)
        : u(of(in.u, 0, grid, in)),
          delta{of(in.delta, 0, grid, in), of(in.delta, 1, grid, in)},
          exchange{of(in.exchange, 0, grid, in), of(in.exchange, 1, grid, in)},
          B{of(in.B, 0, grid, in, S::unit), of(in.B, 1, grid, in, S::unit)},
          C{of(in.C, 0, grid, in, S::unit), of(in.C, 1, grid, in, S::unit)} {}

private:
    static Plane<const T> of(const CellArray& array, int state, int64_t grid, const GridSelectiveInputs& in, int unit = 1) {
        return plane_of<const T>(array, state, grid, in.cells, unit);
    }
};

// B or C of both states along a row of cells, from one n on.
template <class S>
struct Projections {
    using T = typename S::Scalar;

    const T* from[2];
    int64_t step;

    Projections(const Plane<const T>* planes, int64_t row, int64_t column, int64_t entry)
        : from{planes[0].at(row, column) + entry, planes[1].at(row, column) + entry}, step(planes[0].column) {}

    typename S::Number at(int s, int64_t c, int k) const { return S::same(from[s] + c * step + k * S::unit); }
};

// What all states of a block share in a cell: the steps as the decays take them, the steps times the input, and which
// part of what arrives comes from the other state. Here and below, what belongs to a cell lies together: arrays of one
// quantity each would lie whole pages apart, and displace one another from the cache.
template <class V>
struct Step {
    V dt[2], du[2], over[2];
};

template <class S>
struct Inputs {
    using T = typename S::Scalar;
    using V = typename S::V;
    using Number = typename S::Number;

    explicit Inputs(const GridSelectiveInputs& in)
        : in(in), tiling(in.cells), D(static_cast<const T*>(in.D)),
          row_size(in.size * S::unit * in.channels) {}

    const GridSelectiveInputs& in;
    const Tiling tiling;
    const T* D;
    const int64_t row_size;  // of a kept state

    V skip(Block block) const { return D ? get<V>(D, block) : V{}; }

    int64_t updates() const { return in.cells.batch * in.cells.rows * in.cells.columns * in.channels * in.size; }

    // A block's rows of [2, channels, size], those of the two states `apart`.
    void get_A(Block block, int64_t apart, Number* a) const {
        for_entries(block, [&](int s, int64_t n, int part, int64_t lane, int64_t from, T* lanes) {
            lanes[lane] = static_cast<const T*>(in.A)[from] * T(log2_e);  // in units of the exponential's base 2
            S::set_part(a[s * apart + n], part, load<V>(lanes));
        });
    }
    void put_A(Block block, int64_t apart, const Number* a, T* to) const {
        for_entries(block, [&](int s, int64_t n, int part, int64_t lane, int64_t into, T* lanes) {
            store(lanes, S::part(a[s * apart + n], part));
            to[into] = lanes[lane];
        });
    }

    // Where forward keeps the state along the column that leaves a band, and the one along the row that leaves a strip.
    template <class P>
    P* upper(P* kept, const Tile& tile, int64_t band, int64_t c) const {
        return kept + ((tile.grid * (tiling.bands - 1) + band) * in.cells.columns + tile.column + c) * row_size;
    }
    template <class P>
    P* left(P* kept, const Tile& tile, int64_t strip, int64_t r) const {
        return kept + ((tile.grid * in.cells.rows + tile.row + r) * (tiling.strips - 1) + strip) * row_size;
    }
    Number get_kept(const T* row, Block block, int64_t n) const {
        Number value;
        for (int part = 0; part < S::unit; ++part)
            S::set_part(value, part, get<V>(row + (n * S::unit + part) * in.channels, block));
        return value;
    }
    void put_kept(T* row, Block block, int64_t n, Number value) const {
        for (int part = 0; part < S::unit; ++part)
            put(row + (n * S::unit + part) * in.channels, block, S::part(value, part));
    }

    // Bring what prepare reads into the cache.
    GRAPHSEQ_FETCH void fetch_cells(const Tile& tile, const Cells<S>& cells, Block block) const {
        fetch_block(tile, cells.u, block);
        for (int s = 0; s < 2; ++s) {
            fetch_block(tile, cells.delta[s], block);
            if (in.exchange.data) fetch_block(tile, cells.exchange[s], block);
        }
    }
    GRAPHSEQ_FETCH static void fetch_block(const Tile& tile, const Plane<const T>& plane, Block block) {
        for (int64_t r = 0; r < tile.rows; ++r)
            for (int64_t c = 0; c < tile.columns; ++c)
                fetch(plane.at(tile.row + r, tile.column + c) + block.channel, block.count);
    }

    void prepare(const Tile& tile, const Cells<S>& cells, Block block, Step<V>* steps) const {
        tile.for_cells([&](int64_t i, int64_t r, int64_t c) {
            const V u = get<V>(cells.u.at(r, c), block);
            for (int s = 0; s < 2; ++s) {
                steps[i].dt[s] = get<V>(cells.delta[s].at(r, c), block);
                steps[i].du[s] = steps[i].dt[s] * u;
                steps[i].over[s] = in.exchange.data ? get<V>(cells.exchange[s].at(r, c), block) : V{};
            }
        });
        // Decays that meet no state are not read, so that their inf or NaN cannot leak: in the first cell of a grid, and
        // where states keep to themselves, in the first column for the one along the row, in the first row for the other.
        if (tile.first())
            for (int s = 0; s < 2; ++s) steps[0].dt[s] = steps[0].over[s] = V{};
        if (in.exchange.data) return;
        for (int64_t r = 0; r < tile.rows && !tile.strip; ++r) steps[r * tile_columns].dt[0] = V{};
        for (int64_t c = 0; c < tile.columns && !tile.band; ++c) steps[c].dt[1] = V{};
    }

private:
    template <class Run>
    void for_entries(Block block, const Run& run) const {
        T lanes[S::lanes] = {};
        for (int s = 0; s < 2; ++s)
            for (int64_t n = 0; n < in.size; ++n)
                for (int part = 0; part < S::unit; ++part)
                    for (int64_t lane = 0; lane < block.count; ++lane) {
                        const int64_t channel = s * in.channels + block.channel + lane;
                        run(s, n, part, lane, (channel * in.size + n) * S::unit + part, lanes);
                    }
    }
};

// What arrives in a cell, shared out between its states.
template <class V, class Number>
inline void share(const V* over, Number before, Number above, Number* arriving) {
    const Number between = above - before;
    arriving[0] = before + over[0] * between;
    arriving[1] = above - over[1] * between;
}

template <class S>
class Forward : Inputs<S> {
    using Base = Inputs<S>;
    using T = typename S::Scalar;
    using V = typename S::V;
    using Number = typename S::Number;
    using Base::in, Base::tiling;

public:
    explicit Forward(const GridSelectiveScan& scan)
        : Base(scan.in), scan_(scan), upper_(static_cast<T*>(scan.upper)), left_(static_cast<T*>(scan.left)) {}

    bool run() const {
        const Plan plan(in, S::lanes);
        const int64_t threads = useful_threads(in.cells.threads, plan.items(), this->updates(), least_updates);
        const int64_t per_thread = Local::numbers(plan.spans.blocks, in);
        const Scratch<Number> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(plan.items(), threads, [&](int64_t item, int64_t thread) {
            walk(Item(plan, item), Local(scratch.data() + thread * per_thread, plan.spans.blocks, in));
        });
        return true;
    }

private:
    const GridSelectiveScan& scan_;
    T *upper_, *left_;

    // A thread's scratch: for each block the rates of both states, and the states that leave the last tile.
    struct Local {
        int64_t apart, size, columns;
        Number *a, *along, *down;  // [2, blocks, size], [blocks, tile_rows, size], [blocks, columns, size]

        Local(Number* memory, int64_t blocks, const GridSelectiveInputs& in)
            : apart(blocks * in.size), size(in.size), columns(in.cells.columns), a(memory), along(a + 2 * apart),
              down(along + tile_rows * apart) {}

        static int64_t numbers(int64_t blocks, const GridSelectiveInputs& in) {
            return blocks * in.size * (2 + tile_rows + in.cells.columns);
        }
        Number rate(int s, int64_t j, int64_t n) const { return a[s * apart + j * size + n]; }
        Number* along_at(int64_t j, int64_t r) const { return along + (j * tile_rows + r) * size; }
        Number* down_at(int64_t j, int64_t column) const { return down + (j * columns + column) * size; }
    };

    void walk(const Item& item, const Local& local) const {
        for (int64_t j = 0; j < item.blocks; ++j) this->get_A(item.block(j), local.apart, local.a + j * in.size);
        for (int64_t grid = item.first_grid; grid < item.end_grid; ++grid) {
            const Cells<S> cells(in, grid);
            for (int64_t index = 0; index < tiling.count(); ++index) {
                const Tile tile(in.cells, tiling, grid, index);
                for (int64_t j = 0; j < item.blocks; ++j) {
                    if (j + 1 < item.blocks)
                        this->fetch_cells(tile, cells, item.block(j + 1));
                    else if (index + 1 < tiling.count())
                        this->fetch_cells(Tile(in.cells, tiling, grid, index + 1), cells, item.block(0));
                    advance(tile, cells, item.group, item.block(j), j, local);
                    if (upper_ || left_) keep(tile, item.block(j), j, local);
                }
            }
        }
    }

    void advance(const Tile& tile, const Cells<S>& cells, int64_t group, Block block, int64_t j, const Local& local) const {
        Step<V> steps[tile_cells];
        V y[tile_cells];
        this->prepare(tile, cells, block, steps);
        const V skip = this->skip(block);
        tile.for_cells([&](int64_t i, int64_t r, int64_t c) {
            y[i] = this->D ? skip * get<V>(cells.u.at(r, c), block) : V{};
        });
        for_states(in.size, [&](auto together, int64_t n) {
            recur<together.value>(tile, cells, (group * in.size + n) * S::unit, n, j, steps, y, local);
        });
        const Plane<T> out(static_cast<T*>(scan_.out), Dense(in.cells, in.channels).strides + 1, tile.grid, in.cells, 1);
        tile.for_cells([&](int64_t i, int64_t r, int64_t c) { put(out.at(r, c), block, y[i]); });
    }

    template <int together>
    void recur(const Tile& tile, const Cells<S>& cells, int64_t entry, int64_t n, int64_t j, const Step<V>* steps, V* y,
               const Local& local) const {
        Number a[2][together], before[together], above[tile_columns][together];
        for (int k = 0; k < together; ++k) {
            for (int s = 0; s < 2; ++s) a[s][k] = local.rate(s, j, n + k);
            for (int64_t c = 0; c < tile.columns; ++c)
                above[c][k] = tile.band ? local.down_at(j, tile.column + c)[n + k] : Number{};
        }
        for (int64_t r = 0; r < tile.rows; ++r) {
            for (int k = 0; k < together; ++k) before[k] = tile.strip ? local.along_at(j, r)[n + k] : Number{};
            const Projections<S> B(cells.B, tile.row + r, tile.column, entry);
            const Projections<S> C(cells.C, tile.row + r, tile.column, entry);
            for (int64_t c = 0; c < tile.columns; ++c) {
                const int64_t i = r * tile_columns + c;
                const Step<V> step = steps[i];
                V sum = y[i];
                for (int k = 0; k < together; ++k) {
                    Number arriving[2], state[2];
                    share(step.over, before[k], above[c][k], arriving);
                    for (int s = 0; s < 2; ++s) {
                        const Number decay = S::power(step.dt[s], a[s][k]);
                        state[s] = S::times(decay, arriving[s]) + step.du[s] * B.at(s, c, k);
                        sum += S::inner(S::conj(C.at(s, c, k)), state[s]);
                    }
                    before[k] = state[0];
                    above[c][k] = state[1];
                }
                y[i] = sum;
            }
            for (int k = 0; k < together; ++k) local.along_at(j, r)[n + k] = before[k];
        }
        for (int64_t c = 0; c < tile.columns; ++c)
            for (int k = 0; k < together; ++k) local.down_at(j, tile.column + c)[n + k] = above[c][k];
    }

    void keep(const Tile& tile, Block block, int64_t j, const Local& local) const {
        for (int64_t n = 0; n < in.size; ++n) {
            for (int64_t c = 0; c < tile.columns && !tile.last_band; ++c)
                this->put_kept(this->upper(upper_, tile, tile.band, c), block, n, local.down_at(j, tile.column + c)[n]);
            for (int64_t r = 0; r < tile.rows && !tile.last_strip; ++r)
                this->put_kept(this->left(left_, tile, tile.strip, r), block, n, local.along_at(j, r)[n]);
        }
    }
};

// With x = delta A of a cell, m what arrives and g the gradient of a state, summed over all that follows:
//   grad of m = conj(e^x) g,   grad of x = conj(m) grad of m,
// and what arrives passes its gradient on to the two states that it is a mixture of.
template <class S>
class Backward : Inputs<S> {
    using Base = Inputs<S>;
    using T = typename S::Scalar;
    using V = typename S::V;
    using Number = typename S::Number;
    using Base::in, Base::tiling;

public:
    explicit Backward(const GridSelectiveScanBackward& scan)
        : Base(scan.in),
          scan_(scan),
          upper_(static_cast<const T*>(scan.upper)),
          left_(static_cast<const T*>(scan.left)),
          of_A_(2 * in.channels * in.size * S::unit),
          of_cells_(2 * in.cells.batch * in.cells.rows * in.cells.columns * in.groups * in.size * S::unit) {}

    bool run() const {
        const Plan plan(in, S::lanes);
        const int64_t threads = useful_threads(in.cells.threads, plan.items(), this->updates(), least_updates);
        // Sums over cells have one addend for each share, sums over channels one for each span.
        const int64_t per_share = of_A_ + in.channels;
        const bool cut = plan.spans.count > 1;
        const Scratch<T> share_sums(plan.shares * per_share), span_sums(cut ? 2 * plan.spans.count * of_cells_ : 0);
        const int64_t per_thread = Local::numbers(plan.spans.blocks, in);
        const Scratch<Number> scratch(threads * per_thread);
        if (!share_sums || !span_sums || !scratch) return false;

        T* const grad_B = cut ? span_sums.data() : static_cast<T*>(scan_.grad_B);
        T* const grad_C = cut ? span_sums.data() + plan.spans.count * of_cells_ : static_cast<T*>(scan_.grad_C);
        for_each(plan.items(), threads, [&](int64_t index, int64_t thread) {
            const Item item(plan, index);
            walk(item, Local(scratch.data() + thread * per_thread, plan.spans.blocks, in),
                 grad_B + item.span * of_cells_, grad_C + item.span * of_cells_, share_sums.data() + item.share * per_share);
        });

        if (cut) {
            add_up(grad_B, plan.spans.count, of_cells_, of_cells_, threads, static_cast<T*>(scan_.grad_B));
            add_up(grad_C, plan.spans.count, of_cells_, of_cells_, threads, static_cast<T*>(scan_.grad_C));
        }
        add_up(share_sums.data(), plan.shares, per_share, of_A_, threads, static_cast<T*>(scan_.grad_A));
        if (scan_.grad_D)
            add_up(share_sums.data() + of_A_, plan.shares, per_share, in.channels, threads, static_cast<T*>(scan_.grad_D));
        return true;
    }

private:
    const GridSelectiveScanBackward& scan_;
    const T *upper_, *left_;
    const int64_t of_A_, of_cells_;  // scalars in grad_A, and in grad_B

    // The gradients of B and C, not added up across lanes yet.
    struct Sums {
        Number B[2], C[2];
    };

    // A thread's scratch: for each block what Forward has, with gradients in place of states, and sums over all cells;
    // for each n and cell of the tile, sums over all blocks.
    struct Local {
        int64_t apart, size, columns;
        Number *a, *grad_A, *along, *down, *grad_D;  // as in Forward, [blocks]
        Sums* sums;                                  // [size, tile_cells]

        Local(Number* memory, int64_t blocks, const GridSelectiveInputs& in)
            : apart(blocks * in.size), size(in.size), columns(in.cells.columns), a(memory), grad_A(a + 2 * apart),
              along(grad_A + 2 * apart), down(along + tile_rows * apart), grad_D(down + columns * apart),
              sums(reinterpret_cast<Sums*>(grad_D + blocks)) {}

        static int64_t numbers(int64_t blocks, const GridSelectiveInputs& in) {
            return blocks * in.size * (4 + tile_rows + in.cells.columns) + blocks + 4 * in.size * tile_cells;
        }
        Number rate(int s, int64_t j, int64_t n) const { return a[s * apart + j * size + n]; }
        Number* along_at(int64_t j, int64_t r) const { return along + (j * tile_rows + r) * size; }
        Number* down_at(int64_t j, int64_t column) const { return down + (j * columns + column) * size; }
    };

    // The gradients of a Step, that of the decays' steps in units of log2(e).
    struct Grad {
        V y, dt[2], du[2], over[2];
    };

    // One or two states of a cell.
    template <int together>
    struct States {
        Number along[together], down[together], decay[2][together];
    };

    // Those of a tile, and of the cells before its first column and row.
    template <int together>
    struct StatesOfTile {
        States<together> cells[tile_rows + 1][tile_columns + 1];

        States<together>& at(int64_t r, int64_t c) { return cells[r + 1][c + 1]; }
        const States<together>& at(int64_t r, int64_t c) const { return cells[r + 1][c + 1]; }
    };

    void walk(const Item& item, const Local& local, T* grad_B, T* grad_C, T* sums) const {
        for (int64_t j = 0; j < item.blocks; ++j) {
            this->get_A(item.block(j), local.apart, local.a + j * in.size);
            local.grad_D[j] = Number{};
        }
        for (int64_t i = 0; i < 2 * local.apart; ++i) local.grad_A[i] = Number{};
        for (int64_t grid = item.first_grid; grid < item.end_grid; ++grid) {
            const Cells<S> cells(in, grid);
            for (int64_t index = tiling.count() - 1; index >= 0; --index) {
                const Tile tile(in.cells, tiling, grid, index);
                for (int64_t i = 0; i < in.size * tile_cells; ++i) local.sums[i] = Sums{};
                for (int64_t j = 0; j < item.blocks; ++j) {
                    if (j + 1 < item.blocks)
                        fetch_all(tile, cells, item.block(j + 1));
                    else if (index > 0)
                        fetch_all(Tile(in.cells, tiling, grid, index - 1), cells, item.block(0));
                    retreat(tile, cells, item.group, item.block(j), j, local);
                }
                sum_lanes(tile, item.group, local, &Sums::B, grad_B);
                sum_lanes(tile, item.group, local, &Sums::C, grad_C);
            }
        }
        for (int64_t j = 0; j < item.blocks; ++j) {
            this->put_A(item.block(j), local.apart, local.grad_A + j * in.size, sums);
            put(sums + of_A_, item.block(j), S::part(local.grad_D[j], 0));
        }
    }

    GRAPHSEQ_FETCH void fetch_all(const Tile& tile, const Cells<S>& cells, Block block) const {
        this->fetch_cells(tile, cells, block);
        Base::fetch_block(tile, plane_of<const T>(scan_.grad_out, 0, tile.grid, in.cells), block);
    }

    void sum_lanes(const Tile& tile, int64_t group, const Local& local, Number (Sums::*from)[2], T* to) const {
        const Dense dense(in.cells, in.groups * in.size);
        for (int s = 0; s < 2; ++s) {
            const Plane<T> cells(to + s * dense.strides[0] * S::unit, dense.strides + 1, tile.grid, in.cells, S::unit);
            for (int64_t n = 0; n < in.size; ++n)
                for (int part = 0; part < S::unit; ++part) {
                    T sums[tile_cells];
                    for (int64_t i = 0; i < tile_cells; i += S::lanes) {
                        V rows[S::lanes];
                        for (int lane = 0; lane < S::lanes; ++lane)
                            rows[lane] = S::part((local.sums[n * tile_cells + i + lane].*from)[s], part);
                        store(sums + i, sum_each<S::lanes>(rows));
                    }
                    const int64_t entry = (group * in.size + n) * S::unit + part;
                    tile.for_cells([&](int64_t i, int64_t r, int64_t c) { cells.at(r, c)[entry] = sums[i]; });
                }
        }
    }

    void retreat(const Tile& tile, const Cells<S>& cells, int64_t group, Block block, int64_t j, const Local& local) const {
        Step<V> steps[tile_cells];
        Grad grads[tile_cells];
        this->prepare(tile, cells, block, steps);
        const Plane<const T> grad_out = plane_of<const T>(scan_.grad_out, 0, tile.grid, in.cells);
        tile.for_cells([&](int64_t i, int64_t r, int64_t c) {
            grads[i] = Grad{};
            grads[i].y = get<V>(grad_out.at(r, c), block);
        });
        for_states(in.size, [&](auto together, int64_t n) {
            const int64_t entry = (group * in.size + n) * S::unit;
            StatesOfTile<together.value> states;
            restore(tile, block, n, states);
            recompute(tile, cells, entry, n, j, steps, states, local);
            recur(tile, cells, entry, n, j, steps, states, grads, local);
        });
        finish(tile, cells, block, j, grads, local);
    }

    template <int together>
    void restore(const Tile& tile, Block block, int64_t n, StatesOfTile<together>& states) const {
        for (int k = 0; k < together; ++k) {
            for (int64_t c = 0; c < tile.columns; ++c)
                states.at(-1, c).down[k] =
                    tile.band ? this->get_kept(this->upper(upper_, tile, tile.band - 1, c), block, n + k) : Number{};
            for (int64_t r = 0; r < tile.rows; ++r)
                states.at(r, -1).along[k] =
                    tile.strip ? this->get_kept(this->left(left_, tile, tile.strip - 1, r), block, n + k) : Number{};
        }
    }

    template <int together>
    void recompute(const Tile& tile, const Cells<S>& cells, int64_t entry, int64_t n, int64_t j, const Step<V>* steps,
                   StatesOfTile<together>& states, const Local& local) const {
        Number a[2][together];
        for (int s = 0; s < 2; ++s)
            for (int k = 0; k < together; ++k) a[s][k] = local.rate(s, j, n + k);
        for (int64_t r = 0; r < tile.rows; ++r) {
            const Projections<S> B(cells.B, tile.row + r, tile.column, entry);
            for (int64_t c = 0; c < tile.columns; ++c) {
                const Step<V> step = steps[r * tile_columns + c];
                for (int k = 0; k < together; ++k) {
                    Number arriving[2], state[2];
                    share(step.over, states.at(r, c - 1).along[k], states.at(r - 1, c).down[k], arriving);
                    for (int s = 0; s < 2; ++s) {
                        const Number decay = states.at(r, c).decay[s][k] = S::power(step.dt[s], a[s][k]);
                        state[s] = S::times(decay, arriving[s]) + step.du[s] * B.at(s, c, k);
                    }
                    states.at(r, c).along[k] = state[0];
                    states.at(r, c).down[k] = state[1];
                }
            }
        }
    }

    template <int together>
    void recur(const Tile& tile, const Cells<S>& cells, int64_t entry, int64_t n, int64_t j, const Step<V>* steps,
               const StatesOfTile<together>& states, Grad* grads, const Local& local) const {
        Number a[2][together], along[together], down[tile_columns][together], grad_A[2][together] = {};
        for (int k = 0; k < together; ++k) {
            for (int s = 0; s < 2; ++s) a[s][k] = local.rate(s, j, n + k);
            for (int64_t c = 0; c < tile.columns; ++c)
                down[c][k] = tile.last_band ? Number{} : local.down_at(j, tile.column + c)[n + k];
        }
        for (int64_t r = tile.rows - 1; r >= 0; --r) {
            for (int k = 0; k < together; ++k) along[k] = tile.last_strip ? Number{} : local.along_at(j, r)[n + k];
            const Projections<S> B(cells.B, tile.row + r, tile.column, entry);
            const Projections<S> C(cells.C, tile.row + r, tile.column, entry);
            for (int64_t c = tile.columns - 1; c >= 0; --c) {
                const int64_t i = r * tile_columns + c;
                const Step<V> step = steps[i];
                Grad grad = grads[i];
                for (int k = 0; k < together; ++k) {
                    const Number before = states.at(r, c - 1).along[k], above = states.at(r - 1, c).down[k];
                    const Number state[2] = {states.at(r, c).along[k], states.at(r, c).down[k]};
                    Number arriving[2], of_state[2] = {along[k], down[c][k]}, of_arriving[2];
                    share(step.over, before, above, arriving);
                    Sums& sums = local.sums[(n + k) * tile_cells + i];
                    for (int s = 0; s < 2; ++s) {
                        of_state[s] += grad.y * S::conj(C.at(s, c, k));
                        sums.C[s] += grad.y * S::conj(state[s]);
                        sums.B[s] += step.du[s] * of_state[s];
                        grad.du[s] += S::inner(B.at(s, c, k), of_state[s]);
                        of_arriving[s] = S::conj_times(states.at(r, c).decay[s][k], of_state[s]);
                        const Number of_exponent = S::conj_times(arriving[s], of_arriving[s]);
                        grad.dt[s] += S::inner(a[s][k], of_exponent);
                        grad_A[s][k] += step.dt[s] * of_exponent;
                    }
                    grad.over[0] += S::inner(above - before, of_arriving[0]);
                    grad.over[1] -= S::inner(above - before, of_arriving[1]);
                    const Number crossing = step.over[0] * of_arriving[0] - step.over[1] * of_arriving[1];
                    along[k] = of_arriving[0] - crossing;
                    down[c][k] = of_arriving[1] + crossing;
                }
                grads[i] = grad;
            }
            for (int k = 0; k < together; ++k) local.along_at(j, r)[n + k] = along[k];
        }
        for (int k = 0; k < together; ++k) {
            for (int64_t c = 0; c < tile.columns; ++c) local.down_at(j, tile.column + c)[n + k] = down[c][k];
            for (int s = 0; s < 2; ++s) local.grad_A[s * local.apart + j * in.size + n + k] += grad_A[s][k];
        }
    }

    void finish(const Tile& tile, const Cells<S>& cells, Block block, int64_t j, const Grad* grads, const Local& local) const {
        const auto of = [&](const CellArray& array, int s) { return plane_of<T>(array, s, tile.grid, in.cells); };
        const Plane<T> grad_u = of(scan_.grad_u, 0), grad_delta[2] = {of(scan_.grad_delta, 0), of(scan_.grad_delta, 1)};
        const Plane<T> grad_exchange[2] = {of(scan_.grad_exchange, 0), of(scan_.grad_exchange, 1)};
        const V skip = this->skip(block);
        V grad_D = S::part(local.grad_D[j], 0);
        tile.for_cells([&](int64_t i, int64_t r, int64_t c) {
            const V u = get<V>(cells.u.at(r, c), block);
            const Grad grad = grads[i];
            V of_u = this->D ? skip * grad.y : V{};
            for (int s = 0; s < 2; ++s) {
                put(grad_delta[s].at(r, c), block, grad.dt[s] * T(1 / log2_e) + grad.du[s] * u);
                if (in.exchange.data) put(grad_exchange[s].at(r, c), block, grad.over[s]);
                of_u += grad.du[s] * get<V>(cells.delta[s].at(r, c), block);
            }
            put(grad_u.at(r, c), block, of_u);
            grad_D += grad.y * u;
        });
        S::set_part(local.grad_D[j], 0, grad_D);
    }
};

template <template <class> class Pass, class Scan>
bool run(const Scan& scan) {
    switch (scan.in.dtype) {
        case Dtype::float32: return Pass<RealState<float>>(scan).run();
        case Dtype::float64: return Pass<RealState<double>>(scan).run();
        case Dtype::complex64: return Pass<ComplexState<float>>(scan).run();
        case Dtype::complex128: return Pass<ComplexState<double>>(scan).run();
    }
    return false;
}

}  // namespace

bool grid_selective_scan(const GridSelectiveScan& scan) { return run<Forward>(scan); }

bool grid_selective_scan_backward(const GridSelectiveScanBackward& scan) { return run<Backward>(scan); }

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
