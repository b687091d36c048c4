#include "kernels.h"

#include <cstring>

#include "failure.h"

namespace mive {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}

  template <typename Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }

  std::string text(std::size_t size) { return {take(size), size}; }

  // A count of things of at least `least` bytes each.
  std::uint32_t count(std::size_t least) {
    const auto count = number<std::uint32_t>();
    if (count > (bytes_.size() - place_) / least) broken();
    return count;
  }

  // A number below `end`.
  std::uint32_t below(std::uint32_t end) {
    const auto value = number<std::uint32_t>();
    if (value >= end) broken();
    return value;
  }

  void expect(const std::string& start) {
    if (text(start.size()) != start) broken();
  }

  void finish() const {
    if (place_ != bytes_.size()) broken();
  }

 private:
  [[noreturn]] static void broken() { throw Failure("compiled kernels are damaged or of another version"); }

  const char* take(std::size_t size) {
    if (size > bytes_.size() - place_) broken();
    place_ += size;
    return bytes_.data() + place_ - size;
  }

  const std::string& bytes_;
  std::size_t place_ = 0;
};

Parameter read_parameter(Reader& reader, std::uint32_t inputs) {
  Parameter parameter{};
  parameter.kind = static_cast<Parameter::Kind>(reader.below(Parameter::kNull + 1));
  parameter.index = reader.below(parameter.kind == Parameter::kInput ? inputs : 1);
  parameter.value = reader.number<std::uint64_t>();
  return parameter;
}

Launch read_launch(Reader& reader, std::uint32_t inputs) {
  Launch launch{};
  launch.when = static_cast<Launch::When>(reader.below(Launch::kIfDifferent + 1));
  launch.first = reader.below(inputs);
  launch.second = reader.below(inputs);
  for (auto& size : launch.grid) size = reader.number<std::uint32_t>();
  launch.threads = reader.number<std::uint32_t>();
  launch.shared = reader.number<std::uint32_t>();
  launch.name = reader.text(reader.count(1));
  launch.cubin = reader.text(reader.count(1));
  launch.parameters.resize(reader.count(16));
  for (auto& parameter : launch.parameters) parameter = read_parameter(reader, inputs);
  return launch;
}

}  // namespace

Kernels parse_kernels(const std::string& bytes, std::uint32_t inputs) {
  Reader reader(bytes);
  Kernels kernels;
  reader.expect("MIVEKRN" MIVE_PLUGIN_VERSION);
  kernels.workspace = reader.number<std::uint64_t>();
  kernels.launches.resize(reader.count(44));
  for (auto& launch : kernels.launches) launch = read_launch(reader, inputs);
  reader.finish();
  return kernels;
}

}  // namespace mive
