// What plugin_face.cpp and its driver have in common.
#ifndef TRTREG_FUZZ_PLUGIN_FACE_H
#define TRTREG_FUZZ_PLUGIN_FACE_H

#include <cstddef>
#include <cstdint>

// How far inputs came: a fuzzer whose inputs are all refused at once finds nothing.
struct FuzzCounts {
  uint64_t inputs, made, inferred, run;
};
extern FuzzCounts fuzz_counts;

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size);

#endif  // TRTREG_FUZZ_PLUGIN_FACE_H
