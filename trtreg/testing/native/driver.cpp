// Runs a plugin library through its plain-C face, one request after another, in a process of its own: on the CPU a
// library made with on_host.h, under the address sanitizer; with TRTREG_ON_DEVICE a real one, under compute-sanitizer.
//
//   driver LIBRARY < requests > answers
//
// Each tensor is an allocation of its exact size, so that a sanitizer sees every access outside it.
// trtreg/testing/host.py is the other side, and writes what is read here.
#include <dlfcn.h>
#include <trtreg/face.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#ifdef TRTREG_ON_DEVICE
#include <cuda_runtime_api.h>
#endif

namespace {

[[noreturn]] void fail(std::string const& what) {
  std::fprintf(stderr, "driver: %s\n", what.c_str());
  std::exit(9);
}

void read(void* to, size_t size) {
  if (size && std::fread(to, 1, size, stdin) != size) fail("a request that is cut short");
}
template <typename T>
T read() {
  T value;
  read(&value, sizeof value);
  return value;
}
std::vector<unsigned char> read_bytes() {
  std::vector<unsigned char> bytes(read<uint64_t>());
  read(bytes.data(), bytes.size());
  return bytes;
}
std::string read_text() {
  auto const bytes = read_bytes();
  return {bytes.begin(), bytes.end()};
}

template <typename T>
void write(T const& value) {
  std::fwrite(&value, sizeof value, 1, stdout);
}
void write_bytes(void const* data, size_t size) {
  write<uint64_t>(size);
  if (size) std::fwrite(data, 1, size, stdout);
}
void answer(int32_t status, std::string const& text) {
  write(status);
  write_bytes(text.data(), text.size());
}

#ifdef TRTREG_ON_DEVICE
void check(cudaError_t status) {
  if (status != cudaSuccess) fail(cudaGetErrorString(status));
}
unsigned char* allocate(size_t size) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, size));
  return static_cast<unsigned char*>(memory);
}
void release(unsigned char* memory) { cudaFree(memory); }
void copy(void* to, void const* from, size_t size) { check(cudaMemcpy(to, from, size, cudaMemcpyDefault)); }
void finish() { check(cudaDeviceSynchronize()); }
#else
unsigned char* allocate(size_t size) { return new unsigned char[size]; }
void release(unsigned char* memory) { delete[] memory; }
void copy(void* to, void const* from, size_t size) { std::memcpy(to, from, size); }
void finish() {}
#endif

// Memory that ends where the tensor ends, and begins `offset` bytes before it.
class Memory {
 public:
  Memory(size_t size, size_t offset) : size_(size), offset_(offset), all_(size ? allocate(size + offset) : nullptr) {}
  ~Memory() {
    if (all_) release(all_);
  }
  Memory(Memory&& other) noexcept : size_(other.size_), offset_(other.offset_), all_(other.all_) {
    other.all_ = nullptr;
  }
  Memory& operator=(Memory&&) = delete;

  void* data() const { return all_ ? all_ + offset_ : nullptr; }
  size_t size() const { return size_; }
  void put(std::vector<unsigned char> const& bytes) const {
    if (size_) copy(data(), bytes.data(), size_);
  }
  std::vector<unsigned char> get() const {
    std::vector<unsigned char> bytes(size_);
    if (size_) copy(bytes.data(), data(), size_);
    return bytes;
  }

 private:
  size_t size_, offset_;
  unsigned char* all_;
};

size_t size_of(int32_t type) {
  static constexpr size_t kSizes[] = {4, 2, 1, 4, 1, 1, 1, 2, 8};
  if (type < 0 || static_cast<size_t>(type) >= std::size(kSizes)) fail("elements without a size in bytes");
  return kSizes[type];
}
constexpr int32_t kHwc8 = 2;  // TensorFormat: channels last, filled up to a multiple of 8
size_t bytes_of(trtreg_tensor const& tensor) {
  size_t bytes = size_of(tensor.type);
  for (int32_t i = 0; i < tensor.rank; ++i) {
    bool const padded = tensor.format == kHwc8 && i == 1;
    bytes *= static_cast<size_t>(padded ? (tensor.dims[i] + 7) / 8 * 8 : tensor.dims[i]);
  }
  return bytes;
}

trtreg_tensor read_tensor() {
  trtreg_tensor tensor{};
  tensor.type = read<int32_t>();
  tensor.format = read<int32_t>();
  tensor.rank = read<int32_t>();
  if (tensor.rank > TRTREG_MAX_DIMS) fail("a tensor with too many dimensions");
  read(tensor.dims, sizeof(int64_t) * static_cast<size_t>(tensor.rank));
  return tensor;
}

struct Field {
  std::string name;
  int32_t type, length;
  std::vector<unsigned char> data;
};

void serve(trtreg_face const& face) {
  auto const name = read_text();
  auto const version = read_text();
  auto const plugin_namespace = read_text();
  std::vector<Field> fields(read<uint64_t>());
  std::vector<trtreg_field> raw;
  for (Field& field : fields) {
    field.name = read_text();
    field.type = read<int32_t>();
    field.length = read<int32_t>();
    field.data = read_bytes();
    raw.push_back({field.name.c_str(), field.data.data(), field.type, field.length});
  }
  auto const poison = static_cast<unsigned char>(read<int32_t>());
  auto const misalign = read<uint64_t>();  // elements
  std::vector<trtreg_tensor> inputs(read<uint64_t>());
  std::vector<std::vector<unsigned char>> values;
  std::vector<Memory> memory;
  for (trtreg_tensor& input : inputs) {
    input = read_tensor();
    values.push_back(read_bytes());
    if (values.back().size() != bytes_of(input)) fail("a tensor with another size than its dimensions say");
    memory.emplace_back(values.back().size(), misalign * size_of(input.type));
    memory.back().put(values.back());
    input.data = memory.back().data();
  }
  std::vector<trtreg_tensor> shapes(read<uint64_t>());
  for (trtreg_tensor& shape : shapes) shape = read_tensor();

  auto const count = [](auto const& list) { return static_cast<int32_t>(list.size()); };
  trtreg_plugin* made = nullptr;
  if (face.create(name.c_str(), version.c_str(), plugin_namespace.c_str(), raw.data(), count(raw), &made)) {
    return answer(1, face.last_error());
  }
  std::unique_ptr<trtreg_plugin, void (*)(trtreg_plugin*)> const plugin(made, face.destroy);
  std::vector<trtreg_tensor> outputs(static_cast<size_t>(std::max(face.output_count(made), 0)));
  uint64_t workspace_size = 0;
  if (face.infer(made, inputs.data(), count(inputs), shapes.data(), count(shapes), outputs.data(), count(outputs),
                 &workspace_size)) {
    return answer(1, face.last_error());
  }
  std::vector<Memory> results;
  for (trtreg_tensor& output : outputs) {
    size_t const bytes = bytes_of(output);
    results.emplace_back(bytes, misalign * size_of(output.type));
    results.back().put(std::vector<unsigned char>(bytes, poison));
    output.data = results.back().data();
  }
  Memory const workspace(workspace_size, 0);
  workspace.put(std::vector<unsigned char>(workspace_size, poison));
  if (face.enqueue(made, inputs.data(), count(inputs), shapes.data(), count(shapes), outputs.data(), count(outputs),
                   workspace.data(), nullptr)) {
    return answer(1, face.last_error());
  }
  finish();
  for (size_t i = 0; i < memory.size(); ++i) {
    if (memory[i].get() != values[i]) return answer(2, "input " + std::to_string(i) + " was changed");
  }
  answer(0, "");
  write<uint64_t>(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    write(outputs[i].type);
    write(outputs[i].format);
    write(outputs[i].rank);
    std::fwrite(outputs[i].dims, sizeof(int64_t), static_cast<size_t>(outputs[i].rank), stdout);
    auto const bytes = results[i].get();
    write_bytes(bytes.data(), bytes.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) fail("usage: driver LIBRARY");
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror());
  auto const get_face = reinterpret_cast<decltype(&trtreg_get_face)>(dlsym(library, "trtreg_get_face"));
  trtreg_face const* const face = get_face ? get_face(TRTREG_FACE_ABI) : nullptr;
  if (!face) fail("no face of this version");
  for (int next; (next = std::getchar()) == 'R';) {  // each request begins so; the end of the input ends all
    serve(*face);
    std::fflush(stdout);
  }
}
