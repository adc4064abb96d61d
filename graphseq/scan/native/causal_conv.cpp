// Depthwise causal convolution over segments, with SiLU behind it if asked: each array is read or written once.
//
// Entries are cut into shares, and these into pieces of one segment whose gradients fit into the first-level cache.

#include "channels.h"
#include "elementary.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {
namespace {

// Shares depend on shapes alone, so that the order in which the gradient of the taps is summed does not depend on the
// number of threads.
constexpr int64_t max_shares = 16;
constexpr int64_t piece_rows = 64;

// Rows first … last - 1, all of the segment begin … end - 1.
struct Piece {
    int64_t first, last, begin, end;
};

// run(piece) for all pieces of the rows first … last - 1.
template <class Run>
void for_pieces(const Segments& segments, int64_t first, int64_t last, const Run& run) {
    int64_t below = 0, above = segments.count;
    while (above - below > 1) {
        const int64_t middle = below + (above - below) / 2;
        (segments.ptr[middle] <= first ? below : above) = middle;
    }
    for (int64_t segment = below; first < last; ++segment) {
        const int64_t begin = segments.ptr[segment], end = segments.ptr[segment + 1];
        for (const int64_t until = end < last ? end : last; first < until;) {
            const int64_t next = first + piece_rows < until ? first + piece_rows : until;
            run(Piece{first, next, begin, end});
            first = next;
        }
    }
}

template <class T>
struct Convolution {
    const CausalConvInputs& in;
    const T *x, *taps, *bias;
    int64_t tokens, shares;

    explicit Convolution(const CausalConvInputs& in)
        : in(in),
          x(static_cast<const T*>(in.x)),
          taps(static_cast<const T*>(in.taps)),
          bias(static_cast<const T*>(in.bias)),
          tokens(in.segments.ptr[in.segments.count]),
          shares(useful_threads(max_shares, tokens, tokens * in.channels, least_elements)) {}

    int64_t threads() const { return in.segments.threads < shares ? in.segments.threads : shares; }
    int64_t first_row(int64_t share) const { return tokens * share / shares; }

    // Where the entry lies that is `back` steps before row t.
    int64_t before(int64_t t, int64_t back) const { return in.segments.reversed ? t + back : t - back; }
    // How many entries row t has from its segment's start on, itself included, and how many up to the end.
    int64_t past(const Piece& piece, int64_t t) const { return in.segments.reversed ? piece.end - t : t - piece.begin + 1; }
    int64_t future(const Piece& piece, int64_t t) const { return in.segments.reversed ? t - piece.begin + 1 : piece.end - t; }
    int64_t reach(int64_t entries) const { return entries < in.width ? entries : in.width; }

    // The convolution at row t, before SiLU.
    template <class V, int vectors>
    void at(const Piece& piece, int64_t t, int64_t channel, V* sum) const {
        constexpr int lanes = sizeof(V) / sizeof(T);
        for (int k = 0; k < vectors; ++k) sum[k] = bias ? load<V>(bias + channel + k * lanes) : V{};
        const int64_t reached = reach(past(piece, t));
        for (int64_t back = 0; back < reached; ++back) {
            const T* const row = x + before(t, back) * in.x_stride + channel;
            const T* const tap = taps + back * in.channels + channel;
            for (int k = 0; k < vectors; ++k) sum[k] += load<V>(tap + k * lanes) * load<V>(row + k * lanes);
        }
    }
};

template <class T>
bool forward(const CausalConv& conv) {
    const Convolution<T> of(conv.in);
    T* const out = static_cast<T*>(conv.out);
    for_each(of.shares, of.threads(), [&](int64_t share, int64_t) {
        for_pieces(conv.in.segments, of.first_row(share), of.first_row(share + 1), [&](const Piece& piece) {
            cover<1, native_lanes<T>, max_vectors>(conv.in.channels, 0, [&](auto width, int64_t channel) {
                constexpr int lanes = width.lanes, vectors = width.vectors;
                using V = Vector<T, lanes>;
                for (int64_t t = piece.first; t < piece.last; ++t) {
                    V value[vectors];
                    of.template at<V, vectors>(piece, t, channel, value);
                    for (int k = 0; k < vectors; ++k) {
                        if (conv.in.silu) value[k] *= logistic<T, lanes>(value[k]);
                        store(out + t * conv.in.channels + channel + k * lanes, value[k]);
                    }
                }
            });
        });
    });
    return true;
}

// A block of channels of one piece.
template <class T, int lanes, int vectors>
struct Backward {
    using V = Vector<T, lanes>;
    static constexpr int64_t count = lanes * vectors;

    const Convolution<T>& of;
    const Piece& piece;
    int64_t channel;
    const T* grad;
    int64_t grad_stride;
    T* before_silu;  // gradients there, of the rows of the piece and of those that its rows reach, `count` apart
    T* grad_x;
    T* grad_taps;  // of the share: added to

    void run() {
        const int64_t halo = of.in.width - 1;
        const bool reversed = of.in.segments.reversed;
        const int64_t from = reversed ? larger_of(piece.begin, piece.first - halo) : piece.first;
        const int64_t to = reversed ? piece.last : smaller_of(piece.end, piece.last + halo);
        for (int64_t t = from; t < to; ++t) through_silu(t, before_silu + (t - from) * count);
        const T* const own = before_silu + (piece.first - from) * count;
        for (int64_t t = piece.first; t < piece.last; ++t) of_input(t, own + (t - piece.first) * count);
        for (int64_t back = 0; back < of.in.width; ++back) of_tap(back, own);
        of_bias(own);
    }

private:
    static int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }
    static int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }

    void through_silu(int64_t t, T* to) const {
        const T* const row = grad + t * grad_stride + channel;
        if (!of.in.silu) {
            std::memcpy(to, row, count * sizeof(T));
            return;
        }
        V value[vectors];
        of.template at<V, vectors>(piece, t, channel, value);
        for (int k = 0; k < vectors; ++k) {
            const V gate = logistic<T, lanes>(value[k]);
            store(to + k * lanes, load<V>(row + k * lanes) * gate * (T(1) + value[k] * (T(1) - gate)));
        }
    }

    // Row t enters the entries after it.
    void of_input(int64_t t, const T* own) const {
        V sum[vectors] = {};
        const int64_t reached = of.reach(of.future(piece, t)), step = of.in.segments.reversed ? -count : count;
        for (int64_t ahead = 0; ahead < reached; ++ahead) {
            const T* const tap = of.taps + ahead * of.in.channels + channel;
            for (int k = 0; k < vectors; ++k)
                sum[k] += load<V>(tap + k * lanes) * load<V>(own + ahead * step + k * lanes);
        }
        for (int k = 0; k < vectors; ++k) store(grad_x + t * of.in.channels + channel + k * lanes, sum[k]);
    }

    void of_tap(int64_t back, const T* own) const {
        V sum[vectors] = {};
        for (int64_t t = piece.first; t < piece.last; ++t) {
            if (of.past(piece, t) <= back) continue;
            const T* const row = of.x + of.before(t, back) * of.in.x_stride + channel;
            for (int k = 0; k < vectors; ++k)
                sum[k] += load<V>(own + (t - piece.first) * count + k * lanes) * load<V>(row + k * lanes);
        }
        add(back, sum);
    }

    void of_bias(const T* own) const {
        V sum[vectors] = {};
        for (int64_t row = 0; row < piece.last - piece.first; ++row)
            for (int k = 0; k < vectors; ++k) sum[k] += load<V>(own + row * count + k * lanes);
        add(of.in.width, sum);
    }

    void add(int64_t row, const V* sum) const {
        T* const to = grad_taps + row * of.in.channels + channel;
        for (int k = 0; k < vectors; ++k) store(to + k * lanes, load<V>(to + k * lanes) + sum[k]);
    }
};

template <class T>
bool backward(const CausalConvBackward& conv) {
    const Convolution<T> of(conv.in);
    const int64_t parameters = (conv.in.width + 1) * conv.in.channels;
    constexpr int64_t block = native_lanes<T> * max_vectors;
    const int64_t rows = piece_rows + conv.in.width - 1;
    const Scratch<T> before_silu(of.threads() * rows * block), grad_taps(of.shares * parameters);
    if (!before_silu || !grad_taps) return false;
    std::memset(grad_taps.data(), 0, of.shares * parameters * sizeof(T));
    for_each(of.shares, of.threads(), [&](int64_t share, int64_t thread) {
        for_pieces(conv.in.segments, of.first_row(share), of.first_row(share + 1), [&](const Piece& piece) {
            cover<1, native_lanes<T>, max_vectors>(conv.in.channels, 0, [&](auto width, int64_t channel) {
                Backward<T, width.lanes, width.vectors>{
                    of,
                    piece,
                    channel,
                    static_cast<const T*>(conv.grad),
                    conv.grad_stride,
                    before_silu.data() + thread * rows * block,
                    static_cast<T*>(conv.grad_x),
                    grad_taps.data() + share * parameters,
                }
                    .run();
            });
        });
    });
    T* const total = static_cast<T*>(conv.grad_taps);
    std::memcpy(total, grad_taps.data(), parameters * sizeof(T));
    for (int64_t share = 1; share < of.shares; ++share)
        for (int64_t i = 0; i < parameters; ++i) total[i] += grad_taps.data()[share * parameters + i];
    return true;
}

}  // namespace

bool causal_conv(const CausalConv& conv) {
    return conv.in.dtype == Dtype::float32 ? forward<float>(conv) : forward<double>(conv);
}

bool causal_conv_backward(const CausalConvBackward& conv) {
    return conv.in.dtype == Dtype::float32 ? backward<float>(conv) : backward<double>(conv);
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
