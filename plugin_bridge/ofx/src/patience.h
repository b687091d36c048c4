// How long to wait, and for whom to stop earlier. Every wait of the plugin has one.
#pragma once

#include <chrono>
#include <functional>

namespace mive {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The interface thread waits no longer than this for the bridge, its start included (per frame while collecting).
inline constexpr milliseconds kInterfacePatience{2000};
// Nor longer than this where nobody pressed a button: a glance at the state of a running job.
inline constexpr milliseconds kGlancePatience{250};
// A render waits no longer than this for any one answer.
inline constexpr milliseconds kAnswerPatience{3000};
// With `onMiss` = wait, a render gives up after this long without any answer,
inline constexpr milliseconds kSilencePatience{30000};
// or after this long in all. MIVE_WAIT_SECONDS in the host's environment changes it.
inline constexpr milliseconds kWaitPatience{600000};
// How often a waiting thread asks the host whether to abort.
inline constexpr milliseconds kAbortInterval{20};
// How often a frame that is being waited for is asked for.
inline constexpr milliseconds kAskInterval{100};
// After no answer or a wrong one, the bridge is left alone for this long, so that playback does not crawl.
inline constexpr milliseconds kQuiet{5000};
// And this long lies between two attempts to start it.
inline constexpr milliseconds kStartInterval{2000};
// A start that takes longer than this is ended by force.
inline constexpr milliseconds kStartPatience{15000};

class Patience {
 public:
  explicit Patience(milliseconds length, std::function<bool()> aborted = nullptr)
      : end_(Clock::now() + length), aborted_(std::move(aborted)) {}

  bool aborted() const { return aborted_ && aborted_(); }
  bool over() const { return Clock::now() >= end_; }

  // Milliseconds until it is time to look again, at least 1.
  int slice() const;

  // The same ear for abort, but no longer than `length` and not beyond this one's end.
  Patience shorter(milliseconds length) const;

  // Sleeps, but hears abort; false when there is nothing left to wait for.
  bool pause(milliseconds length = kAbortInterval) const;

 private:
  Clock::time_point end_;
  std::function<bool()> aborted_;
};

}  // namespace mive
