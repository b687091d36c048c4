// Does with a library of plugins what TensorRT does, from a node to runs of an engine, and says what came of it.
//
//   host LIBRARY OP ATTRIBUTE INPUTS KEY [SM=FILE...]
//
// ATTRIBUTE is "bounded=1" or "-"; INPUTS are "1:6,2,12,8;3:3", TensorRT's number of the type and the sizes of each.
// The files hold packed kernels, offered under KEY. Tensor i lies at 4096 * (i + 1), the result after the inputs, the
// workspace at 1 << 20; with $HOST_SAME input 2 lies where input 1 does. $HOST_SHIFT is added to input 0's address.
// With $HOST_LATE the op's name is asked for once more, when the library's own objects are destroyed.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "trt_abi.h"

using namespace nvinfer1;

namespace {

void* library;

template <typename Function>
Function* find(const char* name) {
  auto* function = reinterpret_cast<Function*>(dlsym(library, name));
  if (!function) std::printf("missing %s\n", name), std::exit(2);
  return function;
}

[[noreturn]] void stop(const char* where) {
  char text[1000];
  find<void(char*, std::size_t)>("mive_plugins_error")(text, sizeof text);
  std::printf("failed %s: %s\n", where, text);
  std::exit(0);
}

std::vector<DynamicPluginTensorDesc> read_inputs(const std::string& text) {
  std::vector<DynamicPluginTensorDesc> tensors;
  std::istringstream all(text);
  for (std::string entry; std::getline(all, entry, ';');) {
    DynamicPluginTensorDesc tensor{};
    const auto colon = entry.find(':');
    tensor.desc.type = static_cast<DataType>(std::stoi(entry.substr(0, colon)));
    std::istringstream sizes(entry.substr(colon + 1));
    for (std::string size; std::getline(sizes, size, ',');) tensor.desc.dims.d[tensor.desc.dims.nbDims++] = std::stoll(size);
    tensors.push_back(tensor);
  }
  return tensors;
}

template <typename Capability>
Capability* capability(IPluginV3& plugin, PluginCapabilityType type) {
  return static_cast<Capability*>(plugin.getCapabilityInterface(type));
}

IPluginCreatorV3One* find_creator(const std::string& op) {
  std::int32_t count = 0;
  auto* const* creators = find<IPluginCreatorInterface* const*(std::int32_t&)>("getCreators")(count);
  for (std::int32_t i = 0; i < count; ++i) {
    auto* creator = static_cast<IPluginCreatorV3One*>(creators[i]);
    if (creator->getPluginName() == op) return creator;
  }
  std::exit(2);
}

void offer(const char* key, const std::string& argument) {
  const auto equals = argument.find('=');
  std::ifstream file(argument.substr(equals + 1), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  find<int(const char*, int, const void*, std::size_t)>("mive_plugins_offer")(key, std::stoi(argument), bytes.data(),
                                                                              bytes.size());
}

using Owned = std::unique_ptr<IPluginV3>;

Owned from_node(IPluginCreatorV3One& creator, const std::string& attribute) {
  const auto equals = attribute.find('=');
  const std::string name = attribute.substr(0, equals);
  const std::int32_t value = equals == std::string::npos ? 0 : std::stoi(attribute.substr(equals + 1));
  const PluginField field{name.c_str(), &value, PluginFieldType::kINT32, 1};
  const PluginFieldCollection fields{attribute == "-" ? 0 : 1, &field};
  Owned plugin(creator.createPlugin("node", &fields, TensorRTPhase::kBUILD));
  if (!plugin) stop("node");
  return plugin;
}

void configure(IPluginV3& plugin, const std::vector<DynamicPluginTensorDesc>& inputs) {
  auto& build = *capability<IPluginV3OneBuild>(plugin, PluginCapabilityType::kBUILD);
  const auto count = static_cast<std::int32_t>(inputs.size());
  auto tensors = inputs;
  tensors.push_back(inputs[0]);
  std::string taken;
  for (std::int32_t i = 0; i <= count; ++i) taken += build.supportsFormatCombination(i, tensors.data(), count, 1) ? "1" : "0";
  std::printf("takes %s\n", taken.c_str());
  if (build.configurePlugin(inputs.data(), count, &tensors[count], 1)) stop("configure");
  std::printf("workspace %zu\n", build.getWorkspaceSize(inputs.data(), count, &tensors[count], 1));
}

// As if written to a file and read by another process.
Owned through_an_engine(IPluginCreatorV3One& creator, IPluginV3& plugin) {
  const auto* fields = capability<IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME)->getFieldsToSerialize();
  if (!fields) stop("serialise");
  std::vector<std::pair<std::string, std::string>> written;
  for (std::int32_t i = 0; i < fields->nbFields; ++i) {
    const PluginField& field = fields->fields[i];
    written.emplace_back(field.name, std::string(static_cast<const char*>(field.data), field.length));
  }
  if (const char* cut = std::getenv("HOST_CUT")) written.back().second.resize(std::stoul(cut));
  std::vector<PluginField> read;
  for (const auto& [name, bytes] : written) {
    const auto length = static_cast<std::int32_t>(bytes.size());
    read.push_back({name.c_str(), bytes.data(), PluginFieldType::kUNKNOWN, length});
    std::printf("field %s %d\n", name.c_str(), length);
  }
  const PluginFieldCollection collection{static_cast<std::int32_t>(read.size()), read.data()};
  Owned made(creator.createPlugin("layer", &collection, TensorRTPhase::kRUNTIME));
  if (!made) stop("engine");
  return made;
}

void run(IPluginV3& plugin, const std::vector<DynamicPluginTensorDesc>& inputs) {
  auto& runtime = *capability<IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME);
  std::vector<PluginTensorDesc> tensors;
  std::vector<const void*> addresses;
  for (const auto& input : inputs) {
    tensors.push_back(input.desc);
    addresses.push_back(reinterpret_cast<const void*>(4096 * tensors.size()));
  }
  if (std::getenv("HOST_SAME")) addresses[2] = addresses[1];
  if (const char* shift = std::getenv("HOST_SHIFT")) addresses[0] = reinterpret_cast<const void*>(4096 + std::stoul(shift));
  void* output = reinterpret_cast<void*>(4096 * (tensors.size() + 1));
  if (runtime.onShapeChange(tensors.data(), static_cast<std::int32_t>(tensors.size()), tensors.data(), 1)) stop("shapes");
  if (runtime.enqueue(tensors.data(), tensors.data(), addresses.data(), &output, reinterpret_cast<void*>(1 << 20),
                      reinterpret_cast<cudaStream_t>(77))) {
    stop("enqueue");
  }
  auto other = tensors;
  other[0].dims.d[0] += 1;
  if (!runtime.onShapeChange(other.data(), static_cast<std::int32_t>(other.size()), other.data(), 1)) std::printf("took other shapes\n");
}

IPluginCreatorV3One* late;

void ask_late() { std::printf("late %s\n", late->getPluginName()); }

}  // namespace

int main(int count, char** arguments) {
  if (std::getenv("HOST_LATE")) std::atexit(ask_late);
  library = dlopen(arguments[1], RTLD_NOW);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  auto& creator = *(late = find_creator(arguments[2]));
  const auto inputs = read_inputs(arguments[4]);
  for (int i = 6; i < count; ++i) offer(arguments[5], arguments[i]);
  Owned node = from_node(creator, arguments[3]);
  Owned copy(node->clone());
  node.reset();
  configure(*copy, inputs);
  find<void()>("mive_plugins_withdraw")();
  Owned configured(copy->clone());
  copy.reset();
  Owned engine = through_an_engine(creator, *configured);
  configured.reset();
  for (int context = 0; context < 3; ++context) {
    auto* runtime = capability<IPluginV3OneRuntime>(*engine, PluginCapabilityType::kRUNTIME);
    Owned attached(runtime->attachToContext(nullptr));
    if (!attached) stop("attach");
    if (context == 2) engine.reset();
    run(*attached, inputs);
  }
  std::printf("done\n");
}
