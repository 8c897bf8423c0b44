// mlp1 (layers with ReLU) and mean and spread over the pixels of a set, date by date, in the
// first-level cache. Plain C++ with the vectors of GCC and Clang; compiled for the processor at hand.
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 12;
#else
constexpr int kLanes = 8, kRows = 6;
#endif
constexpr int kBlock = 2 * kLanes;
typedef float Vec __attribute__((vector_size(kLanes * 4)));

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

// R rows of relu(a w + b), all columns.
template <int R>
static void rows(const float* a, int64_t stride, int inputs, const float* w, const float* b, int outputs, float* out) {
    for (int c = 0; c < outputs; c += kBlock) {
        Vec sums[R][2];
        const Vec b0 = load(b + c), b1 = load(b + c + kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) sums[r][0] = b0, sums[r][1] = b1;
        const float* column = w + c;
        for (int k = 0; k < inputs; k++, column += outputs) {
            const Vec w0 = load(column), w1 = load(column + kLanes);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                const float x = a[r * stride + k];
                sums[r][0] += x * w0;
                sums[r][1] += x * w1;
            }
        }
        const Vec zero = {};
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            store(out + r * outputs + c, sums[r][0] > zero ? sums[r][0] : zero);
            store(out + r * outputs + c + kLanes, sums[r][1] > zero ? sums[r][1] : zero);
        }
    }
}

static void layer(const float* a, int64_t stride, int64_t n, int inputs, const float* w, const float* b, int outputs,
                  float* out) {
    int64_t i = 0;
    for (; i + kRows <= n; i += kRows) rows<kRows>(a + i * stride, stride, inputs, w, b, outputs, out + i * outputs);
    for (; i + 4 <= n; i += 4) rows<4>(a + i * stride, stride, inputs, w, b, outputs, out + i * outputs);
    for (; i < n; i++) rows<1>(a + i * stride, stride, inputs, w, b, outputs, out + i * outputs);
}

// Sums over n rows of one block of columns, of x or of (x - mean)^2; in parts, so that rounding doesn't add up.
template <bool kSquared>
static void column_sums(const float* h, int64_t n, int width, const float* mean, float* out) {
    Vec total0 = {}, total1 = {}, m0 = {}, m1 = {};
    if (kSquared) m0 = load(mean), m1 = load(mean + kLanes);
    for (int64_t start = 0; start < n; start += 64) {
        const int64_t end = start + 64 < n ? start + 64 : n;
        Vec s0 = {}, s1 = {}, t0 = {}, t1 = {};
        int64_t i = start;
        for (; i + 2 <= end; i += 2) {
            Vec x0 = load(h + i * width) - m0, x1 = load(h + i * width + kLanes) - m1;
            Vec y0 = load(h + (i + 1) * width) - m0, y1 = load(h + (i + 1) * width + kLanes) - m1;
            s0 += kSquared ? x0 * x0 : x0;
            s1 += kSquared ? x1 * x1 : x1;
            t0 += kSquared ? y0 * y0 : y0;
            t1 += kSquared ? y1 * y1 : y1;
        }
        if (i < end) {
            Vec x0 = load(h + i * width) - m0, x1 = load(h + i * width + kLanes) - m1;
            s0 += kSquared ? x0 * x0 : x0;
            s1 += kSquared ? x1 * x1 : x1;
        }
        total0 += s0 + t0;
        total1 += s1 + t1;
    }
    store(out, total0);
    store(out + kLanes, total1);
}

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
    std::vector<float> buffer(2 * kPixels * widest + longest * last + longest * bands);
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
                    layer(a, a_stride, m, from, w, w + (int64_t)from * to, to, out);
                    a = out;
                    a_stride = to;
                    w += (int64_t)(from + 1) * to;
                }
            }
            for (int c = 0; c < last; c += kBlock) {
                column_sums<false>(h + c, n, last, nullptr, mean + c);
                for (int j = c; j < c + kBlock; j++) mean[j] /= (float)n;
                column_sums<true>(h + c, n, last, mean + c, spread + c);
            }
            mean += last;
            spread += last;
        }
    }
}
