// Where there is no libFuzzer: random inputs from a seed, and changed copies of those that came far.
//
//   driver SEED SECONDS MOST      makes inputs; the same seed makes the same ones
//   driver FILE                   runs one input, as libFuzzer's own programs do
//
// The last input is left in the file that TRTREG_FUZZ_LAST names, so that a crash can be seen again. At the end, what
// was done goes to standard output as JSON.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "plugin_face.h"

namespace {

using Input = std::vector<uint8_t>;

uint64_t far() { return fuzz_counts.made + fuzz_counts.inferred + fuzz_counts.run; }

Input fresh(std::mt19937_64& random) {
  Input input(random() % 400);
  for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
  return input;
}

Input changed(Input input, std::mt19937_64& random) {
  for (uint64_t changes = random() % 6 + 1; changes > 0 && !input.empty(); --changes) {
    size_t const at = random() % input.size();
    switch (random() % 4) {
      case 0:
        input[at] ^= static_cast<uint8_t>(1 << random() % 8);
        break;
      case 1:
        input.erase(input.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 2:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(random()));
        break;
      default:
        input[at] = static_cast<uint8_t>(random());
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) {
    std::ifstream file(argv[1], std::ios::binary);
    Input const input{std::istreambuf_iterator<char>(file), {}};
    return LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  if (argc != 4) return std::fprintf(stderr, "usage: driver SEED SECONDS MOST | driver FILE\n"), 2;
  using Clock = std::chrono::steady_clock;
  std::mt19937_64 random(std::strtoull(argv[1], nullptr, 10));
  double const limit = std::atof(argv[2]);
  uint64_t const most = std::strtoull(argv[3], nullptr, 10);
  char const* const last = std::getenv("TRTREG_FUZZ_LAST");
  std::vector<Input> kept;
  auto const begin = Clock::now();
  double seconds = 0;
  for (uint64_t i = 0; i < most && seconds < limit; ++i) {
    Input const input = !kept.empty() && random() % 2 ? changed(kept[random() % kept.size()], random) : fresh(random);
    if (last)
      std::ofstream(last, std::ios::binary)
          .write(reinterpret_cast<char const*>(input.data()), static_cast<std::streamsize>(input.size()));
    uint64_t const before = far();
    LLVMFuzzerTestOneInput(input.data(), input.size());
    if (far() > before + 1) {  // it got as far as shapes
      if (kept.size() < 500) {
        kept.push_back(input);
      } else {
        kept[random() % kept.size()] = input;
      }
    }
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::printf("{\"executions\": %llu, \"seconds\": %.1f, \"made\": %llu, \"inferred\": %llu, \"run\": %llu}\n",
              static_cast<unsigned long long>(fuzz_counts.inputs), seconds,
              static_cast<unsigned long long>(fuzz_counts.made), static_cast<unsigned long long>(fuzz_counts.inferred),
              static_cast<unsigned long long>(fuzz_counts.run));
}
