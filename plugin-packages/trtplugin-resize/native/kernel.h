// The kernels: bicubic resizing of images, and nearest resizing of up to three axes.
#ifndef TRTPLUGIN_RESIZE_KERNEL_H
#define TRTPLUGIN_RESIZE_KERNEL_H

#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace resize {

// A thread makes a strip of the output: a few pixels side by side, which are stored at once, and so on row by row. What
// it needs to know along x it finds once; a row of the input that serves several rows of the output it reads once.
//
// Rows of a strip: a few where longer strips would not fill the GPU.
inline int32_t rows_of_strip(int64_t columns, int64_t height, int32_t most) {
  return columns * trtreg::ceil_div(height, most) < (1 << 17) ? 4 : most;
}

// -------------------------------------------------------------------------------------------------------- bicubic
constexpr int kStrips = 128;           // of a block
constexpr int kResident = 6;           // blocks in a multiprocessor: as registers allow
constexpr int kColumns = 4;            // of a strip
constexpr int kMaxRows = 64;           // of a strip
constexpr int64_t kLongest = 1 << 30;  // height or width, so that places along them are numbers of 32 bits

// Where along an axis an output lies: at pixel + part / below, a fraction. In float32, the coordinate itself would lose
// the more of the distance the larger the image is.
struct Place {
  int32_t pixel;
  uint32_t part;
};

struct Axis {
  int32_t in;
  int32_t out;
  uint32_t below;
  int64_t first;  // of output 0, in parts; one pixel up, so that it is not negative
  int64_t step;   // from one output to the next, in parts
  Place whole;    // the same in pixels and parts of one
  float inverse;  // of below

  Axis(int64_t size, int64_t to, bool align_corners) : in(static_cast<int32_t>(size)), out(static_cast<int32_t>(to)) {
    int64_t const parts = align_corners ? std::max<int64_t>(to - 1, 1) : 2 * to;
    below = static_cast<uint32_t>(parts);
    first = align_corners ? parts : size - to + parts;
    step = align_corners ? (to > 1 ? size - 1 : 0) : 2 * size;
    whole = {static_cast<int32_t>(step / parts), static_cast<uint32_t>(step % parts)};
    inverse = 1.f / static_cast<float>(parts);
  }

  __device__ Place place(int64_t at) const {
    trtreg::Quotient const q = trtreg::divide(first + at * step, below);
    return {static_cast<int32_t>(q.quotient) - 1, static_cast<uint32_t>(q.remainder)};
  }
  __device__ void advance(Place& at) const {
    at.pixel += whole.pixel;
    at.part += whole.part;
    if (at.part >= below) {
      at.part -= below;
      ++at.pixel;
    }
  }
  // Keys' cubic convolution (1981) with A = -0.75: of the pixel before the place's, of its own, and of the two behind.
  __device__ void weights(Place at, float (&weight)[4]) const {
    constexpr float kA = -0.75f;
    float const t = static_cast<float>(at.part) * inverse;
    float const u = 1 - t;
    weight[0] = kA * t * u * u;
    weight[1] = ((kA + 2) * t - (kA + 3)) * t * t + 1;
    weight[2] = ((kA + 2) * u - (kA + 3)) * u * u + 1;
    weight[3] = kA * u * t * t;
  }
};

template <typename T>
struct Bicubic {
  T const* x;
  T* y;
  int64_t planes;  // images times channels
  Axis down;
  Axis across;
  int32_t rows;    // of a strip
  int64_t groups;  // strips side by side, in one image
  int64_t blocks;  // for all strips side by side, in all images
  bool packs;      // a strip's pixels can be stored at once

  Bicubic(T const* from, T* to, int64_t count, Axis const& height, Axis const& width)
      : x(from), y(to), planes(count), down(height), across(width), groups(trtreg::ceil_div(across.out, kColumns)) {
    rows = rows_of_strip(planes * groups, down.out, kMaxRows);
    blocks = trtreg::ceil_div(planes * groups, kStrips);
    packs = across.out % kColumns == 0 && trtreg::aligned(sizeof(T) * kColumns, y);
  }
  __host__ __device__ int64_t tiles() const { return blocks * ((down.out + rows - 1) / rows); }
};

__device__ inline int32_t inside(int32_t at, int32_t size) { return trtreg::clamp<int32_t>(at, 0, size - 1); }

// Stores what is not read again: caches let go of it first.
template <typename T>
__device__ void stream(T* address, trtreg::Pack<T, kColumns> const& pack) {
#ifdef TRTREG_ON_HOST
  trtreg::store(address, pack);
#else
  using Word = std::conditional_t<sizeof(pack) == 16, uint4, uint2>;
  __stcs(reinterpret_cast<Word*>(address), reinterpret_cast<Word const&>(pack));
#endif
}

// What a row of the output needs to know.
struct alignas(16) Line {
  float weight[4];
  int32_t pixel;
};

// What a strip needs to know along x: the first of four pixels for each column, and their weights.
template <typename T>
struct Strip {
  T const* x;  // its plane
  T* y;        // its first pixel
  int32_t pixels[kColumns];
  float weight[kColumns][4];
  int32_t columns;  // that are in the image; beyond the last one it is the last one again, to no avail
};

// Makes a strip of `rows` rows. Where its columns are `kClose` to one another, five pixels of a row serve all of them,
// and are read before the rows of the output that come first: behind their stores they would wait.
template <bool kClose, typename T>
__device__ void make(Bicubic<T> const& p, Strip<T> const& strip, Line const* lines, int32_t rows) {
  constexpr int kRead = kClose ? 5 : kColumns * 4;
  struct Pixels {
    T values[kRead];
  };
  bool const borders = strip.pixels[0] < 0 || strip.pixels[kColumns - 1] + 4 > p.across.in ||
                       (kClose && strip.pixels[0] + 5 > p.across.in);
  auto const read = [&](int32_t row) {
    T const* const from = strip.x + int64_t{inside(row, p.down.in)} * p.across.in;
    Pixels pixels;
    if (borders) {
#pragma unroll
      for (int i = 0; i < kRead; ++i) {
        int32_t const at = kClose ? strip.pixels[0] + i : strip.pixels[i / 4] + i % 4;
        pixels.values[i] = __ldg(from + inside(at, p.across.in));
      }
    } else {  // those that lie side by side have one address, if only the compiler cannot join both paths' loads
#pragma unroll
      for (int i = 0; i < kRead; ++i) {
        pixels.values[i] = kClose ? (from + strip.pixels[0])[i] : (from + strip.pixels[i / 4])[i % 4];
      }
    }
    return pixels;
  };

  float window[kColumns][4];  // the four rows around the place, filtered along x
  auto const push = [&](Pixels const& pixels) {
    float wide[kRead];
#pragma unroll
    for (int i = 0; i < kRead; ++i) wide[i] = trtreg::to_float(pixels.values[i]);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      float sum = 0;
#pragma unroll
      for (int tap = 0; tap < 4; ++tap) {
        float const second = wide[kClose ? tap + 1 : c * 4 + tap];
        sum += strip.weight[c][tap] * (kClose && strip.pixels[c] == strip.pixels[0] ? wide[tap] : second);
      }
#pragma unroll
      for (int tap = 0; tap < 3; ++tap) window[c][tap] = window[c][tap + 1];
      window[c][3] = sum;
    }
  };

  int32_t next = lines[0].pixel - 1;  // the row that comes into the window next
  Pixels ahead;                       // which is read already, if close
  if constexpr (kClose) {
    Pixels first[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) first[i] = read(next + i);
#pragma unroll
    for (int i = 0; i < 4; ++i) push(first[i]);
    next += 4;
    ahead = read(next);
  }
  T* y = strip.y;
  for (int32_t row = 0; row < rows; ++row, y += p.across.out) {
    Line const line = lines[row];
    if (next < line.pixel - 1) {
      next = line.pixel - 1;
      if constexpr (kClose) ahead = read(next);
    }
    for (; next <= line.pixel + 2; ++next) {
      if constexpr (kClose) {
        Pixels const now = ahead;
        ahead = read(next + 1);
        push(now);
      } else {
        push(read(next));
      }
    }
    trtreg::Pack<T, kColumns> result;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      float sum = 0;
#pragma unroll
      for (int tap = 0; tap < 4; ++tap) sum += line.weight[tap] * window[c][tap];
      result[c] = trtreg::from_float<T>(sum);
    }
    if (p.packs) {
      stream(y, result);
    } else {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (c < strip.columns) y[c] = result[c];
      }
    }
  }
}

// All strips of a block are of the same rows, of which it finds the places and weights once. Each row of the input is
// filtered along x once and then serves all outputs of the strip that it reaches.
template <typename T>
__global__ void __launch_bounds__(kStrips, kResident) bicubic_kernel(Bicubic<T> const p) {
  __shared__ Line lines[kMaxRows];
  for (int64_t tile = blockIdx.x; tile < p.tiles(); tile += gridDim.x) {
    trtreg::Quotient const chunk = trtreg::divide(tile, p.blocks);
    auto const first_row = static_cast<int32_t>(chunk.quotient * p.rows);
    int32_t const rows = p.down.out - first_row < p.rows ? p.down.out - first_row : p.rows;
    __syncthreads();  // the tile before is done
    if (static_cast<int32_t>(threadIdx.x) < rows) {
      Line& line = lines[threadIdx.x];
      Place const at = p.down.place(int64_t{first_row} + threadIdx.x);
      p.down.weights(at, line.weight);
      line.pixel = at.pixel;
    }
    __syncthreads();
    trtreg::Quotient const group = trtreg::divide(chunk.remainder * kStrips + threadIdx.x, p.groups);
    if (group.quotient >= p.planes) continue;
    auto const first_column = static_cast<int32_t>(group.remainder * kColumns);
    Strip<T> strip;
    strip.x = p.x + group.quotient * p.down.in * p.across.in;
    strip.y = p.y + (group.quotient * p.down.out + first_row) * p.across.out + first_column;
    strip.columns = p.across.out - first_column < kColumns ? p.across.out - first_column : kColumns;
    Place at = p.across.place(first_column);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      p.across.weights(at, strip.weight[c]);
      strip.pixels[c] = at.pixel - 1;
      if (c + 1 < strip.columns) p.across.advance(at);
    }
    if (strip.pixels[kColumns - 1] - strip.pixels[0] <= 1) {
      make<true>(p, strip, lines, rows);
    } else {
      make<false>(p, strip, lines, rows);
    }
  }
}

// -------------------------------------------------------------------------------------------------------- nearest
// A scale as a fraction.
struct Fraction {
  int64_t above;
  int64_t below;
};

// The first fraction of a number's continued one that rounds to it: 7/10 for 0.7f, which itself lies below. So ten
// pixels become seven, as whoever wrote 0.7 expects.
inline Fraction fraction(float value) {
  int exponent = 0;
  auto n = static_cast<int64_t>(std::ldexp(std::frexp(value, &exponent), 24));  // value = n / d, exactly
  int64_t d = int64_t{1} << (24 - exponent);
  int64_t p[2] = {0, 1};
  int64_t q[2] = {1, 0};
  for (;;) {
    int64_t const whole = n / d;
    int64_t const next[2] = {whole * p[1] + p[0], whole * q[1] + q[0]};
    if (static_cast<float>(static_cast<double>(next[0]) / static_cast<double>(next[1])) == value) {
      return {next[0], next[1]};
    }
    p[0] = p[1], p[1] = next[0];
    q[0] = q[1], q[1] = next[1];
    int64_t const rest = n - whole * d;
    n = d, d = rest;
  }
}

// An axis of nearest resizing: output `at` is input floor(at / scale).
struct Steps {
  int64_t in = 1;
  int64_t out = 1;
  Fraction scale{1, 1};
  int64_t whole = 1;  // from one output to the next, in pixels of the input,
  int64_t rest = 0;   // and what is left, in parts of scale.above

  Steps() = default;
  Steps(int64_t from, int64_t to, float factor)
      : in(from), out(to), scale(fraction(factor)), whole(scale.below / scale.above), rest(scale.below % scale.above) {}

  __device__ trtreg::Quotient place(int64_t at) const { return trtreg::divide(at * scale.below, scale.above); }
  __device__ void advance(trtreg::Quotient& at) const {
    at.quotient += whole;
    at.remainder += rest;
    if (at.remainder >= scale.above) {
      at.remainder -= scale.above;
      ++at.quotient;
    }
  }
};

struct Nearest {
  int64_t planes;
  Steps axes[3];   // depth, height, width
  int32_t rows;    // of a strip
  int64_t chunks;  // strips, one below the other
  int64_t groups;  // strips side by side

  __host__ __device__ int64_t strips() const { return planes * axes[0].out * chunks * groups; }
};

// For elements of any type as numbers of their size; 16 bytes at once where rows allow it.
template <typename T, int kSize>
__global__ void __launch_bounds__(trtreg::kThreads) nearest_kernel(T const* x, T* y, Nearest const p) {
  Steps const& down = p.axes[1];
  Steps const& across = p.axes[2];
  for (int64_t index = trtreg::thread_index(); index < p.strips(); index += trtreg::thread_count()) {
    trtreg::Quotient const group = trtreg::divide(index, p.groups);
    trtreg::Quotient const chunk = trtreg::divide(group.quotient, p.chunks);
    trtreg::Quotient const depth = trtreg::divide(chunk.quotient, p.axes[0].out);
    int64_t const first_row = chunk.remainder * p.rows;
    auto const rows = static_cast<int32_t>(down.out - first_row < p.rows ? down.out - first_row : p.rows);

    trtreg::Quotient along = across.place(group.remainder * kSize);
    int64_t const slice = depth.quotient * p.axes[0].in + p.axes[0].place(depth.remainder).quotient;
    T const* const from = x + slice * down.in * across.in + along.quotient;
    int32_t pixels[kSize];  // to the right of `from`: a scale is not so small that they would not fit
    int64_t const first_pixel = along.quotient;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      pixels[k] = static_cast<int32_t>(along.quotient - first_pixel);
      across.advance(along);
    }
    T* to = y + (chunk.quotient * down.out + first_row) * across.out + group.remainder * kSize;
    trtreg::Quotient place = down.place(first_row);
    int64_t last = -1;  // the row that `pack` is of
    trtreg::Pack<T, kSize> pack;
    for (int32_t row = 0; row < rows; ++row) {
      if (place.quotient != last) {
        last = place.quotient;
#pragma unroll
        for (int k = 0; k < kSize; ++k) pack[k] = from[last * across.in + pixels[k]];
      }
      trtreg::store(to, pack);
      down.advance(place);
      to += across.out;
    }
  }
}

}  // namespace resize

#endif  // TRTPLUGIN_RESIZE_KERNEL_H
