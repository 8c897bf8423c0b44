// Attention among few tokens, where PyTorch's form is made for many: a head of a sequence at a time, all of it
// in the first-level cache. A lane of a vector is a token for the scores, a channel for the result.
#include "vectors.h"

// Queries that go together, the fewer ones that are left over, and vectors of channels: what fits in registers.
constexpr int kQueries = kLanes / 2, kFewer = kLanes / 4, kChannels = 2;

struct Sizes {
    int64_t sequences, heads, queries, tokens, size, width;
};

// Where rows of a tensor begin, in numbers: of a sequence, a head in it, a row in that. Numbers of a row adjoin.
struct Strides {
    int64_t sequence, head, row;
};

// keys (size, room), a lane a token: filled up with zeros.
static void turned(const float* keys, int64_t row, int tokens, int size, int room, float* out) {
    for (int t = 0; t < tokens; t++)
        for (int i = 0; i < size; i++) out[(int64_t)i * room + t] = keys[t * row + i];
    for (int i = 0; i < size; i++)
        for (int t = tokens; t < room; t++) out[(int64_t)i * room + t] = 0;
}

// scores (R, room) of R queries.
template <int R>
static void scores(const float* queries, int64_t row, const float* keys, int size, int room, float* out) {
    for (int t = 0; t < room; t += kLanes) {
        Vec sums[R] = {};
        for (int i = 0; i < size; i++) {
            const Vec key = load(keys + (int64_t)i * room + t);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) sums[r] += queries[r * row + i] * key;
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) store(out + (int64_t)r * room + t, sums[r]);
    }
}

template <int N>
struct Part {
    typedef float Type __attribute__((vector_size(N * 4)));
    typedef int32_t Where __attribute__((vector_size(N * 4)));
};

// Sum, or the largest, of N numbers, half by half.
template <int N, bool kLargest>
static inline float reduced(typename Part<N>::Type x) {
    if constexpr (N == 2) {
        return kLargest ? (x[0] > x[1] ? x[0] : x[1]) : x[0] + x[1];
    } else {
        typename Part<N / 2>::Type half[2];
        std::memcpy(half, &x, sizeof x);
        const typename Part<N / 2>::Where first = half[0] > half[1];
        return reduced<N / 2, kLargest>(kLargest ? (first ? half[0] : half[1]) : half[0] + half[1]);
    }
}

// Soft-max over `room` tokens; those with a number below -1e30 in `far` get zero.
static void soft_max(float* x, float factor, const float* far, int room) {
    const Vec lowest = Vec{} - 1e30f;
    Vec most = lowest;
    for (int t = 0; t < room; t += kLanes) {
        const Vec value = load(x + t) * factor + load(far + t);
        store(x + t, value);
        most = choose(value > most, value, most);
    }
    const float top = reduced<kLanes, true>(most);
    Vec all = {};
    for (int t = 0; t < room; t += kLanes) {
        const Vec value = load(x + t), e = choose(value > lowest, exp_below(value - top), Vec{});
        store(x + t, e);
        all += e;
    }
    const float total = reduced<kLanes, false>(all);
    const Vec share = Vec{} + (total > 0 ? 1 / total : 0);
    for (int t = 0; t < room; t += kLanes) store(x + t, load(x + t) * share);
}

// out (R, V vectors) of a block of channels: weights (R, room) times values (tokens, ...).
template <int R, int V>
static void gather(const float* weights, int room, const float* values, int64_t row, int tokens, float* out, int64_t out_row) {
    Vec sums[R][V] = {};
    for (int t = 0; t < tokens; t++) {
        Vec value[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) value[v] = load(values + t * row + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) sums[r][v] += weights[(int64_t)r * room + t] * value[v];
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) store(out + r * out_row + v * kLanes, sums[r][v]);
}

template <int R>
static void attend(const float* queries, int64_t query_row, const float* keys, const float* values, int64_t value_row,
                   const float* far, const Sizes& n, int room, float factor, float* weights, float* out, int64_t out_row) {
    scores<R>(queries, query_row, keys, (int)n.size, room, weights);
    for (int r = 0; r < R; r++) soft_max(weights + (int64_t)r * room, factor, far, room);
    int64_t c = 0;
    for (; c + kChannels * kLanes <= n.width; c += kChannels * kLanes)
        gather<R, kChannels>(weights, room, values + c, value_row, (int)n.tokens, out + c, out_row);
    for (; c < n.width; c += kLanes) gather<R, 1>(weights, room, values + c, value_row, (int)n.tokens, out + c, out_row);
}

extern "C" int sits_lanes() { return kLanes; }

// q (.., queries, size), k (.., tokens, size), v and out (.., width), each with three strides; heads may share
// rows (stride 0). width: a multiple of sits_lanes(). hidden (sequences, tokens): what must not be seen, or null:
// a query that sees nothing gives zeros. Scores are multiplied by `factor`.
extern "C" void sits_attention(const float* q, const float* k, const float* v, float* out, const int64_t* sizes,
                               const int64_t* strides, const uint8_t* hidden, float factor) {
    const Sizes n = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
    Strides s[4];
    for (int i = 0; i < 4; i++) s[i] = {strides[3 * i], strides[3 * i + 1], strides[3 * i + 2]};
    const int room = (int)((n.tokens + kLanes - 1) / kLanes * kLanes);
    Buffer keys(n.size * room), weights(kQueries * room), far(room);
    for (int64_t b = 0; b < n.sequences; b++) {
        for (int t = 0; t < room; t++)
            far[t] = t >= n.tokens || (hidden && hidden[b * n.tokens + t]) ? -2e30f : 0;
        for (int64_t h = 0; h < n.heads; h++) {
            if (h == 0 || s[1].head)
                turned(k + b * s[1].sequence + h * s[1].head, s[1].row, (int)n.tokens, (int)n.size, room, keys.data());
            const float* values = v + b * s[2].sequence + h * s[2].head;
            const float* queries = q + b * s[0].sequence + h * s[0].head;
            float* to = out + b * s[3].sequence + h * s[3].head;
            const auto some = [&](auto attend, int64_t i) {
                attend(queries + i * s[0].row, s[0].row, keys.data(), values, s[2].row, far.data(), n, room, factor,
                       weights.data(), to + i * s[3].row, s[3].row);
            };
            int64_t i = 0;
            for (; i + kQueries <= n.queries; i += kQueries) some(attend<kQueries>, i);
            for (; i + kFewer <= n.queries; i += kFewer) some(attend<kFewer>, i);
            for (; i < n.queries; i++) some(attend<1>, i);
        }
    }
}
