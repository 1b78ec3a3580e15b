#include "backup/copier.h"

#include <fmt/core.h>

#include <csignal>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

std::string last_lines(const std::string& path) {
  auto text = base::read_file(path, 64 << 20);
  if (!text.ok()) return "";
  constexpr size_t kShown = 600;
  return std::string(base::trim(text->size() <= kShown ? *text : text->substr(text->size() - kShown)));
}

}  // namespace

Status run_copier(const Copier& copier, Progress& progress) {
  const std::string& program = copier.argv.front();
  base::SpawnOptions spawn;
  spawn.argv = copier.argv;
  if (!copier.password.empty()) spawn.environment.push_back("MYSQL_PWD=" + copier.password);
  spawn.stdout_path = spawn.stderr_path = copier.output;
  spawn.new_session = true;  // So that all of it can be ended.
  auto child = base::ChildProcess::spawn(spawn);
  if (!child.ok()) {
    if (child.error().code() != Code::kNotFound) return std::move(child).error();
    return fail(Code::kNotFound, fmt::format("the program {} is not installed: install the package {}, or take the "
                                             "backup with the engine builtin",
                                             program, copier.package));
  }
  for (;;) {
    const auto ended = child->wait(std::chrono::milliseconds(100));
    if (ended.ok()) {
      if (ended->success()) return {};
      return fail(Code::kInternal,
                  fmt::format("{} ended with {}: {}", program, ended->to_string(), last_lines(copier.output)));
    }
    if (ended.error().code() != Code::kDeadlineExceeded) return Error(ended.error());
    if (!progress.stop) continue;
    ::kill(-child->pid(), SIGTERM);  // Its session.
    (void)child->stop(std::chrono::seconds(5));
    ::kill(-child->pid(), SIGKILL);
    return fail(Code::kCanceled, "the backup or restore was told to stop");
  }
}

}  // namespace vitrail::backup
