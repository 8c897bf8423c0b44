// Layers where a lane of a vector is a thing of its own (a pixel, a place), so that norms and soft-max need
// no sums across vectors.
#pragma once
#include "vectors.h"

static inline int padded(int outputs) { return (outputs + kTile - 1) / kTile * kTile; }

static inline Vec larger(Vec a, Vec b) { return choose(a > b, a, b); }

// y = w x + b of V vectors: number k of vector v lies at x + k step + v apart; y likewise. w: blocks of kTile
// outputs, (inputs, kTile) each, then the biases. Returns where the weights end. Weights are fetched a block
// ahead: those of a large network don't stay in the caches of a core, and the core asks for them too late by itself.
template <int V, bool kRelu>
__attribute__((noinline)) static const float* dense(const float* x, int64_t step, int64_t apart, int inputs, const float* w,
                                                    int outputs, float* y, int64_t y_step, int64_t y_apart) {
    const float* b = w + (int64_t)inputs * outputs;
    for (int o = 0; o < outputs; o += kTile, w += (int64_t)inputs * kTile) {
        Vec sums[kTile][V];
#pragma GCC unroll 8
        for (int r = 0; r < kTile; r++)
#pragma GCC unroll 3
            for (int v = 0; v < V; v++) sums[r][v] = Vec{} + b[o + r];
        const float *from = x, *next = w + (int64_t)inputs * kTile;
        for (int k = 0; k < inputs; k++, from += step) {
            __builtin_prefetch(next + k * kTile);
            Vec value[V];
#pragma GCC unroll 3
            for (int v = 0; v < V; v++) value[v] = load(from + v * apart);
#pragma GCC unroll 8
            for (int r = 0; r < kTile; r++) {
                const float weight = w[k * kTile + r];
#pragma GCC unroll 3
                for (int v = 0; v < V; v++) sums[r][v] += weight * value[v];
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < kTile; r++)
#pragma GCC unroll 3
            for (int v = 0; v < V; v++)
                store(y + (int64_t)(o + r) * y_step + v * y_apart, kRelu ? larger(sums[r][v], Vec{}) : sums[r][v]);
    }
    return b + outputs;
}
