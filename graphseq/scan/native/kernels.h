// The kernels' arguments. Each source is compiled once for each instruction set, into a namespace of that name.
// Nothing here allocates, throws or knows Python: pointers, sizes and strides (in elements) only.
#pragma once

#include <cstdint>

namespace graphseq {

enum class Dtype : int32_t { float32, float64, complex64, complex128 };

// Segment s holds the rows ptr[s] … ptr[s + 1] - 1.
struct Segments {
    const int64_t* ptr;
    int64_t count;
    int32_t reversed;
    int32_t threads;
};

// h[t] = decay[t] h[t - 1] + source[t] over rows of heads · width channels; the channels of a head share one decay.
struct LinearScan {
    const void* decay;    // [T, heads], rows decay_stride apart
    const void* source;   // [T, heads, width], rows source_stride apart
    const void* initial;  // [segments, heads, width] or null
    void* states;         // [T, heads, width]
    int64_t heads, width, decay_stride, source_stride;
    Segments segments;
    Dtype dtype;
};

struct LinearScanBackward {
    const void* decay;
    const void* states;
    const void* initial;
    const void* grad;    // [T, heads, width], rows grad_stride apart
    void* grad_decay;    // [T, heads] or null
    void* grad_source;   // [T, heads, width]
    void* grad_initial;  // [segments, heads, width] or null
    int64_t heads, width, decay_stride, grad_stride;
    Segments segments;
    Dtype dtype;
};

// The inputs of the selective scan, in the notation of graphseq.scan.selective_scan. Rows are *_stride apart; all
// else is contiguous.
struct SelectiveInputs {
    const void* u;            // [T, channels]
    const void* delta;        // [T, channels]
    const void* A;            // [channels, size]
    const void* B;            // [T, groups, size]
    const void* C;            // [T, groups, size]
    const void* D;            // [channels] or null
    const void* z;            // [T, channels] or null
    const void* delta_bias;   // [channels] or null
    const void* initial;      // [segments, channels, size] or null
    int64_t channels, size, groups;
    int64_t u_stride, delta_stride, z_stride, B_stride, C_stride;
    Segments segments;
    Dtype dtype;
    int32_t softplus;
};

// Steps between two states that forward keeps for backward. The one before step k > 0 of a segment, k a multiple of
// this, lies in row (steps of the whole scan before it) / checkpoint_steps - 1, so that no two share a row.
constexpr int64_t checkpoint_steps = 32;

struct SelectiveScan {
    SelectiveInputs in;
    void* out;          // [T, channels]
    void* last;         // [segments, channels, size]
    void* checkpoints;  // [(T - 1) / checkpoint_steps, size, channels] or null
};

struct SelectiveScanBackward {
    SelectiveInputs in;
    const void* checkpoints;
    const void* grad_out;   // [T, channels]
    const void* grad_last;  // [segments, channels, size] or null
    void* grad_u;
    void* grad_delta;
    void* grad_A;
    void* grad_B;           // [T, groups, size]
    void* grad_C;
    void* grad_D;           // null where the input is
    void* grad_z;
    void* grad_delta_bias;
    void* grad_initial;
};

// The inputs of the delta-rule scan, in the notation of graphseq.scan.delta_scan. Rows are *_stride apart; all else is
// contiguous.
struct DeltaInputs {
    const void* q;          // [T, heads, key_size]
    const void* k;          // [T, heads, steps, key_size]
    const void* v;          // [T, heads, steps, value_size]
    const void* beta;       // [T, heads, steps]
    const void* log_decay;  // [T, heads] or null
    const void* initial;    // [segments, heads, key_size, value_size] or null
    int64_t heads, steps, key_size, value_size;
    int64_t q_stride, k_stride, v_stride, beta_stride, log_decay_stride;
    Segments segments;
    Dtype dtype;
};

// As checkpoint_steps, in tokens: a state is a matrix here, so a chunk costs less beside it.
constexpr int64_t delta_checkpoint_tokens = 16;

struct DeltaScan {
    DeltaInputs in;
    void* o;            // [T, heads, value_size]
    void* last;         // [segments, heads, key_size, value_size]
    void* residuals;    // v - S^T k of each step, [T, heads, steps, value_size], or null
    void* checkpoints;  // [(T - 1) / delta_checkpoint_tokens, heads, key_size, value_size] or null
};

struct DeltaScanBackward {
    DeltaInputs in;
    const void* residuals;
    const void* checkpoints;
    const void* grad_o;     // [T, heads, value_size]
    const void* grad_last;  // [segments, heads, key_size, value_size] or null
    void* grad_q;
    void* grad_k;
    void* grad_v;
    void* grad_beta;
    void* grad_log_decay;   // null where the input is
    void* grad_initial;
};

// A directed acyclic graph, with the states in an order in which senders come before their receivers.
struct DagLinks {
    const int64_t* order;   // [states]
    const int64_t* begin;   // [states + 1], the entries of the links that enter the state at each place of the order
    const int64_t* link;    // [count], the number of each entry's link
    const int64_t* sender;  // [count]
    const int64_t* part;    // [parts + 1], places of the order between which no link leads
    int64_t states, count, parts;
    int32_t reversed;       // scan against the links
};

// h[i] = source[i] + the sum of decay[l] h[j] over the links l = (j → i). With `seen`, the states of a scan in the other
// direction, this is that scan's gradient: decays are conjugated, and grad_decay[l] = conj(seen[i]) h[j].
struct DagScan {
    const void* decay;   // [links, heads], rows decay_stride apart
    const void* source;  // [states, heads, width], rows source_stride apart
    const void* seen;    // [states, heads, width] or null
    void* states;        // [states, heads, width]
    void* grad_decay;    // [links, heads] or null
    int64_t heads, width, decay_stride, source_stride;
    DagLinks links;
    int32_t threads;
    Dtype dtype;
};

// A batch of grids, each scanned from its first cell, or from its last one.
struct GridCells {
    int64_t batch, rows, columns;
    int32_t reversed;
    int32_t threads;
};

// State 0 arrives from the cell before in the row, state 1 from the one before in the column. Both leave a cell as its
// source plus the arriving states times the decays [arriving, leaving] of that cell.
struct GridScan {
    const void* decay;   // [2, 2, batch, rows, columns, heads], axes before heads decay_strides apart
    const void* source;  // [2, batch, rows, columns, heads, width], axes before heads source_strides apart
    void* states;        // [2, batch, rows, columns, heads, width]
    int64_t heads, width;
    int64_t decay_strides[5], source_strides[4];
    GridCells cells;
    Dtype dtype;
};

struct GridScanBackward {
    const void* decay;
    const void* states;
    const void* grad;   // [2, batch, rows, columns, heads, width], axes before heads grad_strides apart
    void* grad_decay;   // [2, 2, batch, rows, columns, heads]
    void* grad_source;  // [2, batch, rows, columns, heads, width]
    int64_t heads, width;
    int64_t decay_strides[5], grad_strides[4];
    GridCells cells;
    Dtype dtype;
};

// [2, batch, rows, columns, ...], one entry for each state of a cell, or without the first axis; these axes are strides
// apart, in elements, and what is behind them lies one after another.
struct CellArray {
    void* data;
    int64_t strides[4];
};

// The inputs of the selective scan on grids, in the notation of graphseq.scan.grid_selective_scan.
struct GridSelectiveInputs {
    CellArray u;         // channels
    CellArray delta;     // channels, for each state
    CellArray exchange;  // channels, for each state, or null
    CellArray B;         // [groups, size], for each state
    CellArray C;         // [groups, size], for each state
    const void* A;       // [2, channels, size]
    const void* D;       // [channels] or null
    int64_t channels, size, groups;
    GridCells cells;
    Dtype dtype;  // of A, B, C and the states; all else is real, of the same precision
};

// A grid is walked in tiles. Forward keeps what enters each of them for backward: the state along the column at each
// tile's upper border, and the one along the row at its left border, in scan order and without those of the grid itself.
constexpr int64_t tile_rows = 8, tile_columns = 8;

struct GridSelectiveScan {
    GridSelectiveInputs in;
    void* out;    // [batch, rows, columns, channels]
    void* upper;  // [batch, (rows - 1) / tile_rows, columns, size, real and imaginary part, channels] or null
    void* left;   // [batch, rows, (columns - 1) / tile_columns, size, real and imaginary part, channels] or null
};

struct GridSelectiveScanBackward {
    GridSelectiveInputs in;
    const void* upper;
    const void* left;
    CellArray grad_out;
    CellArray grad_u, grad_delta, grad_exchange;
    void* grad_A;
    void* grad_B;  // [2, batch, rows, columns, groups, size]
    void* grad_C;
    void* grad_D;
};

// The gated scan, in the notation of graphseq.scan.gated_scan: vectors at nodes [..., heads, size], whose elements are
// contiguous, and gates [..., heads] anywhere. Strides are those of the axes before the vectors' elements.

// A grid is scanned in one way or in four; in way w from the last row up if w & 1, from the last column if w & 2. What is
// read in all of them is added up.
struct GatedGrid {
    const void* query;       // [batch, rows, columns, heads, key_size]
    const void* key;
    const void* value;       // [batch, rows, columns, heads, value_size]
    const void* source;      // [ways, 2, batch, rows, columns, heads]
    const void* transition;  // [ways, 2, 2, batch, rows, columns, heads]
    const void* mark;        // [ways, 2, batch, rows, columns, heads]
    const void* direct;      // [batch, rows, columns, heads]
    int64_t query_strides[4], key_strides[4], value_strides[4], direct_strides[4];
    int64_t source_strides[6], transition_strides[7], mark_strides[6];
    int64_t ways, heads, key_size, value_size;
    GridCells cells;
    Dtype dtype;
};

struct GatedGridScan {
    GatedGrid in;
    void* read;  // [batch, rows, columns, heads, value_size]
};

// All gradients are contiguous; those of query, key and value are all null or none.
struct GatedGridScanBackward {
    GatedGrid in;
    const void* grad_read;
    void* grad_query;
    void* grad_key;
    void* grad_value;
    void* grad_source;
    void* grad_transition;
    void* grad_mark;
    void* grad_direct;
};

// The nodes of a directed acyclic graph, senders before receivers. Edges have slots, grouped by the node that they
// leave in that order.
struct DagNodes {
    const int64_t* node;        // [nodes]
    const int64_t* out_begin;   // [nodes + 1], the slots of the edges that leave the node at each place
    const int64_t* out_edge;    // [edges], the number of the edge of each slot
    const int64_t* in_begin;    // [nodes + 1], the entries of the edges that enter the node at each place
    const int64_t* in_slot;     // [edges], the slot of each entry
    const int64_t* link_begin;  // [nodes + 1], the entries of the links through the node at each place
    const int64_t* link;        // [links], the number of each, row by row for the edges that enter
    const int64_t* part;        // [parts + 1], places between which no edge leads
    int64_t nodes, edges, links, parts;
    int32_t reversed;           // scan against the edges
};

struct GatedDag {
    const void* query;       // [nodes, heads, key_size]
    const void* key;
    const void* value;       // [nodes, heads, value_size]
    const void* source;      // [edges, heads]
    const void* transition;  // [links, heads]
    const void* mark;        // [edges, heads]
    const void* direct;      // [nodes, heads]
    int64_t query_strides[2], key_strides[2], value_strides[2], direct_strides[2];
    int64_t source_strides[2], transition_strides[2], mark_strides[2];
    int64_t heads, key_size, value_size;
    DagNodes nodes;
    int32_t threads;
    Dtype dtype;
};

struct GatedDagScan {
    GatedDag in;
    void* read;  // [nodes, heads, value_size]
};

struct GatedDagScanBackward {
    GatedDag in;
    const void* grad_read;
    void* grad_query;
    void* grad_key;
    void* grad_value;
    void* grad_source;
    void* grad_transition;
    void* grad_mark;
    void* grad_direct;
};

// Depthwise convolution of each entry with those before it in its segment, then SiLU if asked.
struct CausalConvInputs {
    const void* x;     // [T, channels], rows x_stride apart
    const void* taps;  // [width, channels]: tap j multiplies the entry j steps back
    const void* bias;  // [channels] or null
    int64_t channels, width, x_stride;
    Segments segments;
    Dtype dtype;
    int32_t silu;
};

struct CausalConv {
    CausalConvInputs in;
    void* out;  // [T, channels]
};

struct CausalConvBackward {
    CausalConvInputs in;
    const void* grad;  // [T, channels], rows grad_stride apart
    int64_t grad_stride;
    void* grad_x;      // [T, channels]
    void* grad_taps;   // [width + 1, channels], the bias's last
};

// Each returns false if memory for its scratch ran out.
#define GRAPHSEQ_DECLARE(isa)                                  \
    namespace isa {                                            \
    bool causal_conv(const CausalConv&);                       \
    bool causal_conv_backward(const CausalConvBackward&);      \
    bool linear_scan(const LinearScan&);                       \
    bool linear_scan_backward(const LinearScanBackward&);      \
    bool selective_scan(const SelectiveScan&);                 \
    bool selective_scan_backward(const SelectiveScanBackward&); \
    bool delta_scan(const DeltaScan&);                         \
    bool delta_scan_backward(const DeltaScanBackward&);        \
    bool dag_scan(const DagScan&);                             \
    bool grid_scan(const GridScan&);                           \
    bool grid_scan_backward(const GridScanBackward&);          \
    bool grid_selective_scan(const GridSelectiveScan&);        \
    bool grid_selective_scan_backward(const GridSelectiveScanBackward&); \
    bool gated_grid_scan(const GatedGridScan&);                \
    bool gated_grid_scan_backward(const GatedGridScanBackward&); \
    bool gated_dag_scan(const GatedDagScan&);                  \
    bool gated_dag_scan_backward(const GatedDagScanBackward&); \
    }
GRAPHSEQ_DECLARE(baseline)
GRAPHSEQ_DECLARE(avx2)
GRAPHSEQ_DECLARE(avx512)
#undef GRAPHSEQ_DECLARE

}  // namespace graphseq
