// Vectors of GCC and Clang, layers on a few rows, sums of columns. Compiled for the processor at hand.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 12, kTile = 8;
#else
constexpr int kLanes = 8, kRows = 6, kTile = 4;
#endif
constexpr int kBlock = 2 * kLanes;

// What changes numbers: how wide sums are, whether products are rounded before they are added, the compiler.
#if defined(__AVX512F__)
#define INSTRUCTIONS "AVX-512"
#elif defined(__FMA__)
#define INSTRUCTIONS "AVX2 with FMA"
#elif defined(__ARM_FEATURE_FMA)
#define INSTRUCTIONS "ARM with FMA"
#else
#define INSTRUCTIONS "no FMA"
#endif
extern "C" const char* sits_instructions() { return INSTRUCTIONS " (" __VERSION__ ")"; }

typedef float Vec __attribute__((vector_size(kLanes * 4)));

static inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));

static inline Vec choose(Ints where, Vec yes, Vec no) { return where ? yes : no; }

// exp of numbers <= 0, to a few units in the last place; below -87 practically 0.
static inline Vec exp_below(Vec x) {
    const Vec low = Vec{} - 87.0f, magic = Vec{} + 12582912.0f;
    x = choose(x > low, x, low);
    const Vec n = (x * 1.44269504f + magic) - magic;  // rounded
    const Vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const Ints bits = (__builtin_convertvector(n, Ints) + 127) << 23;
    Vec power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// Numbers or pointers, set to zero, that start at a cache line, so that no vector crosses two. Without the
// C++ library: its parts that aren't headers would have to be compiled first (Zig does that, for a minute).
template <typename T>
class Array {
   public:
    explicit Array(int64_t size) : memory_(std::calloc(size * sizeof(T) + 64, 1)) {
        if (!memory_) std::abort();
        data_ = reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory_) + 63) / 64 * 64);
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { std::free(memory_); }
    T* data() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }

   private:
    void* memory_;
    T* data_;
};
typedef Array<float> Buffer;

// What becomes of a product: relu(sum), sum, or sum where the gate is positive (the gradient of a ReLU).
enum class After { kRelu, kNothing, kGate };

// R rows of a w + b, all columns. gate: as out.
template <int R, After kAfter>
static void rows(const float* a, int64_t stride, int inputs, const float* w, const float* b, int outputs,
                 const float* gate, float* out) {
    for (int c = 0; c < outputs; c += kBlock) {
        Vec sums[R][2];
        const Vec zero = {};
        const Vec b0 = b ? load(b + c) : zero, b1 = b ? load(b + c + kLanes) : zero;
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
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const Vec sum = sums[r][half];
                const int64_t at = (int64_t)r * outputs + c + half * kLanes;
                if (kAfter == After::kNothing)
                    store(out + at, sum);
                else
                    store(out + at, (kAfter == After::kRelu ? sum : load(gate + at)) > zero ? sum : zero);
            }
    }
}

template <After kAfter>
static void layer(const float* a, int64_t stride, int64_t n, int inputs, const float* w, const float* b, int outputs,
                  const float* gate, float* out) {
    int64_t i = 0;
    for (; i + kRows <= n; i += kRows)
        rows<kRows, kAfter>(a + i * stride, stride, inputs, w, b, outputs, gate + i * outputs, out + i * outputs);
    for (; i + 4 <= n; i += 4)
        rows<4, kAfter>(a + i * stride, stride, inputs, w, b, outputs, gate + i * outputs, out + i * outputs);
    for (; i < n; i++)
        rows<1, kAfter>(a + i * stride, stride, inputs, w, b, outputs, gate + i * outputs, out + i * outputs);
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

// Mean, and sum of squared differences from it, of each of `width` columns of n rows.
static inline void mean_and_spread(const float* h, int64_t n, int width, float* mean, float* spread) {
    for (int c = 0; c < width; c += kBlock) {
        column_sums<false>(h + c, n, width, nullptr, mean + c);
        for (int j = c; j < c + kBlock; j++) mean[j] /= (float)n;
        column_sums<true>(h + c, n, width, mean + c, spread + c);
    }
}
