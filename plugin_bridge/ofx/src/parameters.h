// The effect's parameters: what a host shows, and their values.
#pragma once

#include <string>

#include "edit.h"
#include "host.h"

namespace mive {

inline constexpr char kAnalyseParam[] = "analyse";
inline constexpr char kCancelParam[] = "cancel";

void define_parameters(OfxImageEffectHandle effect);

Parameters read_parameters(OfxImageEffectHandle effect);

// Shows a text in the status line, unless it stands there already. Only in actions of the interface thread.
void show_status(OfxImageEffectHandle effect, const std::string& text);

}  // namespace mive
