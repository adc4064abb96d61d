// How a segment is walked in pieces, each from a state that forward kept for backward.
#pragma once

#include "kernels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// At most steps_max consecutive steps of one segment in scan direction.
template <int64_t steps_max>
struct ChunkOf {
    int64_t row, direction, steps;
    int64_t checkpoint;  // row of the state before its first step, or -1 if the segment starts here

    ChunkOf(const Segments& segments, int64_t segment, int64_t index) {
        const int64_t begin = segments.ptr[segment], end = segments.ptr[segment + 1];
        const int64_t offset = index * steps_max, rest = end - begin - offset;
        direction = segments.reversed ? -1 : 1;
        row = segments.reversed ? end - 1 - offset : begin + offset;
        steps = rest < steps_max ? rest : steps_max;
        const int64_t before = segments.reversed ? segments.ptr[segments.count] - 1 - row : row;
        checkpoint = index ? before / steps_max - 1 : -1;
    }

    bool starts() const { return checkpoint < 0; }
    int64_t at(int64_t step) const { return row + direction * step; }

    static int64_t count(const Segments& segments, int64_t segment) {
        return ceil_div(segments.ptr[segment + 1] - segments.ptr[segment], steps_max);
    }
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
