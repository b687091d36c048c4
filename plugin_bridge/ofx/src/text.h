// Small things about text that do not depend on the host's locale.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mive {

// The pieces between the separators; one empty piece for an empty text.
std::vector<std::string_view> split(std::string_view text, char separator);

// Without spaces, tabs and carriage returns at either end.
std::string_view trimmed(std::string_view text);

// A number of ASCII digits, 0 to `most`; nothing where there is anything else.
std::optional<int> whole_number(std::string_view text, int most);

// Valid UTF-8 without control characters.
bool is_plain_text(std::string_view text);

// The same, of at most 500 bytes: what may be shown to people.
bool is_short_text(std::string_view text);

// Bytes as lower-case hexadecimal digits.
std::string hex(const unsigned char* bytes, std::size_t count);

}  // namespace mive
