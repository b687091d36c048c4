#include "cache_key.h"

#include <cmath>

#include "hash.h"
#include "text.h"

namespace mive {
namespace {

// Three decimals, whatever decimal sign the host's locale has.
std::string thousandths(double value) {
  const long long whole = std::llround(value * 1000);
  const std::string decimals = std::to_string(1000 + whole % 1000).substr(1);
  return std::to_string(whole / 1000) + "." + decimals;
}

std::string captions_text(const Captions& captions) {
  std::string text;
  for (const Caption& caption : captions.all) {
    if (!text.empty()) text += '\n';
    text += std::to_string(caption.id) + ": " + caption.text;
  }
  return text;
}

std::string mattes_text(const Edit& edit) {
  switch (edit.matte_kind) {
    case MatteKind::clip:
      return edit.second_clip ? "clips" : "clip";
    case MatteKind::file:
      return "file " + edit.mattes;
    case MatteKind::alpha:
      break;
  }
  return "alpha";
}

std::string hashed(const std::string& head, const Fields& fields) {
  std::string text = head + "\n";
  for (const auto& [name, value] : fields) text += name + " " + escaped(value) + "\n";
  const auto digest = sha256(text);
  return hex(digest.data(), digest.size());
}

}  // namespace

Fields edit_fields(const Edit& edit) {
  return {
      {"captions", captions_text(edit.captions)},
      {"source", edit.from_clip() ? "clip" : "file " + edit.media},
      {"mattes", mattes_text(edit)},
      {"frames", edit.frames.text()},
      {"preset", edit.preset},
      {"seed", std::to_string(edit.seed)},
      {"strength", thousandths(edit.strength)},
  };
}

std::string edit_key(const Fields& fields) { return hashed("mive-edit 2", fields); }

std::string frame_key(const std::string& edit_key, int frame, const Fields& contents) {
  Fields fields = {{"edit", edit_key}, {"frame", std::to_string(frame)}};
  fields.insert(fields.end(), contents.begin(), contents.end());
  return hashed("mive-frame 1", fields);
}

std::string escaped(const std::string& text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char character : text) {
    switch (character) {
      case '%':
        safe += "%25";
        break;
      case '\n':
        safe += "%0A";
        break;
      case '\r':
        safe += "%0D";
        break;
      default:
        safe += character;
    }
  }
  return safe;
}

}  // namespace mive
