#include "tablet/hook.h"

#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/process.h"

namespace vitrail::tablet {
namespace {

using namespace std::chrono_literals;
constexpr size_t kOutputBytesMax = 1 << 20;

// A file that is gone with this object.
class OutputFile {
 public:
  OutputFile() : path_((std::filesystem::temp_directory_path() / "vitrail-hook-XXXXXX").string()) {
    const int descriptor = ::mkstemp(path_.data());
    if (descriptor >= 0) ::close(descriptor);
  }
  ~OutputFile() { ::unlink(path_.c_str()); }
  OutputFile(const OutputFile&) = delete;
  const std::string& path() const { return path_; }
  std::string text() const {
    auto all = base::read_file(path_);
    return all.ok() ? all->substr(0, kOutputBytesMax) : std::string();
  }

 private:
  std::string path_;
};

::tabletmanagerdata::ExecuteHookResponse answer(int64_t status, std::string error) {
  ::tabletmanagerdata::ExecuteHookResponse out;
  out.set_exit_status(status);
  out.set_stderr(std::move(error));
  return out;
}

}  // namespace

net::Task<Result<::tabletmanagerdata::ExecuteHookResponse>> run_hook(::tabletmanagerdata::ExecuteHookRequest request,
                                                                     std::string tablet_alias, net::Wait wait) {
  const std::string& name = request.name();
  if (name.empty() || name.contains('/') || name == "." || name == "..") {
    co_return answer(kHookInvalidName, "hook name '" + name + "' is not the name of a file\n");
  }
  const char* root = std::getenv("VTROOT");
  if (root == nullptr || *root == 0) co_return answer(kHookNoRoot, "VTROOT is not set, so there are no hooks\n");
  const std::string program = std::string(root) + "/vthook/" + name;
  if (::access(program.c_str(), X_OK) != 0) co_return answer(kHookDoesNotExist, "missing hook " + program + "\n");
  const OutputFile out, error;
  base::SpawnOptions options;
  options.argv = {program};
  options.argv.insert(options.argv.end(), request.parameters().begin(), request.parameters().end());
  options.environment = {"TABLET_ALIAS=" + tablet_alias};
  for (const auto& [variable, value] : request.extra_env()) options.environment.push_back(variable + "=" + value);
  options.stdout_path = out.path();
  options.stderr_path = error.path();
  auto child = base::ChildProcess::spawn(options);
  if (!child.ok()) co_return answer(kHookGenericError, child.error().message() + "\n");
  for (;;) {
    auto ended = child->poll();
    if (!ended.ok()) co_return answer(kHookNoExitStatus, ended.error().message() + "\n");
    if (ended->has_value()) {
      ::tabletmanagerdata::ExecuteHookResponse response;
      response.set_exit_status((*ended)->signal != 0 ? kHookNoExitStatus : (*ended)->code);
      response.set_stdout(out.text());
      // How it ended is told as text too, as Vitess does.
      std::string told = error.text();
      if ((*ended)->signal != 0) {
        told += fmt::format("ERROR: signal: {}\n", (*ended)->signal);
      } else if ((*ended)->code != 0) {
        told += fmt::format("ERROR: exit status {}\n", (*ended)->code);
      }
      response.set_stderr(std::move(told));
      co_return response;
    }
    const bool late = base::system_clock().now() + 100ms >= wait.deadline;
    if (late || !(co_await net::sleep_for(10ms, wait.cancel)).ok()) {
      (void)child->kill(SIGKILL);
      (void)child->wait(1s);
      co_return answer(kHookTimeout, "the hook was ended: it took too long\n" + error.text());
    }
  }
}

}  // namespace vitrail::tablet
