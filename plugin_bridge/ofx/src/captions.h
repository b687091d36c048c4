// Captions: what each instance should become, one `id: caption` a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mive {

inline constexpr int kMaxInstanceId = 65535;  // what a 16-bit ID matte can tell apart
inline constexpr std::size_t kMaxInstances = 64;
inline constexpr std::size_t kMaxCaptionBytes = 400;

struct Caption {
  int id;            // 1 or more: the instance's pixel value in an ID matte
  std::string text;  // what it should become; UTF-8, not empty, no control characters
};

struct Captions {
  std::vector<Caption> all;  // in the order written: later ones lie on top
  std::string error;         // not empty where the text is wrong; then `all` is not to be used
};

// Reads captions strictly. Blank lines are skipped, spaces around ids and captions too. Anything else that is not
// `id: caption` is an error that names the line and says what was expected.
Captions parse_captions(std::string_view text);

}  // namespace mive
