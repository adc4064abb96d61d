// The library's C interface: the same operations, run by the best instruction set that this processor has.

#include "kernels.h"

#include <cstdlib>
#include <cstring>

namespace {

enum class Isa { baseline, avx2, avx512 };

constexpr const char* names[] = {"baseline", "avx2", "avx512"};

Isa best() {
#ifdef GRAPHSEQ_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return Isa::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
    return Isa::baseline;
}

// GRAPHSEQ_NATIVE_ISA asks for a lesser one, so that each can be tested on one machine.
Isa choose() {
    const Isa most = best();
    const char* const wanted = std::getenv("GRAPHSEQ_NATIVE_ISA");
    for (int lesser = 0; lesser < int(most); ++lesser)
        if (wanted && std::strcmp(wanted, names[lesser]) == 0) return Isa(lesser);
    return most;
}

const Isa isa = choose();

}  // namespace

#ifdef GRAPHSEQ_X86
#define GRAPHSEQ_RUN(operation, arguments)                                             \
    (isa == Isa::avx512 ? graphseq::avx512::operation(arguments)                       \
     : isa == Isa::avx2 ? graphseq::avx2::operation(arguments)                         \
                        : graphseq::baseline::operation(arguments))
#else
#define GRAPHSEQ_RUN(operation, arguments) graphseq::baseline::operation(arguments)
#endif

// Each operation returns 0, or 1 if memory ran out. What a caller takes for the size of its arguments can be checked.
#define GRAPHSEQ_EXPORT(operation, Arguments)                                                             \
    extern "C" __attribute__((visibility("default"))) int graphseq_##operation(const graphseq::Arguments* of) { \
        return GRAPHSEQ_RUN(operation, *of) ? 0 : 1;                                                      \
    }                                                                                                     \
    extern "C" __attribute__((visibility("default"))) int graphseq_##operation##_arguments() {            \
        return int(sizeof(graphseq::Arguments));                                                          \
    }

GRAPHSEQ_EXPORT(causal_conv, CausalConv)
GRAPHSEQ_EXPORT(causal_conv_backward, CausalConvBackward)
GRAPHSEQ_EXPORT(linear_scan, LinearScan)
GRAPHSEQ_EXPORT(linear_scan_backward, LinearScanBackward)
GRAPHSEQ_EXPORT(selective_scan, SelectiveScan)
GRAPHSEQ_EXPORT(selective_scan_backward, SelectiveScanBackward)
GRAPHSEQ_EXPORT(delta_scan, DeltaScan)
GRAPHSEQ_EXPORT(delta_scan_backward, DeltaScanBackward)
GRAPHSEQ_EXPORT(dag_scan, DagScan)
GRAPHSEQ_EXPORT(grid_scan, GridScan)
GRAPHSEQ_EXPORT(grid_scan_backward, GridScanBackward)
GRAPHSEQ_EXPORT(grid_selective_scan, GridSelectiveScan)
GRAPHSEQ_EXPORT(grid_selective_scan_backward, GridSelectiveScanBackward)
GRAPHSEQ_EXPORT(gated_grid_scan, GatedGridScan)
GRAPHSEQ_EXPORT(gated_grid_scan_backward, GatedGridScanBackward)
GRAPHSEQ_EXPORT(gated_dag_scan, GatedDagScan)
GRAPHSEQ_EXPORT(gated_dag_scan_backward, GatedDagScanBackward)

extern "C" __attribute__((visibility("default"))) int graphseq_checkpoint_steps() {
    return int(graphseq::checkpoint_steps);
}
extern "C" __attribute__((visibility("default"))) int graphseq_delta_checkpoint_tokens() {
    return int(graphseq::delta_checkpoint_tokens);
}
extern "C" __attribute__((visibility("default"))) int graphseq_tile_rows() { return int(graphseq::tile_rows); }
extern "C" __attribute__((visibility("default"))) int graphseq_tile_columns() { return int(graphseq::tile_columns); }

extern "C" __attribute__((visibility("default"))) const char* graphseq_isa() { return names[int(isa)]; }
