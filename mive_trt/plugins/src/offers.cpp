#include "offers.h"

#include <map>
#include <mutex>
#include <utility>

namespace mive {
namespace {

std::mutex mutex;
std::map<std::string, Variants::Bytes> offers;

}  // namespace

void offer(const std::string& key, int capability, std::string bytes) {
  const std::lock_guard lock(mutex);
  offers[key][capability] = std::move(bytes);
}

void withdraw_offers() {
  const std::lock_guard lock(mutex);
  offers.clear();
}

Variants::Bytes offered(const std::string& key) {
  const std::lock_guard lock(mutex);
  const auto found = offers.find(key);
  return found == offers.end() ? Variants::Bytes{} : found->second;
}

}  // namespace mive
