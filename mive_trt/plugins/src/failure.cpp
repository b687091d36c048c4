#include "failure.h"

#include <mutex>
#include <utility>

namespace mive {
namespace {

std::mutex mutex;
std::string last;

}  // namespace

void remember_failure(const std::string& what) noexcept try {
  const std::lock_guard lock(mutex);
  last = what;
} catch (...) {
}

std::string take_failure() {
  const std::lock_guard lock(mutex);
  return std::exchange(last, {});
}

}  // namespace mive
