// Control messages of the link: a type, then one `name value` a line. See plugin_bridge/LINK.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cache_key.h"

namespace mive {

inline constexpr std::size_t kMaxMessageBytes = 65536;

struct Message {
  std::string type;
  Fields fields;

  void add(std::string name, std::string value) { fields.emplace_back(std::move(name), std::move(value)); }
  const std::string* find(std::string_view name) const;
  std::string text(std::string_view name) const;                    // empty where there is none
  std::optional<int> whole(std::string_view name, int most) const;  // 0 to `most`
};

std::string encode(const Message& message);

// Nothing where the text is not UTF-8, a name is malformed or there twice, or an escape is unknown.
std::optional<Message> decode(std::string_view text);

}  // namespace mive
