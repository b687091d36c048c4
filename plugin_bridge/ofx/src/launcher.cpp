#include "launcher.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "socket.h"
#include "text.h"

namespace mive {
namespace {

// What hosts set for their own libraries and their own Python, and what would break the bridge's.
constexpr std::string_view kHostOnly[] = {"LD_LIBRARY_PATH=", "LD_PRELOAD=", "PYTHONHOME=", "PYTHONPATH=",
                                          "MIVE_BRIDGE_SOCKET="};

std::vector<std::string> environment(const std::string& socket_path) {
  std::vector<std::string> kept = {"MIVE_BRIDGE_SOCKET=" + socket_path};
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    bool host_only = false;
    for (const std::string_view name : kHostOnly) host_only = host_only || text.substr(0, name.size()) == name;
    if (!host_only) kept.emplace_back(text);
  }
  return kept;
}

int remember_own_path(dl_phdr_info* info, std::size_t, void* found) {
  const auto here = reinterpret_cast<ElfW(Addr)>(&remember_own_path);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const ElfW(Addr) begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && here >= begin && here < begin + segment.p_memsz) {
      *static_cast<std::string*>(found) = info->dlpi_name;
      return 1;
    }
  }
  return 0;
}

std::string first_line(const std::string& path) {
  char line[4096];
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t got = file ? read(file.get(), line, sizeof line) : 0;
  return got > 0 ? std::string(trimmed(split({line, static_cast<std::size_t>(got)}, '\n').front())) : std::string();
}

// The bundle's Contents/Resources/bridge names the program that belongs to this installation.
std::string program() {
  if (const char* chosen = std::getenv("MIVE_BRIDGE"); chosen && *chosen) return chosen;
  std::string path;
  dl_iterate_phdr(remember_own_path, &path);
  for (int up = 0; up < 2; ++up) path.erase(std::min(path.find_last_of('/'), path.size()));
  const std::string named = first_line(path + "/Resources/bridge");
  return named.empty() ? "mive-bridge" : named;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// The host's signal mask and handlers are no business of the bridge, nor is its terminal.
int spawn(pid_t* child, std::vector<std::string> arguments, std::vector<std::string> variables) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
  if (posix_spawnattr_init(&attributes) != 0) {
    posix_spawn_file_actions_destroy(&files);
    return ENOMEM;
  }
  for (const int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  const std::string path = arguments.front();
  const int error =
      posix_spawnp(child, path.c_str(), &files, &attributes, pointers(arguments).data(), pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

}  // namespace

std::string Launcher::nudge(const std::string& socket_path) {
  if (child_ > 0) return look();
  if (ever_ && Clock::now() - started_ < kStartInterval) return why_;
  return start(socket_path);
}

std::string Launcher::start(const std::string& socket_path) {
  ever_ = true;
  started_ = Clock::now();
  const std::string path = program();
  const int error = spawn(&child_, {path, "--detach"}, environment(socket_path));
  why_.clear();
  if (error != 0) {
    child_ = -1;
    why_ = "The bridge \"" + path + "\" cannot be started: " + std::strerror(error) +
           ". Install MIVE's bridge with `mive plugin install`.";
  }
  return why_;
}

std::string Launcher::look() {
  int status = 0;
  const pid_t ended = waitpid(child_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) {
    if (Clock::now() - started_ > kStartPatience) kill(child_, SIGKILL);
    return "";
  }
  child_ = -1;
  // Where the host itself reaps all children nothing is known, and the socket will tell.
  const bool fine = ended < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
  why_ = fine ? "" : "The bridge did not start. `mive-bridge --doctor` says why.";
  return why_;
}

}  // namespace mive
