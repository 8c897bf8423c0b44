// A training step of mlp1 (layers with ReLU) and pooling, on rows that lie one after the other, set by set; a block of
// sets at a time goes through all layers in the caches of a core. `packed.py` calls it.
//
// Everywhere: x (rows, bands); offsets: first row of each set, and behind the last; sets start to end are worked on;
// widths (layers + 1): bands, then the outputs of each layer, multiples of sits_block(); weights: for each layer
// (inputs, outputs), then its bias.
#include <algorithm>
#include <cmath>

#include "vectors.h"

// Rows of a block: whole sets, so more only where one set has more.
constexpr int64_t kBlockRows = 16 * kRows;

static int64_t padded(int64_t width) { return (width + kBlock - 1) / kBlock * kBlock; }

// End of the block that starts at set `i`.
static int64_t block_end(const int64_t* offsets, int64_t i, int64_t end) {
    int64_t j = i + 1;
    while (j < end && offsets[j + 1] - offsets[i] <= kBlockRows) j++;
    return j;
}

// The outputs of all layers for one block of rows after the other.
class Layers {
   public:
    Layers(const int64_t* offsets, int64_t start, int64_t end, const int64_t* widths, int64_t layers,
           const float* weights)
        : widths_(widths), layers_(layers), weights_(weights), most_(longest(offsets, start, end)),
          buffer_(most_ * all(widths, layers)), values_(layers + 1) {}

    // Most rows of a block.
    int64_t most() const { return most_; }

    // Rows (n, bands) through all layers; returns what the last one gives.
    const float* run(const float* x, int64_t n) {
        values_[0] = x;
        float* out = buffer_.data();
        const float* w = weights_;
        for (int64_t l = 0; l < layers_; l++) {
            const int from = (int)widths_[l], to = (int)widths_[l + 1];
            layer<After::kRelu>(values_[l], from, n, from, w, w + (int64_t)from * to, to, out, out);
            values_[l + 1] = out;
            out += most_ * to;
            w += (int64_t)(from + 1) * to;
        }
        return values_[layers_];
    }

    // Outputs of layer l of the last run; 0: its input.
    const float* values(int64_t l) const { return values_[l]; }

   private:
    static int64_t longest(const int64_t* offsets, int64_t start, int64_t end) {
        int64_t most = kBlockRows;
        for (int64_t i = start; i < end; i++) most = std::max(most, offsets[i + 1] - offsets[i]);
        return most;
    }

    static int64_t all(const int64_t* widths, int64_t layers) {
        int64_t sum = 0;
        for (int64_t l = 1; l <= layers; l++) sum += widths[l];
        return sum;
    }

    const int64_t* widths_;
    int64_t layers_;
    const float* weights_;
    int64_t most_;
    Buffer buffer_;
    Array<const float*> values_;
};

// Adds a' g of n rows to out (R, kBlock of `width` columns).
template <int R>
static void outer_tile(const float* a, int64_t inputs, const float* g, int64_t width, int64_t n, float* out) {
    Vec sums[R][2] = {};
    for (int64_t i = 0; i < n; i++, a += inputs, g += width) {
        const Vec g0 = load(g), g1 = load(g + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            sums[r][0] += a[r] * g0;
            sums[r][1] += a[r] * g1;
        }
    }
    for (int r = 0; r < R; r++, out += width) {
        store(out, load(out) + sums[r][0]);
        store(out + kLanes, load(out + kLanes) + sums[r][1]);
    }
}

// Adds a' g to out (inputs, width); a (n, stride) of which `inputs` columns count, g (n, width).
static void outer(const float* a, int64_t stride, int64_t inputs, const float* g, int64_t width, int64_t n,
                  float* out) {
    for (int64_t c = 0; c < width; c += kBlock) {
        int64_t k = 0;
        for (; k + kTile <= inputs; k += kTile) outer_tile<kTile>(a + k, stride, g + c, width, n, out + k * width + c);
        for (; k + 2 <= inputs; k += 2) outer_tile<2>(a + k, stride, g + c, width, n, out + k * width + c);
        for (; k < inputs; k++) outer_tile<1>(a + k, stride, g + c, width, n, out + k * width + c);
    }
}

// Adds the sums of the columns of g (n, width) to out.
static void add_sums(const float* g, int64_t n, int64_t width, float* out) {
    for (int64_t c = 0; c < width; c += kBlock) {
        float sums[kBlock];
        column_sums<false>(g + c, n, (int)width, nullptr, sums);
        for (int j = 0; j < kBlock; j++) out[c + j] += sums[j];
    }
}

extern "C" int sits_block() { return kBlock; }

// Of what the layers give, (n, width): adds the outer products to moments (width, padded width), the sums to the row
// behind. Without layers: of x itself.
extern "C" void sits_training_moments(const float* x, const int64_t* offsets, int64_t start, int64_t end, const int64_t* widths,
                             int64_t layers, const float* weights, float* moments) {
    Layers net(offsets, start, end, widths, layers, weights);
    const int64_t bands = widths[0], width = widths[layers], wide = padded(width);
    Buffer copy(layers ? 0 : net.most() * wide);
    for (int64_t i = start, next; i < end; i = next) {
        next = block_end(offsets, i, end);
        const int64_t n = offsets[next] - offsets[i];
        const float* h = net.run(x + offsets[i] * bands, n);
        if (!layers) {
            // Zeros are behind each row already.
            for (int64_t r = 0; r < n; r++) std::memcpy(copy.data() + r * wide, h + r * bands, bands * sizeof(float));
            h = copy.data();
        }
        outer(h, wide, width, h, wide, n, moments);
        add_sums(h, n, wide, moments + width * wide);
    }
}

// pooled (sets, 2 F): mean and standard deviation (divisor n - 1, at least 1) of what the layers give; zeros and
// sqrt(floor) for a set without rows.
extern "C" void sits_training_pool(const float* x, const int64_t* offsets, int64_t start, int64_t end, const int64_t* widths,
                          int64_t layers, const float* weights, float floor, float* pooled) {
    Layers net(offsets, start, end, widths, layers, weights);
    const int64_t width = widths[layers];
    for (int64_t i = start, next; i < end; i = next) {
        next = block_end(offsets, i, end);
        const float* h = net.run(x + offsets[i] * widths[0], offsets[next] - offsets[i]);
        for (int64_t set = i; set < next; set++) {
            const int64_t n = offsets[set + 1] - offsets[set];
            float *mean = pooled + set * 2 * width, *spread = mean + width;
            if (n)
                mean_and_spread(h, n, (int)width, mean, spread);
            else
                std::fill(mean, mean + 2 * width, 0.0f);
            const float divisor = (float)std::max<int64_t>(n - 1, 1);
            for (int64_t c = 0; c < width; c++) spread[c] = std::sqrt(spread[c] / divisor + floor);
            h += n * width;
        }
    }
}

// Gradient g (n, width) of what the last layer gives, from that of mean and deviation; 0 where h is 0 (the ReLU).
static void unpool(const float* h, int64_t n, int64_t width, const float* pooled, const float* grad, float* g) {
    const Vec zero = {};
    for (int64_t c = 0; c < width; c += kLanes) {
        Vec slope = zero;
        // A set of one pixel has no deviation, and none that could be changed.
        if (n > 1) slope = load(grad + width + c) / (load(pooled + width + c) * (float)(n - 1));
        // The difference first: where all pixels are equal the slope is beyond all measure.
        const Vec constant = load(grad + c) / (float)n, mean = load(pooled + c);
        for (int64_t r = c; r < n * width; r += width) {
            const Vec value = load(h + r);
            store(g + r, value > zero ? constant + slope * (value - mean) : zero);
        }
    }
}

// Adds the gradients of weights and biases to `out`, laid out as `weights`. What the last layer gives, h, has the
// gradient of `pooled` (sets, 2 F), `grad` (sets, 2 F), or, where pooled is null, h symmetric + constant.
// products: for each layer (outputs, inputs); the first layer's are not read.
extern "C" void sits_training_gradients(const float* x, const int64_t* offsets, int64_t start, int64_t end,
                               const int64_t* widths, int64_t layers, const float* weights, const float* products,
                               const float* pooled, const float* grad, const float* symmetric, const float* constant,
                               float* out) {
    Layers net(offsets, start, end, widths, layers, weights);
    const int64_t last = widths[layers];
    int64_t widest = 0, parameters = 0, all = 0;
    for (int64_t l = 1; l <= layers; l++) {
        widest = std::max(widest, widths[l]);
        parameters += (widths[l - 1] + 1) * widths[l];
        all += widths[l - 1] * widths[l];
    }
    Buffer buffer(2 * net.most() * widest);
    for (int64_t i = start, next; i < end; i = next) {
        next = block_end(offsets, i, end);
        const int64_t n = offsets[next] - offsets[i];
        const float* h = net.run(x + offsets[i] * widths[0], n);
        float *g = buffer.data(), *below = g + net.most() * widest;
        if (pooled)
            for (int64_t set = i, row = 0; set < next; set++) {
                const int64_t size = offsets[set + 1] - offsets[set], at = set * 2 * last;
                unpool(h + row * last, size, last, pooled + at, grad + at, g + row * last);
                row += size;
            }
        else
            layer<After::kGate>(h, last, n, (int)last, symmetric, constant, (int)last, h, g);
        float* to = out + parameters;
        const float* w = products + all;
        for (int64_t l = layers; l > 0; l--) {
            const int64_t from = widths[l - 1], width = widths[l];
            to -= (from + 1) * width;
            w -= from * width;
            outer(net.values(l - 1), from, from, g, width, n, to);
            add_sums(g, n, width, to + from * width);
            if (l > 1) {
                layer<After::kGate>(g, width, n, (int)width, w, nullptr, (int)from, net.values(l - 1), below);
                std::swap(g, below);
            }
        }
    }
}
