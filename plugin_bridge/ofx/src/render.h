// What the effect shows.
#pragma once

#include "host.h"

namespace mive {

OfxStatus render(OfxImageEffectHandle effect, const Props& arguments);

// Whether the source itself is to be shown, whatever the frame.
OfxStatus is_identity(OfxImageEffectHandle effect, const Props& arguments, const Props& answers);

}  // namespace mive
