#include "state.h"

#include <climits>
#include <cstddef>

#include "text.h"

namespace mive {
namespace {

constexpr std::size_t kMaxRanges = 64;

constexpr std::pair<std::string_view, Phase> kPhases[] = {
    {"unknown", Phase::unknown}, {"collecting", Phase::collecting}, {"queued", Phase::queued},
    {"running", Phase::running}, {"done", Phase::done},             {"failed", Phase::failed},
    {"cancelled", Phase::cancelled}, {"changed", Phase::changed},
};

bool read_phase(const Message& message, State& state) {
  const std::string word = message.text("state");
  for (const auto& [name, phase] : kPhases) {
    if (word != name) continue;
    state.phase = phase;
    return true;
  }
  return false;
}

// A field that may be left out, but not be malformed.
bool read_optional(const Message& message, const char* name, std::optional<int>& value) {
  value = message.whole(name, INT_MAX);
  return value || !message.find(name);
}

bool read_missing(const Message& message, State& state) {
  const std::string* text = message.find("missing");
  if (!text || text->empty()) return true;
  const auto ranges = split(*text, ',');
  if (ranges.size() > kMaxRanges) return false;
  for (const std::string_view range : ranges) {
    const auto ends = split(range, '-');
    const auto first = whole_number(ends.front(), INT_MAX), last = whole_number(ends.back(), INT_MAX);
    if (ends.size() > 2 || !first || !last || *last < *first) return false;
    state.missing.emplace_back(*first, *last);
  }
  return true;
}

std::string counted(const State& state) {
  return state.total ? std::to_string(state.done) + " of " + std::to_string(state.total) + " frames" : "";
}

std::string as_sentence(std::string text) {
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string with(const std::string& head, const std::string& detail) {
  return detail.empty() ? head + "." : head + ": " + detail + ".";
}

}  // namespace

bool State::lacks(int frame) const {
  for (const auto& [first, last] : missing) {
    if (first <= frame && frame <= last) return true;
  }
  return false;
}

std::optional<State> state_from(const Message& message) {
  State state;
  std::optional<int> done, total;
  if (!read_phase(message, state) || !read_missing(message, state) || !read_optional(message, "done", done) ||
      !read_optional(message, "total", total) || !read_optional(message, "eta", state.eta)) {
    return {};
  }
  state.done = done.value_or(0);
  state.total = total.value_or(0);
  state.leak = message.text("leak");
  state.text = message.text("text");
  if (!is_plain_text(state.leak) || state.leak.size() > 16 || !is_short_text(state.text)) return {};
  return state;
}

std::string sentence(const State& state) {
  std::string text;
  switch (state.phase) {
    case Phase::unknown:
      text = "Not analysed: press Analyse.";
      break;
    case Phase::collecting:
      text = with("Collecting frames", counted(state).empty() ? "" : counted(state) + " are there");
      break;
    case Phase::queued:
      text = "Queued.";
      break;
    case Phase::running:
      text = with("Editing", counted(state).empty() ? "" : counted(state) + " are done");
      break;
    case Phase::done:
      text = with("Done", counted(state));
      break;
    case Phase::failed:
      text = "Failed.";
      break;
    case Phase::cancelled:
      text = "Cancelled: press Analyse to start again.";
      break;
    case Phase::changed:
      text = "The source or the mattes have changed since they were analysed: press Analyse.";
      break;
  }
  if (state.eta && state.phase != Phase::done) text += " About " + std::to_string(*state.eta) + " s left.";
  if (!state.leak.empty()) text += " Leak " + state.leak + ".";
  if (!state.text.empty()) text += " " + as_sentence(state.text);
  return text;
}

}  // namespace mive
