// A multiplied-out PSE+LTAE (folded.py) for single pixels, from numbers as read to probabilities.
// A lane of a vector is a pixel: three vectors of pixels go through all dates and layers in the first-level
// cache. The softmax over dates is summed up as dates come, relative to the largest score so far.
#include <algorithm>

#include "lanes.h"

constexpr int kVectors = 3, kWide = kVectors * kLanes;

// A layer of kWide pixels.
template <bool kRelu>
static const float* product(const float* x, int inputs, const float* w, int outputs, float* y) {
    return dense<kVectors, kRelu>(x, kWide, kLanes, inputs, w, outputs, y, kWide, kLanes);
}

// Layers with ReLU from x through the two buffers; returns where the last one is, and moves w behind them.
static const float* through(const float* x, int64_t layers, const int64_t* widths, const float*& w, float* const two[2]) {
    for (int64_t l = 0; l < layers; l++) {
        float* to = two[l % 2];
        w = product<true>(x, (int)widths[l], w, padded((int)widths[l + 1]), to);
        x = to;
    }
    return x;
}

struct Network {
    int64_t bands, heads, classes, before, after;
    const int64_t *widths, *decoder;  // widths[0] = bands, decoder[0] = widths[before]
    const float *weights, *calendar;
};

template <typename Number>
static void pixels(const Number* values, int64_t date_stride, int64_t band_stride, const uint8_t* valid, int64_t valid_stride,
                   int64_t n, int64_t dates, const float* scale, const float* offset, const Network& net, float* out) {
    const int width = (int)net.widths[net.before], heads = (int)net.heads, classes = (int)net.classes;
    const int channels = width / heads, bands = (int)net.bands;
    int64_t widest = padded(classes);
    for (int64_t l = 0; l <= net.before; l++) widest = std::max<int64_t>(widest, padded((int)net.widths[l]));
    for (int64_t l = 0; l <= net.after; l++) widest = std::max<int64_t>(widest, padded((int)net.decoder[l]));
    Buffer memory(kWide * (2 * widest + bands + width + padded(heads) + 2 * heads + 1));
    float* at = memory.data();
    const auto take = [&at](int64_t rows) {
        float* from = at;
        at += rows * kWide;
        return from;
    };
    float* const two[2] = {take(widest), take(widest)};
    float *x = take(bands), *sum = take(width), *scores = take(padded(heads)), *most = take(heads), *total = take(heads);
    float* seen = take(1);
    for (int64_t start = 0; start < n; start += kWide) {
        const int count = (int)std::min<int64_t>(kWide, n - start);
        for (int i = 0; i < width * kWide; i++) sum[i] = 0;
        for (int i = 0; i < heads * kWide; i++) most[i] = -1e30f, total[i] = 0;
        for (int64_t t = 0; t < dates; t++) {
            const uint8_t* ok = valid + t * valid_stride + start;
            int any = 0;
            for (int i = 0; i < count; i++) any |= ok[i];
            if (!any) continue;
            for (int i = 0; i < kWide; i++) seen[i] = 0;
            for (int i = 0; i < count; i++) seen[i] = ok[i] ? 1.0f : 0.0f;
            for (int c = 0; c < bands; c++) {
                const Number* from = values + t * date_stride + c * band_stride + start;
                const float a = scale[t * bands + c], b = offset[t * bands + c];
                float* to = x + (int64_t)c * kWide;
                for (int i = 0; i < count; i++) {
                    const float value = (float)from[i];
                    // What doesn't count may be anything; a NaN that does counts as 0.
                    to[i] = seen[i] > 0 ? (value == value ? value * a + b : b) : 0;
                }
                for (int i = count; i < kWide; i++) to[i] = 0;
            }
            const float* w = net.weights;
            float* h = const_cast<float*>(through(x, net.before, net.widths, w, two));
            const float* day = net.calendar + t * width;
            for (int j = 0; j < width; j++)
                for (int i = 0; i < kWide; i++) h[j * kWide + i] += day[j];
            product<false>(h, width, w, padded(heads), scores);
            for (int head = 0; head < heads; head++)
                for (int i = 0; i < kWide; i += kLanes) {
                    float *m = most + head * kWide + i, *s = total + head * kWide + i;
                    const Vec there = load(seen + i), before = load(m);
                    const Vec score = choose(there > 0.0f, load(scores + head * kWide + i), before);
                    const Vec apart = score - before;
                    const Ints higher = apart > 0.0f;
                    const Vec smaller = exp_below(choose(higher, -apart, apart)), one = Vec{} + 1.0f;
                    const Vec keep = choose(higher, smaller, one), add = choose(higher, one, smaller) * there;
                    store(m, choose(higher, score, before));
                    store(s, load(s) * keep + add);
                    for (int j = head * channels; j < (head + 1) * channels; j++) {
                        float* to = sum + (int64_t)j * kWide + i;
                        store(to, load(to) * keep + load(h + (int64_t)j * kWide + i) * add);
                    }
                }
        }
        for (int head = 0; head < heads; head++)
            for (int j = head * channels; j < (head + 1) * channels; j++)
                for (int i = 0; i < kWide; i++) {
                    const float s = total[head * kWide + i];
                    sum[j * kWide + i] = s > 0 ? sum[j * kWide + i] / s : 0;
                }
        const float* w = net.weights;
        for (int64_t l = 0; l < net.before; l++) w += (net.widths[l] + 1) * padded((int)net.widths[l + 1]);
        w += (int64_t)(width + 1) * padded(heads);
        const float* h = through(sum, net.after, net.decoder, w, two);
        float* p = h == two[0] ? two[1] : two[0];
        product<false>(h, (int)net.decoder[net.after], w, padded(classes), p);
        for (int i = 0; i < kWide; i += kLanes) {
            Vec top = load(p + i), all = {};
            for (int k = 1; k < classes; k++) {
                const Vec logit = load(p + k * kWide + i);
                top = choose(logit > top, logit, top);
            }
            for (int k = 0; k < classes; k++) {
                const Vec e = exp_below(load(p + k * kWide + i) - top);
                store(p + k * kWide + i, e);
                all += e;
            }
            // Zeros for a pixel without any date.
            const Vec factor = choose(load(total + i) > 0.0f, 1.0f / all, Vec{});
            for (int k = 0; k < classes; k++) store(p + k * kWide + i, load(p + k * kWide + i) * factor);
        }
        for (int i = 0; i < count; i++)
            for (int k = 0; k < classes; k++) out[(start + i) * classes + k] = p[k * kWide + i];
    }
}

extern "C" int sits_tile() { return kTile; }

// values (dates, bands, n) of kind 0 uint16, 1 int16, 2 float32, with strides in numbers and adjoining pixels;
// valid (dates, n) likewise; scale and offset (dates, bands); calendar (dates, width). shape: layers before the
// attention, their widths from the bands on; heads; layers after it, their widths from `width` on; classes.
// weights: of each layer, of the scores after the first ones, of the classes last: blocks of sits_tile() outputs
// (inputs, sits_tile()), then the biases, both filled up with zeros. out: (n, classes).
extern "C" void sits_pixels(const void* values, int64_t kind, int64_t date_stride, int64_t band_stride, const uint8_t* valid,
                            int64_t valid_stride, int64_t n, int64_t dates, const float* scale, const float* offset,
                            const float* calendar, const int64_t* shape, const float* weights, float* out) {
    Network net;
    net.before = shape[0];
    net.widths = shape + 1;
    net.bands = net.widths[0];
    net.heads = shape[net.before + 2];
    net.after = shape[net.before + 3];
    net.decoder = shape + net.before + 4;
    net.classes = net.decoder[net.after + 1];
    net.weights = weights;
    net.calendar = calendar;
    if (kind == 0)
        pixels((const uint16_t*)values, date_stride, band_stride, valid, valid_stride, n, dates, scale, offset, net, out);
    else if (kind == 1)
        pixels((const int16_t*)values, date_stride, band_stride, valid, valid_stride, n, dates, scale, offset, net, out);
    else
        pixels((const float*)values, date_stride, band_stride, valid, valid_stride, n, dates, scale, offset, net, out);
}
