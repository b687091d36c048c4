#include "host.h"

namespace mive {
namespace {

const OfxHost* the_host = nullptr;
Suites the_suites;

template <typename Suite>
const Suite* fetch(const char* name, int version) {
  return static_cast<const Suite*>(the_host->fetchSuite(the_host->host, name, version));
}

}  // namespace

void set_host(const OfxHost* host) { the_host = host; }

OfxStatus load_suites() {
  if (the_host == nullptr || the_host->fetchSuite == nullptr) return kOfxStatErrMissingHostFeature;
  Suites found;
  found.property = fetch<OfxPropertySuiteV1>(kOfxPropertySuite, 1);
  found.effect = fetch<OfxImageEffectSuiteV1>(kOfxImageEffectSuite, 1);
  found.parameter = fetch<OfxParameterSuiteV1>(kOfxParameterSuite, 1);
  found.persistent_message = fetch<OfxMessageSuiteV2>(kOfxMessageSuite, 2);
  found.message = fetch<OfxMessageSuiteV1>(kOfxMessageSuite, 1);
  found.progress = fetch<OfxProgressSuiteV1>(kOfxProgressSuite, 1);
  found.timeline = fetch<OfxTimeLineSuiteV1>(kOfxTimeLineSuite, 1);
  if (!found.property || !found.effect || !found.parameter) return kOfxStatErrMissingHostFeature;
  the_suites = found;
  return kOfxStatOK;
}

const Suites& suites() { return the_suites; }

void Props::set(const char* name, const char* value, int index) const {
  suites().property->propSetString(handle_, name, index, value);
}

void Props::set(const char* name, int value, int index) const {
  suites().property->propSetInt(handle_, name, index, value);
}

void Props::set(const char* name, double value, int index) const {
  suites().property->propSetDouble(handle_, name, index, value);
}

std::optional<std::string> Props::text(const char* name, int index) const {
  char* value = nullptr;
  if (!handle_ || suites().property->propGetString(handle_, name, index, &value) != kOfxStatOK || !value) return {};
  return std::string(value);
}

std::optional<int> Props::whole(const char* name, int index) const {
  int value = 0;
  if (!handle_ || suites().property->propGetInt(handle_, name, index, &value) != kOfxStatOK) return {};
  return value;
}

std::optional<double> Props::number(const char* name, int index) const {
  double value = 0;
  if (!handle_ || suites().property->propGetDouble(handle_, name, index, &value) != kOfxStatOK) return {};
  return value;
}

std::optional<OfxRectI> Props::rectangle(const char* name) const {
  OfxRectI value{};
  if (!handle_ || suites().property->propGetIntN(handle_, name, 4, &value.x1) != kOfxStatOK) return {};
  return value;
}

void* Props::pointer(const char* name) const {
  void* value = nullptr;
  if (!handle_ || suites().property->propGetPointer(handle_, name, 0, &value) != kOfxStatOK) return nullptr;
  return value;
}

std::string host_name() { return Props(the_host->host).text(kOfxPropName).value_or(""); }

bool host_has_temporal_access() {
  return Props(the_host->host).whole(kOfxImageEffectPropTemporalClipAccess).value_or(0) != 0;
}

Props properties_of(OfxImageEffectHandle effect) {
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->getPropertySet(effect, &handle) != kOfxStatOK) handle = nullptr;
  return Props(handle);
}

}  // namespace mive
