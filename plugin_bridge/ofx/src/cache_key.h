// The names of edits and frames. plugin_bridge/LINK.md says the same in words, with known answers; the bridge computes
// both names too, and nothing is shown whose names differ.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "edit.h"

namespace mive {

using Fields = std::vector<std::pair<std::string, std::string>>;

// Everything about an edit that changes its pixels, in the order that counts. Where it is computed (`server`) and what
// is shown meanwhile (`mode`, `onMiss`) is not among it.
Fields edit_fields(const Edit& edit);

// SHA-256 (hex) of "mive-edit 2" and the fields, one `name value` a line.
std::string edit_key(const Fields& fields);

// SHA-256 (hex) of "mive-frame 1", the edit, the number of the frame, and what its images hold ("-": not an image
// of this edit).
std::string frame_key(const std::string& edit_key, int frame, const Fields& contents);

// Text as the value of a field on one line: %, line feed and carriage return are %25, %0A and %0D.
std::string escaped(const std::string& text);

}  // namespace mive
