// What the kernels of deformable convolution are given, and where a pixel's taps lie.
#ifndef TRTREG_DEFORM_CONV_PARAMS_H
#define TRTREG_DEFORM_CONV_PARAMS_H

#include "trtreg/bilinear.h"
#include "trtreg/launch.h"

namespace TRTREG_NAMESPACE {
namespace deform_conv {

struct Axis {  // what the vertical and the horizontal direction have each
  int64_t in, out, kernel, stride, padding, dilation;
};

template <typename T>
struct Params {
  T const* x;       // [batch, channels, h.in, w.in], as x_at says
  T const* offset;  // [batch, deform_groups * taps * 2, h.out, w.out]: dy, dx of each tap
  T const* mask;    // [batch, deform_groups * taps, h.out, w.out], or null: 1 everywhere
  T const* weight;  // [out_channels, channels / groups, h.kernel, w.kernel]
  T const* bias;    // [out_channels], or null
  T* y;             // [batch, out_channels, h.out, w.out], as y_at says
  int64_t batch, channels, out_channels, groups, deform_groups;
  Axis h, w;
  MapStrides x_at, y_at;
  int64_t offset_stride, mask_stride;  // elements from one image to the next
  bool mask_logits;                    // the mask is the sigmoid of what `mask` has

  __host__ __device__ int64_t taps() const { return h.kernel * w.kernel; }
  __host__ __device__ int64_t area() const { return h.out * w.out; }
  __host__ __device__ int64_t pixels() const { return batch * area(); }
  // Whether x and y have their channels last.
  __host__ __device__ bool channels_last() const { return x_at.pixel != 1; }
  // Where pixel `index` of all images lies in y, counted from its first channel.
  __host__ __device__ int64_t y_offset(int64_t index) const {
    Quotient const at = divide(index, area());
    return at.quotient * y_at.image + at.remainder * y_at.pixel;
  }
  // Tiles of `size` output channels that cover one group.
  __host__ __device__ int64_t tiles(int64_t size) const { return (out_channels / groups + size - 1) / size; }
};

// What the offset and the mask have for one pixel of y and one tap; or the point that they move it to, and its mask.
struct Moves {
  float y, x, mask;
};

// One pixel of y: finds the points of x that its taps sample.
template <typename T>
class Sampler {
 public:
  Sampler() = default;
  __host__ __device__ Sampler(Params<T> const& p, int64_t index) {
    exists_ = index < p.pixels();
    Quotient const in_batch = divide(index, p.area());
    Quotient const in_image = divide(in_batch.remainder, p.w.out);
    image_ = in_batch.quotient;
    y_ = static_cast<float>(in_image.quotient * p.h.stride - p.h.padding);
    x_ = static_cast<float>(in_image.remainder * p.w.stride - p.w.padding);
    offset_ = image_ * p.offset_stride + in_batch.remainder;
    mask_ = image_ * p.mask_stride + in_batch.remainder;
  }

  __host__ __device__ int64_t image() const { return image_; }

  __host__ __device__ Moves read(Params<T> const& p, int64_t deform_group, int64_t tap) const {
    if (!exists_) return {};
    int64_t const at = (deform_group * p.taps() + tap) * p.area();
    T const* const offset = p.offset + offset_ + 2 * at;
    return {to_float(offset[0]), to_float(offset[p.area()]), p.mask ? to_float(p.mask[mask_ + at]) : 1.f};
  }

  // Where `moves` put the tap at (row, column) of the kernel.
  __host__ __device__ Moves place(Params<T> const& p, uint32_t row, uint32_t column, Moves const& moves) const {
    if (!exists_) return {-2.f, -2.f, 0.f};  // outside
    float const mask = p.mask_logits ? 1.f / (1.f + expf(-moves.mask)) : moves.mask;
    return {y_ + static_cast<float>(row * static_cast<uint32_t>(p.h.dilation)) + moves.y,
            x_ + static_cast<float>(column * static_cast<uint32_t>(p.w.dilation)) + moves.x, mask};
  }

 private:
  bool exists_;
  int64_t image_;
  int64_t offset_, mask_;  // where those of the first tap lie
  float y_, x_;            // of the first tap, unmoved
};

}  // namespace deform_conv
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_DEFORM_CONV_PARAMS_H
