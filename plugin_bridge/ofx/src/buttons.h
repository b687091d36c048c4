// What happens when the user presses a button or changes a parameter. All of it runs on the host's interface thread.
#pragma once

#include "host.h"

namespace mive {

OfxStatus instance_changed(OfxImageEffectHandle effect, const Props& arguments);

// Brings the status line up to date, without starting anything for it.
void refresh_status(OfxImageEffectHandle effect);

}  // namespace mive
