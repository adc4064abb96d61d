// Where the cells of one grid lie in memory.
#pragma once

#include "kernels.h"

namespace graphseq {
namespace GRAPHSEQ_ISA {

// The cells of one grid in the order of the scan: on a reversed grid strides are negative.
template <class T>
struct Plane {
    T* first;
    int64_t row, column;

    Plane(T* array, const int64_t* strides, int64_t grid, const GridCells& cells, int unit)
        : first(array + grid * strides[0] * unit), row(strides[1] * unit), column(strides[2] * unit) {
        if (!cells.reversed) return;
        first += (cells.rows - 1) * row + (cells.columns - 1) * column;
        row = -row;
        column = -column;
    }

    T* at(int64_t r, int64_t c) const { return first + r * row + c * column; }
};

}  // namespace GRAPHSEQ_ISA
}  // namespace graphseq
