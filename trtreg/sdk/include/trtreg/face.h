/* The plain-C face of a plugin library: the same kernels without TensorRT, for PyTorch, for tests, for any language.
 *
 * `trtreg_get_face(TRTREG_FACE_ABI)` gives the table, or NULL if the library does not speak that version. Functions
 * that can fail return 0, or -1 with the reason in last_error() of the same thread. Nothing throws, nothing aborts. */
#ifndef TRTREG_FACE_H
#define TRTREG_FACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRTREG_FACE_ABI 1
#define TRTREG_MAX_DIMS 8

/* Values of `type` and `format` are those of TensorRT's DataType, TensorFormat and PluginFieldType. */
typedef struct trtreg_tensor {
  void* data; /* device memory; not read by infer */
  int32_t type;
  int32_t format;
  int32_t rank;
  int32_t reserved; /* 0 */
  int64_t dims[TRTREG_MAX_DIMS];
} trtreg_tensor;

typedef struct trtreg_field {
  char const* name;
  void const* data;
  int32_t type;
  int32_t length;
} trtreg_field;

typedef struct trtreg_plugin trtreg_plugin;

typedef struct trtreg_face {
  uint32_t abi;
  uint32_t size; /* of this table in bytes: a newer library may append functions */

  /* UTF-8 JSON: SDK and toolkit versions, and every creator with its fields; lives as long as the library. */
  char const* (*describe)(void);
  char const* (*last_error)(void);

  int32_t (*create)(char const* name, char const* version, char const* plugin_namespace, trtreg_field const* fields,
                    int32_t field_count, trtreg_plugin** plugin);
  void (*destroy)(trtreg_plugin* plugin);

  int32_t (*output_count)(trtreg_plugin const* plugin);

  /* Writes type, format, rank and dims of `outputs`, and the bytes of device workspace that enqueue will need. A
   * dimension known only after the run is given as its upper bound. `shape_inputs`: the values of inputs that are shape
   * tensors, in dims. */
  int32_t (*infer)(trtreg_plugin const* plugin, trtreg_tensor const* inputs, int32_t input_count,
                   trtreg_tensor const* shape_inputs, int32_t shape_input_count, trtreg_tensor* outputs,
                   int32_t output_count, uint64_t* workspace_size);

  /* Puts the work on `stream` (a cudaStream_t) of the current device. Tensors are checked against infer first. One
   * plugin may be enqueued from several threads. */
  int32_t (*enqueue)(trtreg_plugin const* plugin, trtreg_tensor const* inputs, int32_t input_count,
                     trtreg_tensor const* shape_inputs, int32_t shape_input_count, trtreg_tensor const* outputs,
                     int32_t output_count, void* workspace, void* stream);
} trtreg_face;

__attribute__((visibility("default"))) trtreg_face const* trtreg_get_face(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif /* TRTREG_FACE_H */
