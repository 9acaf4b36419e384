// The kernels: bicubic resizing of images, and nearest resizing of up to three axes.
#ifndef TRTPLUGIN_RESIZE_KERNEL_H
#define TRTPLUGIN_RESIZE_KERNEL_H

#include <trtreg/pack.h>
#include <trtreg/scalar.h>

#include <algorithm>

namespace resize {

// -------------------------------------------------------------------------------------------------------- bicubic
constexpr int kPlanes = 4;             // that a thread resizes together, with the same weights
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
  int32_t rows;    // of the output that a thread makes, one below the other
  int64_t groups;  // of planes
  int64_t chunks;  // of rows
};

__device__ inline int32_t inside(int32_t at, int32_t size) { return trtreg::clamp<int32_t>(at, 0, size - 1); }

// A thread makes a strip of one column: `rows` pixels of kPlanes planes. Each row of the input is filtered along x once
// and then serves all outputs that it reaches.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads) bicubic_kernel(Bicubic<T> const p) {
  int64_t const count = p.groups * p.chunks * p.across.out;
  for (int64_t index = trtreg::thread_index(); index < count; index += trtreg::thread_count()) {
    trtreg::Quotient const column = trtreg::divide(index, p.across.out);
    trtreg::Quotient const chunk = trtreg::divide(column.quotient, p.chunks);
    int64_t const first_plane = chunk.quotient * kPlanes;
    int const planes = static_cast<int>(p.planes - first_plane < kPlanes ? p.planes - first_plane : kPlanes);
    int64_t const step_in = int64_t{p.down.in} * p.across.in;
    int64_t const step_out = int64_t{p.down.out} * p.across.out;

    Place const at = p.across.place(column.remainder);
    float across[4];
    p.across.weights(at, across);
    T const* pixels[4];
#pragma unroll
    for (int tap = 0; tap < 4; ++tap) {
      pixels[tap] = p.x + first_plane * step_in + inside(at.pixel - 1 + tap, p.across.in);
    }
    int64_t const first_row = chunk.remainder * p.rows;
    int32_t const rows = static_cast<int32_t>(p.down.out - first_row < p.rows ? p.down.out - first_row : p.rows);
    T* y = p.y + first_plane * step_out + first_row * p.across.out + column.remainder;
    Place place = p.down.place(first_row);
    int32_t next = place.pixel - 1;  // the row that comes into the window next
    float window[kPlanes][4];        // the four rows around the place, filtered along x
    for (int32_t row = 0; row < rows; ++row) {
      if (next < place.pixel - 1) next = place.pixel - 1;
      for (; next <= place.pixel + 2; ++next) {
        int64_t const line = int64_t{inside(next, p.down.in)} * p.across.in;
#pragma unroll
        for (int k = 0; k < kPlanes; ++k) {
          // Beyond the last plane it is the first one again, to no avail: all loads are on their way at once.
          int64_t const from = line + (k < planes ? k * step_in : 0);
          float sum = 0;
#pragma unroll
          for (int tap = 0; tap < 4; ++tap) sum += across[tap] * trtreg::to_float(pixels[tap][from]);
#pragma unroll
          for (int tap = 0; tap < 3; ++tap) window[k][tap] = window[k][tap + 1];
          window[k][3] = sum;
        }
      }
      float down[4];
      p.down.weights(place, down);
#pragma unroll
      for (int k = 0; k < kPlanes; ++k) {
        float sum = 0;
#pragma unroll
        for (int tap = 0; tap < 4; ++tap) sum += down[tap] * window[k][tap];
        if (k < planes) y[k * step_out] = trtreg::from_float<T>(sum);
      }
      p.down.advance(place);
      y += p.across.out;
    }
  }
}

// -------------------------------------------------------------------------------------------------------- nearest
// A scale as a fraction.
struct Fraction {
  int64_t above;
  int64_t below;
};

struct Nearest {
  int64_t rows;   // of y: planes times depth times height
  int64_t in[3];  // depth, height, width
  int64_t out[3];
  Fraction scale[3];
  int64_t step;      // from one element of a row to the next, in whole pixels of x
  int64_t rest;      // and what is left, in parts of scale[2].above
  int32_t lanes;     // threads that make a part of a row together: a power of two, up to a warp
  int64_t part;      // elements of such a part
  int64_t segments;  // parts of a row
};

__device__ inline trtreg::Quotient place(int64_t at, Fraction const& scale) {
  return trtreg::divide(at * scale.below, scale.above);
}

// y[o] = x[floor(o / scale)], for elements of any type as numbers of their size; 16 bytes at once where rows allow it.
template <typename T, int kSize>
__global__ void __launch_bounds__(trtreg::kThreads) nearest_kernel(T const* x, T* y, Nearest const p) {
  int64_t const count = p.rows * p.segments * p.lanes;
  int const lane = static_cast<int>(threadIdx.x) & (p.lanes - 1);
  for (int64_t index = trtreg::thread_index(); index < count; index += trtreg::thread_count()) {
    trtreg::Quotient const segment = trtreg::divide(trtreg::divide(index, p.lanes).quotient, p.segments);
    int64_t const row = segment.quotient;
    int64_t const dims[3] = {1, p.out[0], p.out[1]};
    int64_t at[3];  // plane, depth, height
    trtreg::unravel(row, dims, at);
    int64_t const depth = at[0] * p.in[0] + place(at[1], p.scale[0]).quotient;
    T const* const from = x + (depth * p.in[1] + place(at[2], p.scale[1]).quotient) * p.in[2];
    int64_t const first = segment.remainder * p.part;
    int64_t const end = first + p.part < p.out[2] ? first + p.part : p.out[2];
    for (int64_t i = first + lane * kSize; i < end; i += p.lanes * kSize) {
      trtreg::Quotient along = place(i, p.scale[2]);
      trtreg::Pack<T, kSize> result;
#pragma unroll
      for (int k = 0; k < kSize; ++k) {
        result[k] = from[along.quotient];
        if (k + 1 == kSize) break;
        along.quotient += p.step;
        along.remainder += p.rest;
        if (along.remainder >= p.scale[2].above) {
          along.remainder -= p.scale[2].above;
          ++along.quotient;
        }
      }
      trtreg::store(y + row * p.out[2] + i, result);
    }
  }
}

}  // namespace resize

#endif  // TRTPLUGIN_RESIZE_KERNEL_H
