// mlp1 (layers with ReLU) and mean and spread over the pixels of a set, date by date, in the
// first-level cache.
#include "vectors.h"

extern "C" int sits_block() { return kBlock; }

// values (P, dates, bands), present (P, dates), bounds (sets, 2), counts (sets, dates); widths (layers + 1): bands,
// then the outputs of each layer, multiples of sits_block(); weights: for each layer (inputs, outputs), then its bias.
// mean and spread: a row of the last width for each pair with a count, in order.
extern "C" void sits_pool(const float* values, const uint8_t* present, const int64_t* bounds, const int64_t* counts,
                          int64_t sets, int64_t dates, const int64_t* widths, int64_t layers, const float* weights,
                          float* mean, float* spread) {
    const int bands = (int)widths[0];
    int64_t longest = 0, widest = bands;
    for (int64_t i = 0; i < sets; i++)
        if (bounds[2 * i + 1] - bounds[2 * i] > longest) longest = bounds[2 * i + 1] - bounds[2 * i];
    for (int64_t l = 0; l <= layers; l++)
        if (widths[l] > widest) widest = widths[l];
    const int last = (int)widths[layers];
    constexpr int64_t kPixels = 8 * kRows;  // of the layers before the last
    Buffer buffer(2 * kPixels * widest + longest * last + longest * bands);
    float* two[2] = {buffer.data(), buffer.data() + kPixels * widest};
    float* h = buffer.data() + 2 * kPixels * widest;
    float* copied = h + longest * last;
    for (int64_t i = 0; i < sets; i++) {
        const int64_t first = bounds[2 * i], end = bounds[2 * i + 1], size = end - first;
        for (int64_t t = 0; t < dates; t++) {
            const int64_t n = counts[i * dates + t];
            if (n == 0) continue;
            const float* x = values + (first * dates + t) * bands;
            int64_t stride = dates * bands;
            if (n < size) {
                float* to = copied;
                for (int64_t p = first; p < end; p++)
                    if (present[p * dates + t]) {
                        std::memcpy(to, values + (p * dates + t) * bands, bands * sizeof(float));
                        to += bands;
                    }
                x = copied;
                stride = bands;
            }
            for (int64_t p = 0; p < n; p += kPixels) {
                const int64_t m = n - p < kPixels ? n - p : kPixels;
                const float* a = x + p * stride;
                int64_t a_stride = stride;
                const float* w = weights;
                for (int64_t l = 0; l < layers; l++) {
                    const int from = (int)widths[l], to = (int)widths[l + 1];
                    float* out = l == layers - 1 ? h + p * last : two[l % 2];
                    layer<After::kRelu>(a, a_stride, m, from, w, w + (int64_t)from * to, to, out, out);
                    a = out;
                    a_stride = to;
                    w += (int64_t)(from + 1) * to;
                }
            }
            mean_and_spread(h, n, last, mean, spread);
            mean += last;
            spread += last;
        }
    }
}
