// Bilinear sampling of one plane: which neighbours a point has, and how much of each. Runs on the host too.
#ifndef TRTPLUGIN_DCNV2_BILINEAR_H
#define TRTPLUGIN_DCNV2_BILINEAR_H

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>

namespace dcnv2 {

// The value of a point is `scale` times the weighted sum of its neighbours. A neighbour outside the plane counts as 0.
struct Point {
  int64_t neighbour[4]{-1, -1, -1, -1};  // its offset in the plane; -1: outside, never read
  float weight[4]{};
  float scale{0.f};
};

// The point (y, x), in pixels. A point one pixel or more outside the plane is 0, wherever it lies, infinity included. A
// NaN coordinate makes the point NaN, so that it shows in the result.
__host__ __device__ inline Point locate(float y, float x, float scale, int64_t height, int64_t width) {
  Point point;
  point.scale = scale;
  // Compared before it is converted, and so that a NaN fails: no float out of range reaches an integer.
  if (!(y > -1.f && x > -1.f && y < static_cast<float>(height) && x < static_cast<float>(width))) {
    if (y != y || x != x) point.scale = NAN;
    return point;
  }
  float const top = floorf(y);
  float const left = floorf(x);
  for (int i = 0; i < 4; ++i) {
    int64_t const row = static_cast<int64_t>(top) + i / 2;
    int64_t const column = static_cast<int64_t>(left) + i % 2;
    if (row >= 0 && row < height && column >= 0 && column < width) point.neighbour[i] = row * width + column;
    point.weight[i] = (i / 2 ? y - top : 1.f - (y - top)) * (i % 2 ? x - left : 1.f - (x - left));
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

}  // namespace dcnv2

#endif  // TRTPLUGIN_DCNV2_BILINEAR_H
