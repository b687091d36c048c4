// Kernels that whoever builds an engine has compiled for it, by the shapes they are for.
#pragma once

#include <string>

#include "loaded.h"

namespace mive {

void offer(const std::string& key, int capability, std::string bytes);

void withdraw_offers();

// All that were offered under `key`, by compute capability.
Variants::Bytes offered(const std::string& key);

}  // namespace mive
