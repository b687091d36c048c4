#include "captions.h"

#include <algorithm>

#include "text.h"

namespace mive {
namespace {

std::string at_line(std::size_t number, const std::string& what) {
  return "captions, line " + std::to_string(number) + ": " + what;
}

// One line as a caption, or what is wrong with it.
std::string parse_line(std::string_view line, Caption& caption) {
  static constexpr char kExpected[] = " Expected `id: caption`, such as `1: a red ball`.";
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::string("there is no colon.") + kExpected;
  const std::string_view id = trimmed(line.substr(0, colon));
  const std::optional<int> number = whole_number(id, kMaxInstanceId);
  if (!number || *number < 1 || id.front() == '0') {
    return "\"" + std::string(id.substr(0, 40)) + "\" is no id from 1 to " + std::to_string(kMaxInstanceId) + "." +
           kExpected;
  }
  const std::string_view text = trimmed(line.substr(colon + 1));
  if (text.empty()) return "instance " + std::string(id) + " has no caption." + kExpected;
  if (text.size() > kMaxCaptionBytes) {
    return "the caption has " + std::to_string(text.size()) + " bytes. Expected at most " +
           std::to_string(kMaxCaptionBytes) + ".";
  }
  if (!is_plain_text(text)) return "the caption holds control characters, or is not UTF-8. Type it again.";
  caption = {*number, std::string(text)};
  return "";
}

}  // namespace

Captions parse_captions(std::string_view text) {
  Captions parsed;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trimmed(line);
    if (line.empty()) continue;
    Caption caption{};
    if (const std::string wrong = parse_line(line, caption); !wrong.empty()) {
      parsed.error = at_line(number, wrong);
      return parsed;
    }
    const auto same = [&](const Caption& other) { return other.id == caption.id; };
    if (std::any_of(parsed.all.begin(), parsed.all.end(), same)) {
      parsed.error = at_line(number, "instance " + std::to_string(caption.id) + " has a caption already.");
      return parsed;
    }
    parsed.all.push_back(std::move(caption));
  }
  if (parsed.all.empty()) parsed.error = "captions: there are none. Expected one `id: caption` a line.";
  if (parsed.all.size() > kMaxInstances) {
    parsed.error = "captions: there are " + std::to_string(parsed.all.size()) + " instances. Expected at most " +
                   std::to_string(kMaxInstances) + ".";
  }
  return parsed;
}

}  // namespace mive
