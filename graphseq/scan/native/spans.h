// How the channels of a selective scan are cut: a group, whose channels share B and C, into spans, one of which a thread
// takes as a whole; a span into blocks, the lanes of one vector.
#pragma once

#include "chunk.h"
#include "parallel.h"
#include "vector.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// Items that sums over tokens and channels are cut into. It depends on shapes alone, so that the order of summation
// does not depend on the number of threads.
constexpr int64_t max_items = 16;
// Channels below which a further cut would spend more on adding up grad_B and grad_C than it gains.
constexpr int64_t least_channels = 32;
// State updates that are worth waking a thread for.
constexpr int64_t least_updates = 1 << 14;

// A vector of channels.
struct Block {
    int64_t channel, count;
};

struct Spans {
    int64_t channels, groups, group_channels, lanes;
    int64_t count;   // of a group
    int64_t blocks;  // of a span; the last one may have fewer

    Spans() = default;

    // As many as are worth it where the channels alone have `shares` items.
    Spans(int64_t channels, int64_t groups, int64_t lanes, int64_t shares)
        : channels(channels), groups(groups), group_channels(channels / groups), lanes(lanes) {
        const int64_t all_blocks = ceil_div(group_channels, lanes);
        count = max_items / ((shares ? shares : 1) * groups);
        const int64_t most = group_channels / least_channels;
        count = count < most ? count : most;
        count = count > 1 ? count : 1;
        blocks = ceil_div(all_blocks, count);
        count = blocks ? ceil_div(all_blocks, blocks) : 1;
    }

    int64_t blocks_of(int64_t span) const {
        const int64_t rest = ceil_div(group_channels, lanes) - span * blocks;
        return rest < blocks ? rest : blocks;
    }

    Block block(int64_t group, int64_t span, int64_t index) const {
        const int64_t within = (span * blocks + index) * lanes, rest = group_channels - within;
        return {group * group_channels + within, rest < lanes ? rest : lanes};
    }
};

template <class V, class T>
V get(const T* row, Block block) {
    constexpr int64_t lanes = sizeof(V) / sizeof(T);
    return block.count == lanes ? load<V>(row + block.channel) : load_some<V>(row + block.channel, block.count);
}

template <class V, class T>
void put(T* row, Block block, V value) {
    constexpr int64_t lanes = sizeof(V) / sizeof(T);
    if (block.count == lanes)
        store(row + block.channel, value);
    else
        store_some(row + block.channel, value, block.count);
}

template <int n>
struct Together {
    static constexpr int value = n;
};

// run(together, n) over all states, two at a time: what they share is loaded once.
template <class Run>
void for_states(int64_t size, const Run& run) {
    int64_t n = 0;
    for (; n + 2 <= size; n += 2) run(Together<2>{}, n);
    if (n < size) run(Together<1>{}, n);
}

// sum[i] = the sum of parts[k * stride + i] over k < count, in that order.
template <class T>
void add_up(const T* parts, int64_t count, int64_t stride, int64_t length, int64_t threads, T* sum) {
    constexpr int64_t tile = 4096;
    for_each(ceil_div(length, tile), threads, [&](int64_t index, int64_t) {
        const int64_t end = (index + 1) * tile < length ? (index + 1) * tile : length;
        for (int64_t i = index * tile; i < end; ++i) sum[i] = count ? parts[i] : T(0);
        for (int64_t part = 1; part < count; ++part)
            for (int64_t i = index * tile; i < end; ++i) sum[i] += parts[part * stride + i];
    });
}

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
