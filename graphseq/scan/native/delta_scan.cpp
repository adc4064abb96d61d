// Delta-rule scan (Schlag et al. 2021; Yang et al. 2024; Siems et al. 2025), step by step.
//
// A vector holds as many columns of the state (value channels). A head's state is walked in blocks of columns, which
// do not meet in forward, and a block, all its rows, stays in the first-level cache. One sweep over the rows writes
// what a step changes and reads at once what the next step needs.
//
// Backward goes chunk by chunk from the end, and twice through a chunk's steps. Against the scan, the gradient of the
// state gives what each step would have had written, and the gradient of its value; along the scan, the states, written
// again from the residuals that forward kept, complete the gradients of keys and queries. Neither needs more than one
// state at a time, but with a gate one factor of the gate's gradient has to wait for the other.

#include "chunk.h"
#include "kernels.h"
#include "parallel.h"
#include "vector.h"

#include <math.h>

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

constexpr int64_t tokens_max = delta_checkpoint_tokens;
using Chunk = ChunkOf<tokens_max>;
// Vectors of columns in a block: as many as leave registers for two sums and what is written.
constexpr int block_vectors = 4;
// How far ahead of its use a token is brought into the cache.
constexpr int64_t tokens_ahead = 2;
// State entries changed that are worth waking a thread for.
constexpr int64_t least_updates = 1 << 14;

float exponential(float x) { return expf(x); }
double exponential(double x) { return exp(x); }

// Some columns of one head's matrices.
struct Block {
    int64_t segment, head, column, count;
};

template <int n>
struct Count {
    static constexpr int value = n;
};

// What forward and backward have in common: the inputs, typed, and how a block reads and writes.
template <class T>
struct Inputs {
    static constexpr int lanes = native_lanes<T>;
    static constexpr int64_t block_columns = lanes * block_vectors;
    using V = Vector<T, lanes>;

    explicit Inputs(const DeltaInputs& in)
        : in(in),
          q(static_cast<const T*>(in.q)),
          k(static_cast<const T*>(in.k)),
          v(static_cast<const T*>(in.v)),
          beta(static_cast<const T*>(in.beta)),
          log_decay(static_cast<const T*>(in.log_decay)),
          initial(static_cast<const T*>(in.initial)),
          blocks(ceil_div(in.value_size, block_columns)) {}

    const DeltaInputs& in;
    const T *q, *k, *v, *beta, *log_decay, *initial;
    int64_t blocks;

    Block block(int64_t segment, int64_t head, int64_t index) const {
        const int64_t column = index * block_columns, rest = in.value_size - column;
        return {segment, head, column, rest < block_columns ? rest : block_columns};
    }
    int64_t threads(int64_t items) const {
        const int64_t updates = in.segments.ptr[in.segments.count] * in.heads * in.steps * in.key_size * in.value_size;
        return useful_threads(in.segments.threads, items, updates, least_updates);
    }

    // run(vectors) with as many vectors as the block fills, the last one perhaps in part.
    template <class Run>
    static void with_vectors(Block block, const Run& run) {
        switch (ceil_div(block.count, lanes)) {
            case 1: return run(Count<1>{});
            case 2: return run(Count<2>{});
            case 3: return run(Count<3>{});
            default: return run(Count<4>{});
        }
    }
    template <int W>
    static void get(const T* from, int64_t count, V* to) {
        for (int w = 0; w < W - 1; ++w) to[w] = load<V>(from + w * lanes);
        const int64_t rest = count - (W - 1) * lanes;
        to[W - 1] = rest == lanes ? load<V>(from + (W - 1) * lanes) : load_some<V>(from + (W - 1) * lanes, rest);
    }
    template <int W>
    static void put(T* to, int64_t count, const V* from) {
        for (int w = 0; w < W - 1; ++w) store(to + w * lanes, from[w]);
        const int64_t rest = count - (W - 1) * lanes;
        if (rest == lanes)
            store(to + (W - 1) * lanes, from[W - 1]);
        else
            store_some(to + (W - 1) * lanes, from[W - 1], rest);
    }
    // A block of matrices [count, heads, key_size, value_size], of matrix `number`; zeros if there are none.
    template <int W>
    void get_state(const T* matrices, int64_t number, Block block, V* state) const {
        if (!matrices) {
            for (int64_t i = 0; i < in.key_size * W; ++i) state[i] = V{};
            return;
        }
        const T* from = matrices + (number * in.heads + block.head) * in.key_size * in.value_size + block.column;
        for (int64_t i = 0; i < in.key_size; ++i) get<W>(from + i * in.value_size, block.count, state + i * W);
    }
    template <int W>
    void put_state(T* matrices, int64_t number, Block block, const V* state) const {
        T* to = matrices + (number * in.heads + block.head) * in.key_size * in.value_size + block.column;
        for (int64_t i = 0; i < in.key_size; ++i) put<W>(to + i * in.value_size, block.count, state + i * W);
    }

    const T* query(int64_t row, int64_t head) const { return q + row * in.q_stride + head * in.key_size; }
    const T* key(int64_t row, int64_t head, int64_t step) const {
        return k + row * in.k_stride + (head * in.steps + step) * in.key_size;
    }
    const T* value(int64_t row, Block block, int64_t step) const {
        return v + row * in.v_stride + (block.head * in.steps + step) * in.value_size + block.column;
    }
    T rate(int64_t row, int64_t head, int64_t step) const {
        return beta[row * in.beta_stride + head * in.steps + step];
    }
    // In the contiguous arrays [T, heads, steps, value_size] and [T, heads, value_size].
    int64_t of_step(int64_t row, Block block, int64_t step) const {
        return ((row * in.heads + block.head) * in.steps + step) * in.value_size + block.column;
    }
    int64_t of_token(int64_t row, Block block) const { return (row * in.heads + block.head) * in.value_size + block.column; }

    // A gate that has no state to act on is not read, so that its inf or NaN cannot leak.
    T decay(int64_t row, int64_t head, bool first) const {
        return !log_decay || (first && !initial) ? T(1) : exponential(log_decay[row * in.log_decay_stride + head]);
    }
};

template <class T>
class Forward : Inputs<T> {
    using Base = Inputs<T>;
    using V = typename Base::V;
    using Base::in, Base::lanes, Base::key;

public:
    explicit Forward(const DeltaScan& scan)
        : Base(scan.in),
          o_(static_cast<T*>(scan.o)),
          last_(static_cast<T*>(scan.last)),
          residuals_(static_cast<T*>(scan.residuals)),
          checkpoints_(static_cast<T*>(scan.checkpoints)) {}

    bool run() const {
        const int64_t items = in.segments.count * in.heads * this->blocks, threads = this->threads(items);
        const int64_t per_thread = in.key_size * block_vectors;
        const Scratch<V> scratch(threads * per_thread);
        if (!scratch) return false;
        for_each(items, threads, [&](int64_t item, int64_t thread) {
            const int64_t of_head = item / this->blocks;
            const Block block = this->block(of_head / in.heads, of_head % in.heads, item % this->blocks);
            V* const state = scratch.data() + thread * per_thread;
            this->with_vectors(block, [&](auto vectors) {
                if (this->log_decay)
                    walk<vectors.value, true>(block, state);
                else
                    walk<vectors.value, false>(block, state);
            });
        });
        return true;
    }

private:
    T *o_, *last_, *residuals_, *checkpoints_;

    template <int W, bool gated>
    void walk(Block block, V* state) const {
        const int64_t head = block.head, steps = in.steps, chunks = Chunk::count(in.segments, block.segment);
        this->template get_state<W>(this->initial, block.segment, block, state);
        V read[W] = {};
        if (this->initial && chunks) recall<W>(state, key(Chunk(in.segments, block.segment, 0).row, head, 0), read);
        for (int64_t index = 0; index < chunks; ++index) {
            const Chunk chunk(in.segments, block.segment, index);
            if (checkpoints_ && !chunk.starts())
                this->template put_state<W>(checkpoints_, chunk.checkpoint, block, state);
            for (int64_t t = 0; t < chunk.steps; ++t) {
                const int64_t row = chunk.at(t);
                fetch_token(row + tokens_ahead * chunk.direction, block);
                const bool ends = index == chunks - 1 && t == chunk.steps - 1;
                const T decay = this->decay(row, head, chunk.starts() && t == 0);
                for (int64_t step = 0; step < steps; ++step) {
                    const bool last = step == steps - 1;
                    const T* const k = key(row, head, step);
                    // What is read for a step that does not come is not used.
                    const T* const next = !last ? key(row, head, step + 1) : ends ? k : key(row + chunk.direction, head, 0);
                    V written[W];
                    write_of<W>(row, block, step, step ? T(1) : decay, read, written);
                    if (!last) {
                        if (gated && step == 0)
                            advance<W, true, false>(state, decay, k, written, next, nullptr, read, nullptr);
                        else
                            advance<W, false, false>(state, T(1), k, written, next, nullptr, read, nullptr);
                        continue;
                    }
                    V o[W];
                    const T* const q = this->query(row, head);
                    if (gated && step == 0)
                        advance<W, true, true>(state, decay, k, written, next, q, read, o);
                    else
                        advance<W, false, true>(state, T(1), k, written, next, q, read, o);
                    this->template put<W>(o_ + this->of_token(row, block), block.count, o);
                }
            }
        }
        this->template put_state<W>(last_, block.segment, block, state);
    }

    // A head's rows lie a stride apart, which the processor does not foresee.
    GRAPHSEQ_FETCH void fetch_token(int64_t row, Block block) const {
        if (row < 0 || row >= in.segments.ptr[in.segments.count]) return;
        fetch(this->query(row, block.head), in.key_size);
        fetch(key(row, block.head, 0), in.steps * in.key_size);
        for (int64_t step = 0; step < in.steps; ++step) fetch(this->value(row, block, step), block.count);
    }

    // beta (v - decay read), read = S^T k of the state before the gate.
    template <int W>
    void write_of(int64_t row, Block block, int64_t step, T decay, const V* read, V* written) const {
        const T rate = this->rate(row, block.head, step);
        V residual[W];
        this->template get<W>(this->value(row, block, step), block.count, residual);
        for (int w = 0; w < W; ++w) {
            residual[w] -= decay * read[w];
            written[w] = rate * residual[w];
        }
        if (residuals_) this->template put<W>(residuals_ + this->of_step(row, block, step), block.count, residual);
    }

    template <int W>
    void recall(const V* state, const T* k, V* read) const {
        V sum[W] = {};
        for (int64_t i = 0; i < in.key_size; ++i)
            for (int w = 0; w < W; ++w) sum[w] += k[i] * state[i * W + w];
        for (int w = 0; w < W; ++w) read[w] = sum[w];
    }

    // S <- decay S + k written^T, then read = S^T next and o = S^T q.
    template <int W, bool gated, bool queried>
    void advance(V* __restrict state, T decay, const T* k, const V* write, const T* next, const T* q, V* read, V* o) const {
        V written[W], sum[W] = {}, answer[W] = {};
        for (int w = 0; w < W; ++w) written[w] = write[w];
        for (int64_t i = 0; i < in.key_size; ++i) {
            const T k_i = k[i], next_i = next[i], q_i = queried ? q[i] : T(0);
            for (int w = 0; w < W; ++w) {
                V s = state[i * W + w];
                if (gated) s *= decay;
                s += k_i * written[w];
                state[i * W + w] = s;
                sum[w] += next_i * s;
                if (queried) answer[w] += q_i * s;
            }
        }
        for (int w = 0; w < W; ++w) {
            read[w] = sum[w];
            if (queried) o[w] = answer[w];
        }
    }
};

// With G the gradient of the state after a step, u = beta r what the step wrote, r its residual and S the state before:
//   grad_v = w = beta G^T k,  grad_beta = r · G^T k,  grad_k = G u - S w,  grad of S = G - k w^T.
// A token's gate e^g then acts on S and G alike: grad_g = <S, grad of S>; and its query adds q grad_o^T to G.
template <class T>
class Backward : Inputs<T> {
    using Base = Inputs<T>;
    using V = typename Base::V;
    using Base::in, Base::lanes;

public:
    explicit Backward(const DeltaScanBackward& scan)
        : Base(scan.in),
          rows_(ceil_div(in.key_size, lanes) * lanes),
          residuals_(static_cast<const T*>(scan.residuals)),
          checkpoints_(static_cast<const T*>(scan.checkpoints)),
          grad_o_(static_cast<const T*>(scan.grad_o)),
          grad_last_(static_cast<const T*>(scan.grad_last)),
          grad_q_(static_cast<T*>(scan.grad_q)),
          grad_k_(static_cast<T*>(scan.grad_k)),
          grad_v_(static_cast<T*>(scan.grad_v)),
          grad_beta_(static_cast<T*>(scan.grad_beta)),
          grad_log_decay_(static_cast<T*>(scan.grad_log_decay)),
          grad_initial_(static_cast<T*>(scan.grad_initial)) {}

    bool run() const {
        // What a head's blocks sum up to, they sum up in turn: a head is not cut.
        const int64_t items = in.segments.count * in.heads, threads = this->threads(items);
        const Local sizes(nullptr, *this);
        const Scratch<V> scratch(threads * sizes.vectors);
        if (!scratch) return false;
        for_each(items, threads, [&](int64_t item, int64_t thread) {
            walk(item / in.heads, item % in.heads, Local(scratch.data() + thread * sizes.vectors, *this));
        });
        return true;
    }

private:
    int64_t rows_;  // of a state, filled up with zeros to whole vectors, because sums over columns make vectors of rows
    const T *residuals_, *checkpoints_, *grad_o_, *grad_last_;
    T *grad_q_, *grad_k_, *grad_v_, *grad_beta_, *grad_log_decay_, *grad_initial_;

    // A thread's scratch.
    struct Local {
        V *state, *grad_state, *kept;                // [rows, W]; [blocks, rows, W]; [tokens, rows, W]
        V *written, *unwritten, *grad_o;             // [tokens, steps, W] twice; [tokens, W]
        T *k, *grad_k, *q, *grad_q;                  // [tokens, steps, rows] twice, [tokens, rows] twice
        T *grad_beta, *decay, *grad_log_decay;       // [tokens, steps], [tokens], [tokens]
        int64_t vectors = 0;

        Local(V* memory, const Backward& of) {
            const int64_t steps = tokens_max * of.in.steps, entries = of.rows_ * block_vectors;
            const auto take = [&](int64_t count) { return memory ? memory + (vectors += count) - count : (vectors += count, nullptr); };
            const auto take_scalars = [&](int64_t count) { return reinterpret_cast<T*>(take(ceil_div(count, lanes))); };
            state = take(entries);
            grad_state = take(of.blocks * entries);
            kept = take(of.log_decay ? tokens_max * entries : 0);
            written = take(steps * block_vectors);
            unwritten = take(steps * block_vectors);
            grad_o = take(tokens_max * block_vectors);
            k = take_scalars(steps * of.rows_);
            grad_k = take_scalars(steps * of.rows_);
            q = take_scalars(tokens_max * of.rows_);
            grad_q = take_scalars(tokens_max * of.rows_);
            grad_beta = take_scalars(steps);
            decay = take_scalars(tokens_max);
            grad_log_decay = take_scalars(tokens_max);
        }
    };

    void walk(int64_t segment, int64_t head, const Local& local) const {
        const auto grad_state = [&](int64_t index) { return local.grad_state + index * rows_ * block_vectors; };
        for (int64_t index = 0; index < this->blocks; ++index) {
            const Block block = this->block(segment, head, index);
            this->with_vectors(block, [&](auto vectors) {
                get_padded<vectors.value>(grad_last_, segment, block, grad_state(index));
            });
        }
        for (int64_t number = Chunk::count(in.segments, segment) - 1; number >= 0; --number) {
            const Chunk chunk(in.segments, segment, number);
            gather(chunk, head, local);
            for (int64_t index = 0; index < this->blocks; ++index) {
                const Block block = this->block(segment, head, index);
                this->with_vectors(block, [&](auto vectors) {
                    if (this->log_decay)
                        retreat<vectors.value, true>(chunk, block, grad_state(index), local);
                    else
                        retreat<vectors.value, false>(chunk, block, grad_state(index), local);
                });
            }
            scatter(chunk, head, local);
        }
        if (!grad_initial_) return;
        for (int64_t index = 0; index < this->blocks; ++index) {
            const Block block = this->block(segment, head, index);
            this->with_vectors(block, [&](auto vectors) {
                this->template put_state<vectors.value>(grad_initial_, segment, block, grad_state(index));
            });
        }
    }

    template <int W>
    void get_padded(const T* matrices, int64_t number, Block block, V* state) const {
        this->template get_state<W>(matrices, number, block, state);
        for (int64_t i = in.key_size * W; i < rows_ * W; ++i) state[i] = V{};
    }

    void gather(const Chunk& chunk, int64_t head, const Local& local) const {
        const auto pad = [&](const T* from, T* to) {
            for (int64_t i = 0; i < rows_; ++i) to[i] = i < in.key_size ? from[i] : T(0);
        };
        for (int64_t t = 0; t < chunk.steps; ++t) {
            pad(this->query(chunk.at(t), head), local.q + t * rows_);
            for (int64_t step = 0; step < in.steps; ++step)
                pad(this->key(chunk.at(t), head, step), local.k + (t * in.steps + step) * rows_);
            local.decay[t] = this->decay(chunk.at(t), head, chunk.starts() && t == 0);
            local.grad_log_decay[t] = T(0);
        }
        const int64_t steps = chunk.steps * in.steps;
        for (int64_t i = 0; i < chunk.steps * rows_; ++i) local.grad_q[i] = T(0);
        for (int64_t i = 0; i < steps * rows_; ++i) local.grad_k[i] = T(0);
        for (int64_t i = 0; i < steps; ++i) local.grad_beta[i] = T(0);
    }

    void scatter(const Chunk& chunk, int64_t head, const Local& local) const {
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const int64_t token = chunk.at(t) * in.heads + head;
            for (int64_t i = 0; i < in.key_size; ++i) grad_q_[token * in.key_size + i] = local.grad_q[t * rows_ + i];
            for (int64_t step = 0; step < in.steps; ++step) {
                const int64_t to = token * in.steps + step, from = t * in.steps + step;
                grad_beta_[to] = local.grad_beta[from];
                for (int64_t i = 0; i < in.key_size; ++i)
                    grad_k_[to * in.key_size + i] = local.grad_k[from * rows_ + i];
            }
            const bool unfed = chunk.starts() && t == 0 && !this->initial;
            if (grad_log_decay_) grad_log_decay_[token] = unfed ? T(0) : local.grad_log_decay[t];
        }
    }

    template <int W, bool gated>
    void retreat(const Chunk& chunk, Block block, V* grad_state, const Local& local) const {
        for (int64_t t = 0; t < chunk.steps; ++t) {
            const int64_t row = chunk.at(t);
            this->template get<W>(grad_o_ + this->of_token(row, block), block.count, local.grad_o + t * W);
            for (int64_t step = 0; step < in.steps; ++step) {
                V* const written = local.written + (t * in.steps + step) * W;
                this->template get<W>(residuals_ + this->of_step(row, block, step), block.count, written);
                for (int w = 0; w < W; ++w) written[w] *= this->rate(row, block.head, step);
            }
        }
        against<W, gated>(chunk, block, grad_state, local);
        if (chunk.starts())
            get_padded<W>(this->initial, block.segment, block, local.state);
        else
            get_padded<W>(checkpoints_, chunk.checkpoint, block, local.state);
        along<W, gated>(chunk, local);
    }

    template <int W, bool gated>
    void against(const Chunk& chunk, Block block, V* grad_state, const Local& local) const {
        const V nothing[W] = {};
        for (int64_t t = chunk.steps - 1; t >= 0; --t) {
            for (int64_t step = in.steps - 1; step >= 0; --step) {
                const int64_t at = t * in.steps + step;
                const bool ends = at == chunk.steps * in.steps - 1;
                const T *const k = local.k + at * rows_, *const later = ends ? k : k + rows_;
                const V *const written = local.written + at * W, *const undone = ends ? nothing : local.unwritten + (at + 1) * W;
                T* const grad_k = local.grad_k + at * rows_;
                V sum[W];
                if (step == in.steps - 1)
                    pull<W, gated, true>(grad_state, ends ? T(1) : local.decay[t + 1], later, undone,
                                         kept<W>(local, ends ? t : t + 1), local.q + t * rows_, local.grad_o + t * W, k,
                                         written, sum, grad_k);
                else
                    pull<W, false, false>(grad_state, T(1), later, undone, nullptr, nullptr, nullptr, k, written, sum, grad_k);
                take_back<W>(chunk.at(t), block, step, sum, local.unwritten + at * W, local.grad_beta + at);
            }
        }
        settle<W, gated>(grad_state, local.decay[0], local.k, local.unwritten, local.kept);
    }

    template <int W>
    V* kept(const Local& local, int64_t t) const {
        return local.kept + t * rows_ * W;
    }

    // sum = G^T k.
    template <int W>
    void take_back(int64_t row, Block block, int64_t step, const V* sum, V* unwritten, T* grad_beta) const {
        const T rate = this->rate(row, block.head, step);
        V residual[W], product = V{};
        this->template get<W>(residuals_ + this->of_step(row, block, step), block.count, residual);
        for (int w = 0; w < W; ++w) {
            product += residual[w] * sum[w];
            unwritten[w] = rate * sum[w];
        }
        T total;
        fold<1>(product, &total);
        *grad_beta += total;
        this->template put<W>(grad_v_ + this->of_step(row, block, step), block.count, unwritten);
    }

    // G <- G - later undone^T, which ends the step after this one; at a token's end then the gate of the next one, and
    // G <- G + q grad_o^T. Then sum = G^T k and grad_k += G written.
    template <int W, bool gated, bool queried>
    void pull(V* __restrict grad_state, T decay, const T* later, const V* undone, V* kept, const T* q, const V* grad_o, const T* k,
              const V* written, V* sum, T* grad_k) const {
        V total[W] = {};
        for (int64_t first = 0; first < rows_; first += lanes) {
            V products[lanes];
            for (int lane = 0; lane < lanes; lane += 2) {
                const int64_t i = first + lane;
                const T later_i[2] = {later[i], later[i + 1]}, k_i[2] = {k[i], k[i + 1]};
                const T q_i[2] = {queried ? q[i] : T(0), queried ? q[i + 1] : T(0)};
                V product[2] = {};
                for (int w = 0; w < W; ++w) {
                    const V undone_w = undone[w], grad_o_w = queried ? grad_o[w] : V{}, written_w = written[w];
                    for (int r = 0; r < 2; ++r) {
                        const int64_t at = (i + r) * W + w;
                        V g = grad_state[at] - later_i[r] * undone_w;
                        if (gated && queried) {
                            kept[at] = g;
                            g *= decay;
                        }
                        if (queried) g += q_i[r] * grad_o_w;
                        grad_state[at] = g;
                        total[w] += k_i[r] * g;
                        product[r] += g * written_w;
                    }
                }
                for (int r = 0; r < 2; ++r) products[lane + r] = product[r];
            }
            store(grad_k + first, load<V>(grad_k + first) + sum_each<lanes>(products));
        }
        for (int w = 0; w < W; ++w) sum[w] = total[w];
    }

    // The end of the chunk's first step.
    template <int W, bool gated>
    void settle(V* grad_state, T decay, const T* k, const V* undone, V* kept) const {
        for (int64_t i = 0; i < rows_; ++i)
            for (int w = 0; w < W; ++w) {
                V g = grad_state[i * W + w] - k[i] * undone[w];
                if (gated) {
                    kept[i * W + w] = g;
                    g *= decay;
                }
                grad_state[i * W + w] = g;
            }
    }

    template <int W, bool gated>
    void along(const Chunk& chunk, const Local& local) const {
        for (int64_t t = 0; t < chunk.steps; ++t)
            for (int64_t step = 0; step < in.steps; ++step) {
                const int64_t at = t * in.steps + step;
                const auto run = [&](auto gate, auto query) {
                    V total = V{};
                    rewrite<W, gate.value, query.value>(
                        local.state, local.decay[t], kept<W>(local, t), local.k + at * rows_, local.written + at * W,
                        local.unwritten + at * W, local.grad_o + t * W, local.grad_k + at * rows_,
                        local.grad_q + t * rows_, total);
                    if (gate.value) {
                        T sum;
                        fold<1>(total, &sum);
                        local.grad_log_decay[t] += sum;
                    }
                };
                const bool first = gated && step == 0, last = step == in.steps - 1;
                if (first)
                    last ? run(Flag<gated>{}, Flag<true>{}) : run(Flag<gated>{}, Flag<false>{});
                else
                    last ? run(Flag<false>{}, Flag<true>{}) : run(Flag<false>{}, Flag<false>{});
            }
    }

    template <bool flag>
    struct Flag {
        static constexpr bool value = flag;
    };

    // S <- decay S, then grad_k -= S unwritten and total += <S, kept>; S <- S + k written^T, then grad_q += S grad_o.
    template <int W, bool gated, bool queried>
    void rewrite(V* __restrict state, T decay, const V* kept, const T* k, const V* written, const V* unwritten, const V* grad_o,
                 T* grad_k, T* grad_q, V& total) const {
        V sum[W] = {};
        for (int64_t first = 0; first < rows_; first += lanes) {
            V of_k[lanes], of_q[lanes];
            for (int lane = 0; lane < lanes; lane += 2) {
                const int64_t i = first + lane;
                const T k_i[2] = {k[i], k[i + 1]};
                V less[2] = {}, answer[2] = {};
                for (int w = 0; w < W; ++w) {
                    const V written_w = written[w], unwritten_w = unwritten[w], grad_o_w = queried ? grad_o[w] : V{};
                    for (int r = 0; r < 2; ++r) {
                        const int64_t at = (i + r) * W + w;
                        V s = state[at];
                        if (gated) {
                            s *= decay;
                            sum[w] += s * kept[at];
                        }
                        less[r] += s * unwritten_w;
                        s += k_i[r] * written_w;
                        state[at] = s;
                        if (queried) answer[r] += s * grad_o_w;
                    }
                }
                for (int r = 0; r < 2; ++r) {
                    of_k[lane + r] = less[r];
                    of_q[lane + r] = answer[r];
                }
            }
            store(grad_k + first, load<V>(grad_k + first) - sum_each<lanes>(of_k));
            if (queried) store(grad_q + first, load<V>(grad_q + first) + sum_each<lanes>(of_q));
        }
        for (int w = 0; w < W; ++w) total += sum[w];
    }
};

}  // namespace

bool delta_scan(const DeltaScan& scan) {
    return scan.in.dtype == Dtype::float64 ? Forward<double>(scan).run() : Forward<float>(scan).run();
}

bool delta_scan_backward(const DeltaScanBackward& scan) {
    return scan.in.dtype == Dtype::float64 ? Backward<double>(scan).run() : Backward<float>(scan).run();
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
