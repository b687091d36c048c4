#include "message.h"

#include "text.h"

namespace mive {
namespace {

bool is_word(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    const std::string_view code = text.substr(i, 3);
    if (code == "%25") {
      plain += '%';
    } else if (code == "%0A") {
      plain += '\n';
    } else if (code == "%0D") {
      plain += '\r';
    } else {
      return {};
    }
    i += 2;
  }
  return plain;
}

}  // namespace

const std::string* Message::find(std::string_view name) const {
  for (const auto& field : fields) {
    if (field.first == name) return &field.second;
  }
  return nullptr;
}

std::string Message::text(std::string_view name) const {
  const std::string* value = find(name);
  return value ? *value : std::string();
}

std::optional<int> Message::whole(std::string_view name, int most) const {
  const std::string* value = find(name);
  return value ? whole_number(*value, most) : std::nullopt;
}

std::string encode(const Message& message) {
  std::string text = message.type + "\n";
  for (const auto& [name, value] : message.fields) text += name + " " + escaped(value) + "\n";
  return text;
}

std::optional<Message> decode(std::string_view text) {
  if (text.empty() || text.back() != '\n') return {};
  text.remove_suffix(1);
  Message message;
  for (const std::string_view line : split(text, '\n')) {
    if (!is_plain_text(line)) return {};
    if (message.type.empty()) {
      if (!is_word(line)) return {};
      message.type = line;
      continue;
    }
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    const std::string_view name = line.substr(0, space);
    auto value = unescaped(line.substr(space + 1));
    if (!is_word(name) || !value || message.find(name)) return {};
    message.add(std::string(name), std::move(*value));
  }
  return message;
}

}  // namespace mive
