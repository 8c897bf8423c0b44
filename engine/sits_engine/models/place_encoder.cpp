// The satellite encoder of TimeSenCLIP, multiplied out (timesenclip/folded.py), up to its head. A lane of a
// vector is a place: kLanes places at a time go through all layers but the last one, three times as many through
// that, which knows one token. A token is a row of `dim` vectors.
#include <algorithm>

#include "lanes.h"

// Tokens that go through a layer together, rows and columns of a block of scores.
constexpr int kTogether = 3, kBlockOf = 4;

struct Network {
    int64_t steps, bands, dim, heads, hidden, layers, first, gelu;
    float eps;
    const float* weights;
};

template <int V>
struct Group {
    static constexpr int size = V;
};

// f(first, how many) for things 0..n: three at a time, and no single one where two can go together.
template <typename F>
static void in_groups(int64_t n, F f) {
    for (int64_t t = 0; t < n;) {
        const int64_t left = n - t;
        if (left == 1) {
            f(t, Group<1>{});
            t += 1;
        } else if (left == 2 || left == 4) {
            f(t, Group<2>{});
            t += 2;
        } else {
            f(t, Group<kTogether>{});
            t += kTogether;
        }
    }
}

struct Rows {
    const float* at;
    int64_t row, step;  // from row to row, from number to number of a row
};

template <int R, int C, typename Out>
static inline void block(const float* a, const Rows& as, const float* b, const Rows& bs, int64_t depth, int64_t i, int64_t j,
                         Out out) {
    Vec sums[R][C] = {};
    for (int64_t k = 0; k < depth; k++, a += as.step, b += bs.step) {
        Vec right[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) right[c] = load(b + c * bs.row);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const Vec left = load(a + r * as.row);
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) sums[r][c] += left * right[c];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) store(out(i + r, j + c), sums[r][c]);
}

// out(i, j) = sum over `depth` of a's row i times b's row j, lane by lane.
template <typename Out>
static void products(const Rows& a, int64_t rows, const Rows& b, int64_t columns, int64_t depth, Out out) {
    int64_t i = 0;
    const auto along = [&](auto group) {
        constexpr int R = decltype(group)::size;
        int64_t j = 0;
        for (; j + kBlockOf <= columns; j += kBlockOf)
            block<R, kBlockOf>(a.at + i * a.row, a, b.at + j * b.row, b, depth, i, j, out);
        for (; j < columns; j++) block<R, 1>(a.at + i * a.row, a, b.at + j * b.row, b, depth, i, j, out);
        i += R;
    };
    while (i + kBlockOf <= rows) along(Group<kBlockOf>{});
    while (i < rows) along(Group<1>{});
}

// Soft-max over n vectors; those far below (`far`: -2e30 or 0) get zero.
static void soft_max(float* x, int64_t n, float factor, const float* far) {
    const Vec lowest = Vec{} - 1e30f;
    Vec most = lowest, all = {};
    for (int64_t t = 0; t < n; t++) {
        const Vec value = load(x + t * kLanes) * factor + load(far + t * kLanes);
        store(x + t * kLanes, value);
        most = larger(most, value);
    }
    for (int64_t t = 0; t < n; t++) {
        const Vec value = load(x + t * kLanes), e = choose(value > lowest, exp_below(value - most), Vec{});
        store(x + t * kLanes, e);
        all += e;
    }
    const Vec share = 1.0f / all;
    for (int64_t t = 0; t < n; t++) store(x + t * kLanes, load(x + t * kLanes) * share);
}

// x = layer norm of x + y, both `dim` vectors.
static void add_and_norm(float* x, const float* y, int64_t dim, const float* w, float eps) {
    Vec sums[4] = {}, squares[4] = {};
    for (int64_t k = 0; k < dim; k++) {
        const Vec value = load(x + k * kLanes) + load(y + k * kLanes);
        store(x + k * kLanes, value);
        sums[k % 4] += value;
    }
    const Vec mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / (float)dim;
    for (int64_t k = 0; k < dim; k++) {
        const Vec apart = load(x + k * kLanes) - mean;
        squares[k % 4] += apart * apart;
    }
    const Vec variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) / (float)dim + eps;
    Vec scale;
    for (int i = 0; i < kLanes; i++) scale[i] = 1.0f / __builtin_sqrtf(variance[i]);
    for (int64_t k = 0; k < dim; k++)
        store(x + k * kLanes, (load(x + k * kLanes) - mean) * scale * w[k] + w[dim + k]);
}

// x (1 + erf(x / sqrt 2)) / 2; erf by Abramowitz and Stegun 7.1.26, within 1.5e-7.
static void gelu(float* x, int64_t n) {
    for (int64_t k = 0; k < n; k++, x += kLanes) {
        const Vec value = load(x), z = choose(value > Vec{}, value, -value) * 0.70710678f, t = 1.0f / (0.3275911f * z + 1.0f);
        const Vec p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
        const Vec above = 1.0f - p * exp_below(-z * z);
        store(x, 0.5f * value * (1.0f + choose(value > Vec{}, above, -above)));
    }
}

// Three times kLanes places at most.
class Encoder {
   public:
    explicit Encoder(const Network& network)
        : n(network),
          tokens(network.steps + 1),
          size(network.dim / network.heads),
          row(network.dim * kLanes),
          known_row(network.bands * kLanes),
          wide_row((3 * network.dim + 1) * kLanes),  // one more: rows don't begin at the same place of a page
          x(kTogether * tokens * row),
          far(kTogether * tokens * kLanes),
          known(tokens * known_row),
          wide(std::max<int64_t>(tokens, kTogether) * wide_row),
          attended(std::max<int64_t>(tokens, kTogether) * std::max(row, network.heads * (known_row + tokens * kLanes))),
          scores(std::max(tokens, network.heads) * tokens * kLanes),
          look(kTogether * network.heads * row),
          seen(kTogether * network.heads * row),
          room(kTogether * (row + network.hidden * kLanes)) {}

    // images (places, steps, bands), used (places, steps) or null, out (places, dim).
    void run(const float* images, const uint8_t* used, int64_t places, float* out) {
        const int64_t chunks = (places + kLanes - 1) / kLanes;
        const float* w = n.weights;
        for (int64_t c = 0; c < chunks; c++) {
            const int64_t start = c * kLanes;
            float *own = x.data() + c * tokens * row, *hide = far.data() + c * tokens * kLanes;
            take(images + start * n.steps * n.bands, used ? used + start * n.steps : nullptr, std::min<int64_t>(kLanes, places - start), hide);
            w = embed(n.weights, own);
            for (int64_t l = 0; l + 1 < n.layers; l++) w = layer(w, own, hide, n.first && l == 0);
        }
        in_groups(chunks, [&](int64_t c, auto group) {
            last<decltype(group)::size>(w, x.data() + c * tokens * row, far.data() + c * tokens * kLanes);
        });
        for (int64_t i = 0; i < places; i++)
            for (int64_t k = 0; k < n.dim; k++) out[i * n.dim + k] = x[i / kLanes * tokens * row + k * kLanes + i % kLanes];
    }

   private:
    const Network& n;
    const int64_t tokens, size, row, known_row, wide_row;
    const Buffer x, far, known, wide, attended, scores, look, seen, room;

    // Bands of a chunk, none for the class token, and what isn't to be seen. Lanes without a place get zeros.
    void take(const float* images, const uint8_t* used, int64_t places, float* hide) {
        std::fill(known.data(), known.data() + tokens * known_row, 0.0f);
        std::fill(hide, hide + tokens * kLanes, 0.0f);
        for (int64_t i = 0; i < places; i++)
            for (int64_t t = 0; t < n.steps; t++) {
                const int64_t from = i * n.steps + t;
                for (int64_t b = 0; b < n.bands; b++) known[(t + 1) * known_row + b * kLanes + i] = images[from * n.bands + b];
                if (used && !used[from]) hide[(t + 1) * kLanes + i] = -2e30f;
            }
    }

    // to = w known + a constant for each token.
    const float* of_bands(const float* w, int64_t outputs, float* to, int64_t to_row) {
        const float* after = w;
        in_groups(tokens, [&](int64_t t, auto group) {
            after = dense<decltype(group)::size, false>(known.data() + t * known_row, kLanes, known_row, (int)n.bands, w,
                                                        (int)outputs, to + t * to_row, kLanes, to_row);
        });
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t k = 0; k < outputs; k++) {
                float* number = to + t * to_row + k * kLanes;
                store(number, load(number) + after[t * outputs + k]);
            }
        return after + tokens * outputs;
    }

    const float* embed(const float* w, float* own) { return of_bands(w, n.dim, own, row); }

    const float* layer(const float* w, float* own, const float* hide, bool first) {
        const int64_t inputs = first ? n.heads * (n.bands + tokens) : n.dim;
        const float* after = w;
        if (first)
            after = of_bands(w, 2 * n.dim, wide.data(), wide_row);
        else
            in_groups(tokens, [&](int64_t t, auto group) {
                after = dense<decltype(group)::size, false>(own + t * row, kLanes, row, (int)n.dim, w, (int)(3 * n.dim),
                                                            wide.data() + t * wide_row, kLanes, wide_row);
            });
        for (int64_t h = 0; h < n.heads; h++) attend(h, hide, first, inputs * kLanes);
        w = after;
        in_groups(tokens, [&](int64_t t, auto group) {
            after = rest<decltype(group)::size>(attended.data() + t * inputs * kLanes, inputs, w, own + t * row, row);
        });
        return after;
    }

    // One head: what each token sees, to `attended`. In the first layer bands, and which tokens they are of.
    void attend(int64_t h, const float* hide, bool first, int64_t to_row) {
        const float* query = wide.data() + h * size * kLanes;
        const int64_t line = tokens * kLanes, width = first ? n.bands : size;
        products({query, wide_row, kLanes}, tokens, {query + row, wide_row, kLanes}, tokens, size,
                 [&](int64_t i, int64_t j) { return scores.data() + i * line + j * kLanes; });
        for (int64_t i = 0; i < tokens; i++) soft_max(scores.data() + i * line, tokens, factor(), hide);
        const Rows values = first ? Rows{known.data(), kLanes, known_row} : Rows{query + 2 * row, kLanes, wide_row};
        float* to = attended.data() + h * (first ? n.bands + tokens : size) * kLanes;
        products({scores.data(), line, kLanes}, tokens, values, width, tokens,
                 [&](int64_t i, int64_t c) { return to + i * to_row + c * kLanes; });
        if (first)
            for (int64_t i = 0; i < tokens; i++)
                std::copy(scores.data() + i * line, scores.data() + (i + 1) * line, to + i * to_row + n.bands * kLanes);
    }

    // The last layer, for the class tokens of V chunks: queries look at the tokens themselves.
    template <int V>
    void last(const float* w, float* own, const float* hide) {
        const int64_t chunk = tokens * row, line = tokens * kLanes, all = n.heads * row, head = size * kLanes;
        float* query = wide.data();
        w = dense<V, false>(own, kLanes, chunk, (int)n.dim, w, (int)n.dim, query, kLanes, row);
        for (int64_t h = 0; h < n.heads; h++)
            w = dense<V, false>(query + h * head, kLanes, row, (int)size, w, (int)n.dim, look.data() + h * row, kLanes, all);
        for (int v = 0; v < V; v++) {
            const float* tokens_of = own + v * chunk;
            products({look.data() + v * all, row, kLanes}, n.heads, {tokens_of, row, kLanes}, tokens, n.dim,
                     [&](int64_t h, int64_t t) { return scores.data() + h * line + t * kLanes; });
            for (int64_t h = 0; h < n.heads; h++) soft_max(scores.data() + h * line, tokens, factor(), hide + v * line);
            products({scores.data(), line, kLanes}, n.heads, {tokens_of, kLanes, row}, n.dim, tokens,
                     [&](int64_t h, int64_t c) { return seen.data() + v * all + h * row + c * kLanes; });
        }
        for (int64_t h = 0; h < n.heads; h++)
            w = dense<V, false>(seen.data() + h * row, kLanes, all, (int)n.dim, w, (int)size, attended.data() + h * head, kLanes, row);
        rest<V>(attended.data(), n.dim, w, own, chunk);
    }

    // The layer after its attention: V rows `heard` (inputs) to V rows of tokens. Returns where its weights end.
    template <int V>
    const float* rest(const float* heard, int64_t inputs, const float* w, float* own, int64_t own_row) {
        float *y = room.data(), *between = y + V * row;
        const int64_t between_row = n.hidden * kLanes;
        w = dense<V, false>(heard, kLanes, inputs * kLanes, (int)inputs, w, (int)n.dim, y, kLanes, row);
        for (int v = 0; v < V; v++) add_and_norm(own + v * own_row, y + v * row, n.dim, w, n.eps);
        w += 2 * n.dim;
        if (n.gelu) {
            w = dense<V, false>(own, kLanes, own_row, (int)n.dim, w, (int)n.hidden, between, kLanes, between_row);
            gelu(between, V * n.hidden);
        } else {
            w = dense<V, true>(own, kLanes, own_row, (int)n.dim, w, (int)n.hidden, between, kLanes, between_row);
        }
        w = dense<V, false>(between, kLanes, between_row, (int)n.hidden, w, (int)n.dim, y, kLanes, row);
        for (int v = 0; v < V; v++) add_and_norm(own + v * own_row, y + v * row, n.dim, w, n.eps);
        return w + 2 * n.dim;
    }

    float factor() const { return 1.0f / __builtin_sqrtf((float)size); }
};

extern "C" int sits_tile() { return kTile; }

// images (places, steps, bands) normalised; used (places, steps) or null: all. shape: steps, bands, dim, heads, hidden
// numbers of a layer, layers, 1 if the first one is multiplied out, 1 for GELU. dim, dim / heads and hidden are multiples of
// sits_tile(). weights, each product as `dense` reads them: the embedding, constants of the tokens (steps + 1, dim);
// layers but the last: queries, keys and values (first: queries and keys of the bands, constants of the tokens), then
// the rest, which is what was seen, norm, two products, norm; the last: queries, keys to tokens for each head, tokens
// to values for each head, the rest. out (places, dim): the class token.
extern "C" void sits_encode(const float* images, const uint8_t* used, int64_t places, const int64_t* shape, float eps,
                            const float* weights, float* out) {
    const Network n = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], shape[7], eps, weights};
    Encoder encoder(n);
    // equal runs: the last layer is slow for few places
    const int64_t most = kTogether * kLanes, runs = (places + most - 1) / most;
    const int64_t some = runs ? ((places + runs - 1) / runs + kLanes - 1) / kLanes * kLanes : most;
    for (int64_t i = 0; i < places; i += some)
        encoder.run(images + i * n.steps * n.bands, used ? used + i * n.steps : nullptr, std::min(some, places - i), out + i * n.dim);
}
