// The host: its suites, what it can do, and property sets without the handle juggling.
#pragma once

#include <optional>
#include <string>

#include "ofx_abi.h"

namespace mive {

// The suites of the host. The first three are always there once `load_suites` said so, the others may be null.
struct Suites {
  const OfxPropertySuiteV1* property = nullptr;
  const OfxImageEffectSuiteV1* effect = nullptr;
  const OfxParameterSuiteV1* parameter = nullptr;
  const OfxMessageSuiteV1* message = nullptr;
  const OfxMessageSuiteV2* persistent_message = nullptr;
  const OfxProgressSuiteV1* progress = nullptr;
  const OfxTimeLineSuiteV1* timeline = nullptr;
};

void set_host(const OfxHost* host);

// Fetches the suites; doing it again is harmless. Without one of the first three: kOfxStatErrMissingHostFeature.
OfxStatus load_suites();

const Suites& suites();

// A property set. Reads give nothing where the host does not know the property; writes to unknown ones are ignored,
// because hosts may leave out whatever they do not support.
class Props {
 public:
  explicit Props(OfxPropertySetHandle handle) : handle_(handle) {}

  void set(const char* name, const char* value, int index = 0) const;
  void set(const char* name, int value, int index = 0) const;
  void set(const char* name, double value, int index = 0) const;

  std::optional<std::string> text(const char* name, int index = 0) const;
  std::optional<int> whole(const char* name, int index = 0) const;
  std::optional<double> number(const char* name, int index = 0) const;
  std::optional<OfxRectI> rectangle(const char* name) const;
  void* pointer(const char* name) const;

 private:
  OfxPropertySetHandle handle_;
};

// The host's name, such as "uk.co.thefoundry.nuke"; empty where it has none.
std::string host_name();

// Whether images of other times than the rendered one can be asked for. A host that does not say so may answer with
// the current frame.
bool host_has_temporal_access();

Props properties_of(OfxImageEffectHandle effect);

}  // namespace mive
