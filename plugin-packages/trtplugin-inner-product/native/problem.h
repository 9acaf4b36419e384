// What the kernels are given.
#ifndef TRTPLUGIN_INNER_PRODUCT_PROBLEM_H
#define TRTPLUGIN_INNER_PRODUCT_PROBLEM_H

#include <cstdint>

namespace inner_product {

template <typename T>
struct Problem {
  T const* x;       // [m, k]
  T const* weight;  // [n, k], or [k, n] where it is transposed
  T const* bias;    // [n], or null
  T* y;             // [m, n]
  int64_t m;
  int64_t n;
  int64_t k;
  bool transposed;
  bool packs;  // whether rows of x and weight begin at multiples of 16 bytes, and end there
  bool pairs;  // whether two neighbours of y can be written at once, wherever the first has an even place
};

}  // namespace inner_product

#endif  // TRTPLUGIN_INNER_PRODUCT_PROBLEM_H
