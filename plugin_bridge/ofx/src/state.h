// What the bridge says about an edit, and how that reads.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "message.h"

namespace mive {

enum class Phase { unknown, collecting, queued, running, done, failed, cancelled, changed };

struct State {
  Phase phase = Phase::unknown;
  int done = 0, total = 0;  // frames; 0 of 0 where nothing can be said
  std::optional<int> eta;   // seconds
  std::string leak;         // the worst leak score; empty where there is none
  std::string text;         // what else there is to say, such as the last error
  std::vector<std::pair<int, int>> missing;  // while collecting: frames that have not come, as ranges

  bool lacks(int frame) const;

  // Whether waiting can end well.
  bool hopeful() const { return phase == Phase::queued || phase == Phase::running || phase == Phase::done; }
};

// Nothing where the message is malformed.
std::optional<State> state_from(const Message& message);

// "Editing: 4 of 10 frames are done, about 12 s left."
std::string sentence(const State& state);

}  // namespace mive
