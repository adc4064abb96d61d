// Selective scan (Gu & Dao 2023, Mamba, section 3), fused: softplus, recurrence, read-out, skip and gate in one pass.
//
// A vector holds as many channels. A segment is walked in chunks of `checkpoint_steps` steps, and within a chunk each
// state n runs over all steps before the next one does: its state and its row of A stay in registers, and what
// backward recomputes (the states and decays of one chunk, a few n at a time) fits into the first-level cache.

#include "elementary.h"
#include "kernels.h"
#include "spans.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

constexpr int64_t steps_max = checkpoint_steps;

// Segments fall into shares of about as many tokens. An item is one span of one group in one share.
struct Plan {
    int64_t shares;
    int64_t first_segment[max_items + 1];
    Spans spans;

    Plan(const SelectiveInputs& in, int64_t lanes) {
        const int64_t* ptr = in.segments.ptr;
        const int64_t segments = in.segments.count, tokens = ptr[segments];
        shares = segments < max_items ? segments : max_items;
        int64_t busy = 0;
        for (int64_t share = 0, segment = 0; share < shares; ++share) {
            first_segment[share] = segment;
            while (segment < segments && ptr[segment] * shares < (share + 1) * tokens) ++segment;
            busy += ptr[segment] > ptr[first_segment[share]];
        }
        first_segment[shares] = segments;
        spans = Spans(in.channels, in.groups, lanes, busy);
    }

    int64_t items() const { return shares * spans.groups * spans.count; }
};

struct Item {
    int64_t share, group, span, first_segment, end_segment, blocks;

    Item(const Plan& plan, int64_t item) : spans_(&plan.spans) {
        span = item % plan.spans.count;
        group = item / plan.spans.count % plan.spans.groups;
        share = item / plan.spans.count / plan.spans.groups;
        first_segment = plan.first_segment[share];
        end_segment = plan.first_segment[share + 1];
        blocks = plan.spans.blocks_of(span);
    }

    Block block(int64_t index) const { return spans_->block(group, span, index); }

private:
    const Spans* spans_;
};

using Chunk = ChunkOf<steps_max>;

// What forward and backward have in common: the inputs, typed, and how a block reads them.
template <class T>
struct Inputs {
    static constexpr int lanes = native_lanes<T>;
    using V = Vector<T, lanes>;

    explicit Inputs(const SelectiveInputs& in)
        : in(in),
          u(static_cast<const T*>(in.u)),
          delta(static_cast<const T*>(in.delta)),
          A(static_cast<const T*>(in.A)),
          B(static_cast<const T*>(in.B)),
          C(static_cast<const T*>(in.C)),
          D(static_cast<const T*>(in.D)),
          z(static_cast<const T*>(in.z)),
          delta_bias(static_cast<const T*>(in.delta_bias)),
          initial(static_cast<const T*>(in.initial)) {}

    const SelectiveInputs& in;
    const T *u, *delta, *A, *B, *C, *D, *z, *delta_bias, *initial;

    static V get(const T* row, Block block) { return GRAPHSEQ_ISA::get<V>(row, block); }
    static V get_or_zero(const T* row, Block block) { return row ? get(row, block) : V{}; }

    // A block's columns of [channels, size]; zeros if there is no such array.
    void get_states(const T* from, Block block, V* states) const {
        const int64_t size = in.size;
        for (int64_t n = 0; n < size; ++n) {
            T column[lanes] = {};
            if (from)
                for (int64_t lane = 0; lane < block.count; ++lane) column[lane] = from[(block.channel + lane) * size + n];
            states[n] = load<V>(column);
        }
    }
    void put_states(T* to, Block block, const V* states) const {
        const int64_t size = in.size;
        for (int64_t n = 0; n < size; ++n) {
            T column[lanes];
            store(column, states[n]);
            for (int64_t lane = 0; lane < block.count; ++lane) to[(block.channel + lane) * size + n] = column[lane];
        }
    }
    // A in units of the exponential's base 2.
    void get_A(Block block, V* a) const {
        get_states(A, block, a);
        for (int64_t n = 0; n < in.size; ++n) a[n] *= T(log2_e);
    }

    const T* states_of(const T* array, int64_t segment) const {
        return array ? array + segment * in.channels * in.size : nullptr;
    }
    T* states_of(T* array, int64_t segment) const { return array + segment * in.channels * in.size; }

    bool unfed(const Chunk& chunk) const { return chunk.starts() && !initial; }

    V raw_delta(int64_t row, Block block) const {
        const V x = get(delta + row * in.delta_stride, block);
        return delta_bias ? x + get(delta_bias, block) : x;
    }
    V step_size(V raw) const { return in.softplus ? softplus<T, lanes>(raw) : raw; }
};

template <class T>
class Forward : Inputs<T> {
    using Base = Inputs<T>;
    using V = typename Base::V;
    using Base::get, Base::in, Base::lanes;

public:
    explicit Forward(const SelectiveScan& scan)
        : Base(scan.in),
          out_(static_cast<T*>(scan.out)),
          last_(static_cast<T*>(scan.last)),
          checkpoints_(static_cast<T*>(scan.checkpoints)) {}

    bool run() const {
        const Plan plan(in, lanes);
        const int64_t updates = in.segments.ptr[in.segments.count] * in.channels * in.size;
        const int64_t threads = useful_threads(in.segments.threads, plan.items(), updates, least_updates);
        const int64_t per_thread = 2 * plan.spans.blocks * in.size;
        const Scratch<V> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(plan.items(), threads, [&](int64_t item, int64_t thread) {
            walk(Item(plan, item), scratch.data() + thread * per_thread);
        });
        return true;
    }

private:
    T *out_, *last_, *checkpoints_;

    void walk(const Item& item, V* scratch) const {
        V *const a = scratch, *const h = scratch + item.blocks * in.size;
        for (int64_t j = 0; j < item.blocks; ++j) this->get_A(item.block(j), a + j * in.size);
        for (int64_t segment = item.first_segment; segment < item.end_segment; ++segment) {
            for (int64_t j = 0; j < item.blocks; ++j)
                this->get_states(this->states_of(this->initial, segment), item.block(j), h + j * in.size);
            const int64_t chunks = Chunk::count(in.segments, segment);
            for (int64_t index = 0; index < chunks; ++index) {
                const Chunk chunk(in.segments, segment, index);
                for (int64_t j = 0; j < item.blocks; ++j) {
                    if (checkpoints_ && !chunk.starts()) keep(chunk, item.block(j), h + j * in.size);
                    advance(chunk, item.group, item.block(j), a + j * in.size, h + j * in.size);
                }
            }
            for (int64_t j = 0; j < item.blocks; ++j)
                this->put_states(this->states_of(last_, segment), item.block(j), h + j * in.size);
        }
    }

    void keep(const Chunk& chunk, Block block, const V* h) const {
        for (int64_t n = 0; n < in.size; ++n) put(checkpoints_ + (chunk.checkpoint * in.size + n) * in.channels, block, h[n]);
    }

    void advance(const Chunk& chunk, int64_t group, Block block, const V* a, V* h) const {
        V dt[steps_max], du[steps_max], y[steps_max];
        const V skip = Base::get_or_zero(this->D, block);
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const V u = get(this->u + chunk.at(t) * in.u_stride, block);
            dt[t] = this->step_size(this->raw_delta(chunk.at(t), block));
            du[t] = dt[t] * u;
            y[t] = this->D ? skip * u : V{};
        }
        for_states(in.size, [&](auto together, int64_t n) {
            recur<together.value>(chunk, group * in.size + n, a + n, dt, du, h + n, y);
        });
        for (int64_t t = 0; t < chunk.steps; ++t) {
            if (this->z) {
                const V z = get(this->z + chunk.at(t) * in.z_stride, block);
                y[t] *= z * logistic<T, lanes>(z);
            }
            put(out_ + chunk.at(t) * in.channels, block, y[t]);
        }
    }

    template <int together>
    void recur(const Chunk& chunk, int64_t column, const V* a, const V* dt, const V* du, V* state, V* y) const {
        const T *B = this->B + chunk.row * in.B_stride + column, *C = this->C + chunk.row * in.C_stride + column;
        const int64_t B_step = chunk.direction * in.B_stride, C_step = chunk.direction * in.C_stride;
        V h[together];
        for (int k = 0; k < together; ++k) h[k] = state[k];
        int64_t t = 0;
        if (this->unfed(chunk)) {
            // The first decay has no state to act on: it is never computed, so that its inf or NaN cannot leak.
            for (int k = 0; k < together; ++k) {
                h[k] = du[0] * B[k];
                y[0] += h[k] * C[k];
            }
            t = 1;
        }
        for (; t < chunk.steps; ++t) {
            V sum = y[t];
            for (int k = 0; k < together; ++k) {
                h[k] = exp2<T, lanes>(dt[t] * a[k]) * h[k] + du[t] * B[t * B_step + k];
                sum += h[k] * C[t * C_step + k];
            }
            y[t] = sum;
        }
        for (int k = 0; k < together; ++k) state[k] = h[k];
    }
};

// With x = delta[t] A[n] and g[t] the gradient of h[t], both summed over what follows t:
//   g[t] = grad_y[t] C[t] + e^x[t + 1] g[t + 1],   grad of x[t] = g[t] h[t - 1] e^x[t].
template <class T>
class Backward : Inputs<T> {
    using Base = Inputs<T>;
    using V = typename Base::V;
    using Base::get, Base::in, Base::lanes;

public:
    explicit Backward(const SelectiveScanBackward& scan)
        : Base(scan.in),
          scan_(scan),
          checkpoints_(static_cast<const T*>(scan.checkpoints)),
          grad_out_(static_cast<const T*>(scan.grad_out)),
          grad_last_(static_cast<const T*>(scan.grad_last)),
          grad_u_(static_cast<T*>(scan.grad_u)),
          grad_delta_(static_cast<T*>(scan.grad_delta)),
          grad_z_(static_cast<T*>(scan.grad_z)),
          grad_initial_(static_cast<T*>(scan.grad_initial)) {}

    bool run() const {
        const Plan plan(in, lanes);
        const int64_t tokens = in.segments.ptr[in.segments.count];
        const int64_t threads = useful_threads(in.segments.threads, plan.items(), tokens * in.channels * in.size, least_updates);

        // Sums over tokens have one addend for each share, sums over channels one for each span.
        const int64_t per_share = in.channels * (in.size + 2), per_span = tokens * in.groups * in.size;
        const Scratch<T> share_sums(plan.shares * per_share);
        const Scratch<T> span_sums(plan.spans.count > 1 ? 2 * plan.spans.count * per_span : 0);
        const int64_t per_thread = Local::vectors(plan.spans.blocks, in.size);
        const Scratch<V> scratch(threads * per_thread);
        if (!share_sums || !span_sums || !scratch) return false;

        T *grad_B = static_cast<T*>(scan_.grad_B), *grad_C = static_cast<T*>(scan_.grad_C);
        T* const spans_B = plan.spans.count > 1 ? span_sums.data() : grad_B;
        T* const spans_C = plan.spans.count > 1 ? span_sums.data() + plan.spans.count * per_span : grad_C;
        for_each(plan.items(), threads, [&](int64_t index, int64_t thread) {
            const Item item(plan, index);
            walk(item, Local(scratch.data() + thread * per_thread, plan.spans.blocks, in.size),
                 spans_B + item.span * per_span, spans_C + item.span * per_span,
                 share_sums.data() + item.share * per_share);
        });

        if (plan.spans.count > 1) {
            add_up(spans_B, plan.spans.count, per_span, per_span, threads, grad_B);
            add_up(spans_C, plan.spans.count, per_span, per_span, threads, grad_C);
        }
        const int64_t of_A = in.channels * in.size;
        add_up(share_sums.data(), plan.shares, per_share, of_A, threads, static_cast<T*>(scan_.grad_A));
        if (scan_.grad_D)
            add_up(share_sums.data() + of_A, plan.shares, per_share, in.channels, threads, static_cast<T*>(scan_.grad_D));
        if (scan_.grad_delta_bias)
            add_up(share_sums.data() + of_A + in.channels, plan.shares, per_share, in.channels, threads,
                   static_cast<T*>(scan_.grad_delta_bias));
        return true;
    }

private:
    const SelectiveScanBackward& scan_;
    const T *checkpoints_, *grad_out_, *grad_last_;
    T *grad_u_, *grad_delta_, *grad_z_, *grad_initial_;

    // A thread's scratch: per block of the item, and per state of the chunk.
    struct Local {
        V *a, *g, *grad_A, *grad_D, *grad_bias;  // [blocks, size] or [blocks]
        V *h, *grad_B, *grad_C;                  // [size], [size, steps_max]

        Local(V* memory, int64_t blocks, int64_t size) {
            const auto take = [&](int64_t count) { return (memory += count) - count; };
            a = take(blocks * size);
            g = take(blocks * size);
            grad_A = take(blocks * size);
            grad_D = take(blocks);
            grad_bias = take(blocks);
            h = take(size);
            grad_B = take(size * steps_max);
            grad_C = take(size * steps_max);
        }
        static int64_t vectors(int64_t blocks, int64_t size) {
            return 3 * blocks * size + 2 * blocks + size + 2 * size * steps_max;
        }
    };

    // What all states of a block share in a chunk.
    struct Steps {
        V dt[steps_max], u[steps_max], du[steps_max], y[steps_max], raw[steps_max];
        V grad_y[steps_max], grad_gate[steps_max], grad_dt[steps_max], grad_du[steps_max];
    };

    void walk(const Item& item, const Local& local, T* grad_B, T* grad_C, T* sums) const {
        const int64_t size = in.size;
        for (int64_t j = 0; j < item.blocks; ++j) {
            this->get_A(item.block(j), local.a + j * size);
            local.grad_D[j] = local.grad_bias[j] = V{};
            for (int64_t n = 0; n < size; ++n) local.grad_A[j * size + n] = V{};
        }
        for (int64_t segment = item.first_segment; segment < item.end_segment; ++segment) {
            for (int64_t j = 0; j < item.blocks; ++j)
                this->get_states(this->states_of(grad_last_, segment), item.block(j), local.g + j * size);
            for (int64_t index = Chunk::count(in.segments, segment) - 1; index >= 0; --index) {
                const Chunk chunk(in.segments, segment, index);
                for (int64_t i = 0; i < size * steps_max; ++i) local.grad_B[i] = local.grad_C[i] = V{};
                for (int64_t j = 0; j < item.blocks; ++j) retreat(chunk, segment, item.group, item.block(j), j, local);
                sum_lanes(chunk, item.group, local.grad_B, grad_B);
                sum_lanes(chunk, item.group, local.grad_C, grad_C);
            }
            if (grad_initial_)
                for (int64_t j = 0; j < item.blocks; ++j)
                    this->put_states(this->states_of(grad_initial_, segment), item.block(j), local.g + j * size);
        }
        T *const grad_D = sums + in.channels * size, *const grad_bias = grad_D + in.channels;
        for (int64_t j = 0; j < item.blocks; ++j) {
            this->put_states(sums, item.block(j), local.grad_A + j * size);
            put(grad_D, item.block(j), local.grad_D[j]);
            put(grad_bias, item.block(j), local.grad_bias[j]);
        }
    }

    void sum_lanes(const Chunk& chunk, int64_t group, const V* from, T* to) const {
        for (int64_t t = 0; t < chunk.steps; ++t)
            for (int64_t n = 0; n < in.size; ++n)
                fold<1>(from[n * steps_max + t], to + (chunk.at(t) * in.groups + group) * in.size + n);
    }

    void retreat(const Chunk& chunk, int64_t segment, int64_t group, Block block, int64_t j, const Local& local) const {
        Steps steps;
        prepare(chunk, block, steps);
        if (chunk.starts())
            this->get_states(this->states_of(this->initial, segment), block, local.h);
        else
            for (int64_t n = 0; n < in.size; ++n)
                local.h[n] = get(checkpoints_ + (chunk.checkpoint * in.size + n) * in.channels, block);
        for_states(in.size, [&](auto together, int64_t n) {
            recur<together.value>(chunk, group * in.size + n, n, j, steps, local);
        });
        finish(chunk, block, j, steps, local);
    }

    void prepare(const Chunk& chunk, Block block, Steps& steps) const {
        const V skip = Base::get_or_zero(this->D, block);
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const int64_t row = chunk.at(t);
            const V u = get(this->u + row * in.u_stride, block);
            steps.u[t] = u;
            steps.raw[t] = this->raw_delta(row, block);
            steps.dt[t] = this->step_size(steps.raw[t]);
            steps.du[t] = steps.dt[t] * u;
            steps.y[t] = this->D ? skip * u : V{};
            steps.grad_dt[t] = steps.grad_du[t] = V{};
            V grad = get(grad_out_ + row * in.channels, block);
            if (this->z) {
                const V z = get(this->z + row * in.z_stride, block), s = logistic<T, lanes>(z);
                steps.grad_gate[t] = grad * s * (T(1) + z * (T(1) - s));
                grad *= z * s;
            }
            steps.grad_y[t] = grad;
        }
    }

    template <int together>
    void recur(const Chunk& chunk, int64_t column, int64_t n, int64_t j, Steps& steps, const Local& local) const {
        const T *B = this->B + chunk.row * in.B_stride + column, *C = this->C + chunk.row * in.C_stride + column;
        const int64_t B_step = chunk.direction * in.B_stride, C_step = chunk.direction * in.C_stride;
        const bool unfed = this->unfed(chunk);
        V a[together], state[together], e[steps_max][together], h[steps_max + 1][together];
        for (int k = 0; k < together; ++k) {
            a[k] = local.a[j * in.size + n + k];
            h[0][k] = state[k] = local.h[n + k];
        }
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const V dt = steps.dt[t], du = steps.du[t];
            V y = steps.y[t];
            for (int k = 0; k < together; ++k) {
                const V decay = unfed && t == 0 ? V{} : exp2<T, lanes>(dt * a[k]);
                state[k] = decay * state[k] + du * B[t * B_step + k];
                y += state[k] * C[t * C_step + k];
                e[t][k] = decay;
                h[t + 1][k] = state[k];
            }
            steps.y[t] = y;
        }

        V *const grad_B = local.grad_B + n * steps_max, *const grad_C = local.grad_C + n * steps_max;
        V g[together], grad_a[together] = {};
        for (int k = 0; k < together; ++k) g[k] = local.g[j * in.size + n + k];
        for (int64_t t = chunk.steps - 1; t >= 0; --t) {
            const V grad_y = steps.grad_y[t], dt = steps.dt[t], du = steps.du[t];
            V grad_dt = steps.grad_dt[t], grad_du = steps.grad_du[t];
            for (int k = 0; k < together; ++k) {
                g[k] += grad_y * C[t * C_step + k];
                grad_C[k * steps_max + t] += grad_y * h[t + 1][k];
                grad_B[k * steps_max + t] += g[k] * du;
                grad_du += g[k] * B[t * B_step + k];
                g[k] *= e[t][k];
                // Nor has it a gradient: zero times a rate or a step that is infinite would be NaN.
                if (unfed && t == 0) continue;
                const V grad_x = g[k] * h[t][k];
                grad_dt += grad_x * a[k];
                grad_a[k] += grad_x * dt;
            }
            steps.grad_dt[t] = grad_dt;
            steps.grad_du[t] = grad_du;
        }
        for (int k = 0; k < together; ++k) {
            local.g[j * in.size + n + k] = g[k];
            local.grad_A[j * in.size + n + k] += grad_a[k];
        }
    }

    void finish(const Chunk& chunk, Block block, int64_t j, const Steps& steps, const Local& local) const {
        const V skip = Base::get_or_zero(this->D, block);
        V grad_D = local.grad_D[j], grad_bias = local.grad_bias[j];
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const int64_t row = chunk.at(t);
            // The states' sum was taken with A in units of log2(e).
            V grad_delta = steps.grad_dt[t] * T(1 / log2_e) + steps.grad_du[t] * steps.u[t];
            if (in.softplus) grad_delta *= softplus_derivative<T, lanes>(steps.raw[t]);
            V grad_u = steps.grad_du[t] * steps.dt[t];
            if (this->D) grad_u += skip * steps.grad_y[t];
            grad_D += steps.grad_y[t] * steps.u[t];
            grad_bias += grad_delta;
            put(grad_delta_ + row * in.channels, block, grad_delta);
            put(grad_u_ + row * in.channels, block, grad_u);
            if (this->z) put(grad_z_ + row * in.channels, block, steps.grad_gate[t] * steps.y[t]);
        }
        local.grad_D[j] = grad_D;
        local.grad_bias[j] = grad_bias;
    }
};

}  // namespace

bool selective_scan(const SelectiveScan& scan) {
    return scan.in.dtype == Dtype::float64 ? Forward<double>(scan).run() : Forward<float>(scan).run();
}

bool selective_scan_backward(const SelectiveScanBackward& scan) {
    return scan.in.dtype == Dtype::float64 ? Backward<double>(scan).run() : Backward<float>(scan).run();
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
