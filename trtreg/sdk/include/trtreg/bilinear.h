// Bilinear sampling of one plane: which neighbours a point has, and how much of each. Safe for NaN and infinity.
#ifndef TRTREG_BILINEAR_H
#define TRTREG_BILINEAR_H

#include <cmath>
#include <cstdint>

#include "trtreg/scalar.h"

namespace TRTREG_NAMESPACE {

// The value of a point is `scale` times the weighted sum of its neighbours. A neighbour outside the plane counts as 0.
struct Point {
  int64_t neighbour[4]{-1, -1, -1, -1};  // its offset in the plane; -1: outside, never read
  float weight[4]{};
  float scale{0.f};
};

// Whether a point has neighbours. Compared before it is converted, and so that a NaN fails: no float out of range
// reaches an integer.
__host__ __device__ inline bool has_neighbours(float y, float x, int64_t height, int64_t width) {
  return y > -1.f && x > -1.f && y < static_cast<float>(height) && x < static_cast<float>(width);
}

// Neighbour `i` of a point that has some: those above and left of it come first. Its offset, or -1, and its weight.
struct Neighbour {
  int64_t offset;
  float weight;
};
__host__ __device__ inline Neighbour neighbour(float y, float x, int i, int64_t height, int64_t width) {
  float const top = floorf(y);
  float const left = floorf(x);
  int64_t const row = static_cast<int64_t>(top) + i / 2;
  int64_t const column = static_cast<int64_t>(left) + i % 2;
  bool const exists = row >= 0 && row < height && column >= 0 && column < width;
  return {exists ? row * width + column : -1,
          (i / 2 ? y - top : 1.f - (y - top)) * (i % 2 ? x - left : 1.f - (x - left))};
}

// The point (y, x), in pixels. A point one pixel or more outside the plane is 0, wherever it lies, infinity included. A
// NaN coordinate makes the point NaN, so that it shows in the result.
//
// Other rules for what lies outside are rules for the coordinate: hold it at the border (clamp of scalar.h, after the
// test of what counts as outside, as RoIAlign does), or fold it back (reflect).
__host__ __device__ inline Point locate(float y, float x, float scale, int64_t height, int64_t width) {
  Point point;
  point.scale = scale;
  if (!has_neighbours(y, x, height, width)) {
    if (y != y || x != x) point.scale = NAN;
    return point;
  }
  for (int i = 0; i < 4; ++i) {
    Neighbour const each = neighbour(y, x, i, height, width);
    point.neighbour[i] = each.offset;
    point.weight[i] = each.weight;
  }
  return point;
}

template <typename T>
__host__ __device__ float sample(T const* plane, Point const& point) {
  float sum = 0.f;
  for (int i = 0; i < 4; ++i) {
    if (point.neighbour[i] >= 0) sum += point.weight[i] * static_cast<float>(plane[point.neighbour[i]]);
  }
  return sum * point.scale;
}

// A coordinate of [-1, 1] in pixels: -1 and 1 are the centres of the outermost pixels with `align_corners`, else their
// outer edges.
__host__ __device__ inline float to_pixels(float coordinate, int64_t size, bool align_corners) {
  auto const extent = static_cast<float>(size);
  return align_corners ? (coordinate + 1.f) / 2.f * (extent - 1.f) : ((coordinate + 1.f) * extent - 1.f) / 2.f;
}

// `coordinate` mirrored at the borders until it lies between them: at the centres of the outermost pixels with
// `align_corners`, else at their outer edges (up to half a pixel outside, for `clamp` to end). Infinity gives NaN.
__host__ __device__ inline float reflect(float coordinate, int64_t size, bool align_corners) {
  float const low = align_corners ? 0.f : -0.5f;
  float const span = static_cast<float>(align_corners ? size - 1 : size);
  if (span <= 0.f) return coordinate - coordinate;  // one pixel: 0, and NaN for what is no number
  float const distance = fabsf(coordinate - low);
  float const rest = fmodf(distance, span);
  bool const odd = fmodf(floorf(distance / span), 2.f) != 0.f;
  return low + (odd ? span - rest : rest);
}

}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_BILINEAR_H
