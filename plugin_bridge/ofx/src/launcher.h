// Starts the bridge: a program of its own that detaches itself and outlives the host if it has work to do.
#pragma once

#include <sys/types.h>

#include <string>

#include "patience.h"

namespace mive {

// Not safe to share between threads by itself; the pool of connections guards it.
class Launcher {
 public:
  // Starts the bridge if no start is under way and the last one is long enough ago; otherwise looks how it goes.
  // Returns an empty text while there is hope, else why there is no bridge.
  std::string nudge(const std::string& socket_path);

  // Takes leave of the program that detached itself, if it has ended.
  void reap() {
    if (child_ > 0) look();
  }

 private:
  std::string start(const std::string& socket_path);
  std::string look();

  pid_t child_ = -1;  // the program, until it has detached itself or failed
  Clock::time_point started_{};
  std::string why_;
  bool ever_ = false;
};

}  // namespace mive
