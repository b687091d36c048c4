#include "patience.h"

#include <poll.h>

#include <algorithm>

namespace mive {

int Patience::slice() const {
  const auto left = std::chrono::ceil<milliseconds>(end_ - Clock::now());
  return static_cast<int>(std::clamp(left, milliseconds{1}, kAbortInterval).count());
}

Patience Patience::shorter(milliseconds length) const {
  Patience part(length, aborted_);
  part.end_ = std::min(part.end_, end_);
  return part;
}

bool Patience::pause(milliseconds length) const {
  const auto until = Clock::now() + length;
  do {
    if (over() || aborted()) return false;
    poll(nullptr, 0, slice());
  } while (Clock::now() < until);
  return true;
}

}  // namespace mive
