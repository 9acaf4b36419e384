// Errors: an author throws, the SDK turns it into TensorRT's status code, its log and the C face's last_error.
#ifndef TRTREG_ERROR_H
#define TRTREG_ERROR_H

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>

#include "trtreg/abi.h"

namespace TRTREG_NAMESPACE {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws an Error made of `parts` unless `condition` holds: `require(rank == 4, "x has rank ", rank, ", expected 4")`.
template <typename... Parts>
void require(bool condition, Parts const&... parts) {
  if (condition) return;
  std::ostringstream message;
  (message << ... << parts);
  throw Error(message.str());
}

// Checks one CUDA call: `trtreg::check(cudaFuncSetAttribute(...), "cudaFuncSetAttribute")`.
inline void check(cudaError_t status, char const* what) {
  require(status == cudaSuccess, what, ": ", cudaGetErrorName(status), " (", cudaGetErrorString(status), ")");
}

namespace detail {

// TensorRT hands its logger finder over once, after it has opened the library.
inline std::atomic<abi::ILoggerFinder*> logger_finder{nullptr};

// Plain storage, not a std::string: a thread-local destructor would keep the library from being unloaded.
inline thread_local char last_error[1024]{};

inline void log(abi::ILogger::Severity severity, char const* message) noexcept {
  abi::ILoggerFinder* finder = logger_finder.load();
  abi::ILogger* logger = finder ? finder->findLogger() : nullptr;
  if (logger) logger->log(severity, message);
}

inline void report(char const* plugin, char const* what) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s: %s", plugin, what);
  log(abi::ILogger::Severity::kERROR, last_error);
}

// The only try block between an author's code and TensorRT: no exception crosses the boundary.
template <typename Result, typename Body>
Result guarded(char const* plugin, Result failure, Body&& body) noexcept {
  try {
    return body();
  } catch (std::exception const& error) {
    report(plugin, error.what());
  } catch (...) {
    report(plugin, "an exception of an unknown kind");
  }
  return failure;
}

}  // namespace detail
}  // namespace TRTREG_NAMESPACE

#endif  // TRTREG_ERROR_H
