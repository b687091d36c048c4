// What went wrong, kept for whoever asks: TensorRT only knows that something did.
#pragma once

#include <stdexcept>
#include <string>

namespace mive {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void remember_failure(const std::string& what) noexcept;

// The last failure since it was last taken, from any thread; "" if there was none.
std::string take_failure();

// The result of `work`, or `otherwise` if it throws: no exception may reach TensorRT.
template <typename Result, typename Work>
Result guarded(Result otherwise, Work work) noexcept {
  try {
    return work();
  } catch (const std::exception& error) {
    remember_failure(error.what());
  } catch (...) {
    remember_failure("something unknown failed");
  }
  return otherwise;
}

}  // namespace mive
