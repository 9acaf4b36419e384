// Runs the kernels of both plugins over random configurations, for compute-sanitizer: through the plain-C face, so that
// nothing but the kernels runs. Each tensor is an allocation of its exact size; outputs are poisoned before, and each
// element must have been written after.
//
//   sanitize LIBTRTPLUGIN_HSWISH.so LIBTRTPLUGIN_DCNV2.so [CONFIGURATIONS]
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <trtreg/face.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int32_t kFloat = 0, kHalf = 1, kBF16 = 7;  // DataType
constexpr int32_t kFieldInt64 = 10;                  // PluginFieldType

std::mt19937 randomness(0);
int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(randomness); }

void require(bool condition, std::string const& what) {
  if (condition) return;
  std::fprintf(stderr, "sanitize: %s\n", what.c_str());
  std::exit(1);
}
void check(cudaError_t status) { require(status == cudaSuccess, cudaGetErrorString(status)); }

uint16_t half_bits(float value) {  // truncated: any value will do, infinity and NaN stay what they are
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  uint32_t const sign = bits >> 16 & 0x8000;
  int32_t const exponent = static_cast<int32_t>(bits >> 23 & 0xff) - 112;
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (exponent >= 31) return static_cast<uint16_t>(sign | 0x7c00);
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 | (bits >> 13 & 0x3ff));
}

size_t size_of(int32_t type) { return type == kFloat ? 4 : 2; }

// Device memory of exactly the tensor's size.
class Tensor {
 public:
  Tensor(int32_t type, std::vector<int64_t> const& dims)
      : tensor{nullptr, type, 0, static_cast<int32_t>(dims.size()), 0, {}} {
    std::copy(dims.begin(), dims.end(), tensor.dims);
    count = static_cast<size_t>(std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>()));
    if (count) check(cudaMalloc(&tensor.data, bytes()));
  }
  ~Tensor() { cudaFree(tensor.data); }
  Tensor(Tensor const&) = delete;
  Tensor& operator=(Tensor const&) = delete;

  size_t bytes() const { return count * size_of(tensor.type); }

  // Normally distributed, with some values that no kernel may stumble over if `wild`.
  void fill(float scale, bool wild) {
    std::normal_distribution<float> normal(0.f, scale);
    float const infinity = std::numeric_limits<float>::infinity();
    float const strange[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), 1e30f, -1e30f, -1.f, 0.f};
    std::vector<char> host(bytes());
    for (size_t i = 0; i < count; ++i) {
      float const value = wild && draw(0, 9) == 0 ? strange[draw(0, 6)] : normal(randomness);
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      uint16_t const narrow = tensor.type == kHalf ? half_bits(value) : static_cast<uint16_t>(bits >> 16);
      tensor.type == kFloat ? std::memcpy(&host[i * 4], &bits, 4) : std::memcpy(&host[i * 2], &narrow, 2);
    }
    if (count) check(cudaMemcpy(tensor.data, host.data(), host.size(), cudaMemcpyHostToDevice));
  }

  void poison() {
    if (count) check(cudaMemset(tensor.data, 0xff, bytes()));  // a NaN that no arithmetic gives
  }
  bool has_poison() const {
    std::vector<unsigned char> host(bytes());
    if (count) check(cudaMemcpy(host.data(), tensor.data, host.size(), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < host.size(); i += size_of(tensor.type)) {
      if (std::all_of(&host[i], &host[i] + size_of(tensor.type), [](unsigned char c) { return c == 0xff; }))
        return true;
    }
    return false;
  }

  trtreg_tensor tensor;
  size_t count;
};

trtreg_face const* open(char const* path) {
  void* const library = dlopen(path, RTLD_NOW);
  require(library, library ? "" : dlerror());
  auto const get = reinterpret_cast<decltype(&trtreg_get_face)>(dlsym(library, "trtreg_get_face"));
  require(get && get(TRTREG_FACE_ABI), std::string(path) + " has no face of this version");
  return get(TRTREG_FACE_ABI);
}

void run(trtreg_face const* face, char const* name, std::vector<trtreg_field> const& fields,
         std::vector<trtreg_tensor> const& inputs, cudaStream_t stream) {
  trtreg_plugin* plugin = nullptr;
  int32_t const count = static_cast<int32_t>(inputs.size());
  trtreg_tensor shape{};
  uint64_t workspace = 0;
  bool const ready = face->create(name, "1", "", fields.data(), static_cast<int32_t>(fields.size()), &plugin) == 0 &&
                     face->infer(plugin, inputs.data(), count, nullptr, 0, &shape, 1, &workspace) == 0;
  require(ready, ready ? "" : face->last_error());
  Tensor y(shape.type, {shape.dims, shape.dims + shape.rank});
  y.poison();
  bool const ran = face->enqueue(plugin, inputs.data(), count, nullptr, 0, &y.tensor, 1, nullptr, stream) == 0;
  require(ran, ran ? "" : face->last_error());
  check(cudaStreamSynchronize(stream));
  require(!y.has_poison(), std::string(name) + " left a part of its output unwritten");
  face->destroy(plugin);
}

void run_hswish(trtreg_face const* face, int32_t type, cudaStream_t stream) {
  Tensor x(type, {draw(0, 3), draw(1, 40), draw(1, 40)});
  x.fill(4.f, true);
  run(face, "HSwish", {}, {x.tensor}, stream);
}

void run_dcnv2(trtreg_face const* face, int32_t type, cudaStream_t stream) {
  int64_t const groups = draw(1, 3), deform_groups = draw(1, 3);
  int64_t const channels = std::lcm(groups, deform_groups) * draw(1, 6);
  int64_t const out_channels = groups * (draw(0, 4) ? draw(1, 20) : draw(33, 140));
  int64_t const batch = draw(0, 19) ? draw(1, 3) : 0;
  int64_t stride[2], padding[2], dilation[2], kernel[2], in[2], out[2];
  for (int i = 0; i < 2; ++i) {
    stride[i] = draw(1, 3);
    padding[i] = draw(0, 3);
    dilation[i] = draw(1, 3);
    kernel[i] = draw(1, 4);
    int64_t const reach = dilation[i] * (kernel[i] - 1) + 1;
    in[i] = draw(std::max<int64_t>(1, reach - 2 * padding[i]), 16);
    out[i] = (in[i] + 2 * padding[i] - reach) / stride[i] + 1;
  }
  int64_t const points = deform_groups * kernel[0] * kernel[1];
  Tensor x(type, {batch, channels, in[0], in[1]});
  Tensor offset(type, {batch, 2 * points, out[0], out[1]});
  Tensor mask(type, {batch, points, out[0], out[1]});
  Tensor weight(type, {out_channels, channels / groups, kernel[0], kernel[1]});
  Tensor bias(type, {out_channels});
  x.fill(1.f, false);
  offset.fill(3.f, true);
  mask.fill(1.f, false);
  weight.fill(1.f, false);
  bias.fill(1.f, false);
  std::vector<trtreg_tensor> inputs{x.tensor, offset.tensor, mask.tensor, weight.tensor};
  if (draw(0, 1)) inputs.push_back(bias.tensor);
  std::vector<trtreg_field> const fields{{"stride", stride, kFieldInt64, 2},
                                         {"padding", padding, kFieldInt64, 2},
                                         {"dilation", dilation, kFieldInt64, 2},
                                         {"groups", &groups, kFieldInt64, 1},
                                         {"deform_groups", &deform_groups, kFieldInt64, 1}};
  run(face, draw(0, 1) ? "DCNv2" : "MMCVModulatedDeformConv2d", fields, inputs, stream);
}

}  // namespace

int main(int argc, char** argv) {
  require(argc >= 3, "usage: sanitize LIBTRTPLUGIN_HSWISH.so LIBTRTPLUGIN_DCNV2.so [CONFIGURATIONS]");
  trtreg_face const* const hswish = open(argv[1]);
  trtreg_face const* const dcnv2 = open(argv[2]);
  int const count = argc > 3 ? std::atoi(argv[3]) : 60;
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (int i = 0; i < count; ++i) {
    for (int32_t const type : {kFloat, kHalf, kBF16}) {
      run_hswish(hswish, type, stream);
      run_dcnv2(dcnv2, type, stream);
    }
  }
  check(cudaStreamDestroy(stream));
  std::printf("%d configurations of each plugin and type\n", count);
}
