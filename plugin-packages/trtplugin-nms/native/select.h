// The greedy suppression itself: of each list, the boxes that no better box of the list overlaps too much.
#ifndef TRTPLUGIN_NMS_SELECT_H
#define TRTPLUGIN_NMS_SELECT_H

#include <cstring>

#include "sort.h"

namespace nms {
namespace {

constexpr int kTile = 64;                          // candidates that a block decides about at once
constexpr int kGroups = trtreg::kThreads / kTile;  // threads for each of them
constexpr int kShare = kTile / kGroups;            // of the tile, for each of these threads
static_assert(kShare == 16, "a thread's share of the tile is a uint16_t");

struct alignas(16) Box {
  float x1, y1, x2, y2;
};

// Boxes and scores, wherever the network has them: list = image * classes + class.
template <typename T>
struct Candidates {
  T const* boxes;
  T const* scores;
  int64_t classes;
  int64_t box_steps[3];  // in elements, from image to image, class to class, box to box
  int64_t score_steps[3];
  int64_t background;  // class whose boxes are none, or -1
  bool centered;       // boxes are x, y, width, height
  float threshold;     // scores have to be larger
  float const* threshold_input;

  __device__ float score(int64_t list, int64_t place) const {
    trtreg::Quotient const at = trtreg::divide(list, classes);
    return trtreg::to_float(
        scores[at.quotient * score_steps[0] + at.remainder * score_steps[1] + place * score_steps[2]]);
  }
  __device__ T const* box(int64_t list, int64_t place) const {
    trtreg::Quotient const at = trtreg::divide(list, classes);
    return boxes + at.quotient * box_steps[0] + at.remainder * box_steps[1] + place * box_steps[2];
  }
  // With corners in order: any two opposite ones may be given.
  __device__ Box corners(int64_t list, int64_t place) const {
    T const* const p = box(list, place);
    float a = trtreg::to_float(p[0]), b = trtreg::to_float(p[1]);
    float c = trtreg::to_float(p[2]), d = trtreg::to_float(p[3]);
    if (centered) {
      a -= c / 2;
      b -= d / 2;
      c += a;
      d += b;
    }
    return {a < c ? a : c, b < d ? b : d, a < c ? c : a, b < d ? d : b};
  }
  __device__ Key operator()(int64_t list, int64_t place) const {
    float const value = score(list, place);
    float const least = threshold_input ? *threshold_input : threshold;
    return value > least && list % classes != background ? make_key(value, place) : 0;
  }
};

// When a box suppresses another. A box without area suppresses none, and one with a NaN neither.
struct Rule {
  float iou;
  float const* iou_input;
  float area_offset;     // what a width is longer than the difference of coordinates: 1 for pixels
  float overlap_offset;  // the same for what two boxes have in common

  __device__ bool operator()(float least, Box const& a, Box const& b) const {
    float const width = fminf(a.x2, b.x2) - fmaxf(a.x1, b.x1) + overlap_offset;
    float const height = fminf(a.y2, b.y2) - fmaxf(a.y1, b.y1) + overlap_offset;
    if (!(width > 0.f && height > 0.f)) return false;
    float const both = width * height;
    return both > least * (area(a) + area(b) - both);
  }
  __device__ float area(Box const& a) const { return (a.x2 - a.x1 + area_offset) * (a.y2 - a.y1 + area_offset); }
};

// What is kept of each list, best first: `room` places for each.
struct Kept {
  Key* keys;
  Box* boxes;
  int32_t* counts;
  int64_t room;
  int64_t const* limit_input;  // keep at most so many, where it is given

  __device__ int64_t limit() const { return limit_input ? max(min(*limit_input, room), int64_t{0}) : room; }
};

// A block goes through one sorted list, a tile at a time. `size` is the distance of the lists, `examined` how many
// candidates of each may be looked at.
template <typename T>
__global__ void __launch_bounds__(trtreg::kThreads)
    select_kernel(Candidates<T> candidates, Rule rule, Key const* keys, int64_t size, int64_t examined, Kept kept) {
  __shared__ float tile[kTile][4];
  __shared__ uint16_t overlaps[kTile][kGroups];  // bit j of four in a row: the tile's box j suppresses this one
  __shared__ unsigned suppressed[2];             // by a box that is kept already
  int64_t const list = blockIdx.x;
  int const mine = static_cast<int>(threadIdx.x) % kTile;
  int const group = static_cast<int>(threadIdx.x) / kTile;
  int64_t const limit = kept.limit();
  float const least = rule.iou_input ? *rule.iou_input : rule.iou;
  Box* const boxes = kept.boxes + list * kept.room;
  keys += list * size;
  int64_t count = 0;
  for (int64_t first = 0; first < examined && count < limit && keys[first] != 0; first += kTile) {
    Key const key = first + mine < examined ? keys[first + mine] : 0;
    Box const box = key ? candidates.corners(list, place_of(key)) : Box{0.f, 0.f, 0.f, 0.f};
    if (group == 0) memcpy(tile[mine], &box, sizeof box);
    if (threadIdx.x < 2) suppressed[threadIdx.x] = 0;
    __syncthreads();
    bool is_suppressed = key == 0;
    for (int64_t i = group; i < count && !is_suppressed; i += kGroups) is_suppressed = rule(least, boxes[i], box);
    if (is_suppressed) atomicOr(&suppressed[mine / 32], 1u << mine % 32);
    unsigned bits = 0;
    for (int i = 0; i < kShare; ++i) {
      int const other = group * kShare + i;
      Box better;
      memcpy(&better, tile[other], sizeof better);
      if (other < mine && rule(least, better, box)) bits |= 1u << i;
    }
    overlaps[mine][group] = static_cast<uint16_t>(bits);
    __syncthreads();
    // Every thread decides about the whole tile: a box is kept if none that is kept suppresses it.
    uint64_t const before = suppressed[0] | static_cast<uint64_t>(suppressed[1]) << 32;
    uint64_t keep = 0;
    int64_t room = limit - count;
    for (int i = 0; i < kTile; ++i) {
      uint64_t mask;
      memcpy(&mask, overlaps[i], sizeof mask);
      bool const stays = room > 0 && !(before >> i & 1) && !(mask & keep);
      keep |= static_cast<uint64_t>(stays) << i;
      room -= stays;
    }
    if (group == 0 && (keep >> mine & 1)) {
      int64_t const at = count + __popcll(keep & ((uint64_t{1} << mine) - 1));
      kept.keys[list * kept.room + at] = key;
      boxes[at] = box;
    }
    count = limit - room;
    __syncthreads();
  }
  if (threadIdx.x == 0) kept.counts[list] = static_cast<int32_t>(count);
}

// Memory that is handed out piece by piece; with a null pointer it is only counted.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <typename T>
  T* take(int64_t count) {
    char* const result = memory_ ? memory_ + size_ : nullptr;
    size_ += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(result);
  }
  size_t size() const { return size_; }

 private:
  char* memory_;
  size_t size_{0};
};

// What both operators need: two arrays to sort in, and what is kept.
struct Memory {
  Key* keys;
  Key* other;
  Kept kept;
  Memory(Arena& arena, int64_t lists, int64_t size, int64_t room)
      : keys(arena.take<Key>(lists * size)),
        other(arena.take<Key>(size > kLargestChunk ? lists * size : 0)),
        kept{arena.take<Key>(lists * room), arena.take<Box>(lists * room), arena.take<int32_t>(lists), room, nullptr} {}
};

// Fills memory.kept: `lists` lists of `size` candidates, of which the best `examined` count.
template <typename T>
void select(cudaStream_t stream, Candidates<T> const& candidates, Rule const& rule, int64_t lists, int64_t size,
            int64_t examined, Memory const& memory) {
  Key const* const keys = sort(stream, candidates, lists, size, memory.keys, memory.other);
  trtreg::launch(select_kernel<T>, {lists}, stream, candidates, rule, keys, size, examined, memory.kept);
}

}  // namespace
}  // namespace nms

#endif  // TRTPLUGIN_NMS_SELECT_H
