// What the effect tells hosts about itself before there is an instance.
#pragma once

#include "host.h"

namespace mive {

OfxStatus describe(OfxImageEffectHandle effect);
OfxStatus describe_in_context(OfxImageEffectHandle effect);
OfxStatus clip_preferences(const Props& answers);

}  // namespace mive
