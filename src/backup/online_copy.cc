#include "backup/online_copy.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "backup/copier.h"
#include "base/file.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const mysqld::Layout& layout) { return layout.root + "/backup"; }
std::string output_of(const mysqld::Layout& layout) { return layout.root + "/mariadb-backup.log"; }

// About: files come and go.
uint64_t bytes_below(const std::string& root) {
  uint64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(root, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    const auto size = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

Status run(const OnlineCopyOptions& options, std::vector<std::string> arguments, Progress& progress) {
  arguments.insert(arguments.begin(), std::string(kOnlineProgram));
  return run_copier({.argv = std::move(arguments),
                     .password = options.password,
                     .output = output_of(options.layout),
                     .package = std::string(kOnlineProgram)},
                    progress);
}

Result<ServerFiles> list_copied(const std::string& root) {
  ServerFiles out;
  std::error_code error;
  fs::recursive_directory_iterator entry(root, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path().string();
    const std::string name = path.substr(root.size() + 1);
    if (entry->is_directory()) {
      out.directories.push_back(name);
      continue;
    }
    const std::string_view base = base_of_copied(name);
    if (base.empty()) continue;
    out.files.push_back({std::string(base), name, path, entry->file_size(error)});
  }
  if (error) return fail(Code::kInternal, fmt::format("look at {}: {}", root, error.message()));
  std::ranges::sort(out.files, [](const SourceFile& a, const SourceFile& b) {
    return a.size != b.size ? a.size > b.size : a.path < b.path;
  });
  std::ranges::sort(out.directories);
  return out;
}

}  // namespace

std::string_view base_of_copied(std::string_view name) {
  if (name.find('/') != std::string_view::npos) return "Data";
  for (const std::string_view own : {"xtrabackup_", "mariadb_backup_", "backup-my.cnf", "ib_buffer_pool"}) {
    if (name.starts_with(own)) return "";
  }
  for (const std::string_view innodb : {"ibdata", "ib_logfile", "undo"}) {
    if (name.starts_with(innodb)) return "InnoDBData";
  }
  return "Data";
}

Result<std::string> parse_binlog_info(std::string_view text) {
  const auto parts = base::split(base::trim(text), '\t');
  if (parts.size() == 3 && !parts[2].empty()) return std::string(base::trim(parts[2]));
  return fail(Code::kDataLoss, fmt::format("{} tells no GTID: is the server's binary log on?", kOnlineProgram));
}

Status discard_online_copy(const mysqld::Layout& layout) { return base::remove_tree(folder_of(layout)); }

Result<OnlineCopy> copy_running_server(const OnlineCopyOptions& options, Progress& progress) {
  const mysqld::Layout& layout = options.layout;
  RETURN_IF_ERROR(discard_online_copy(layout));
  RETURN_IF_ERROR(base::write_file_atomically(output_of(layout), ""));
  if (Status room = check_room(layout, bytes_below(layout.data()) + bytes_below(layout.innodb())); !room.ok()) {
    return std::move(room).error().with_context("a copy beside the server's files");
  }
  const std::string target = "--target-dir=" + folder_of(layout);
  RETURN_IF_ERROR(run(options,
                      {"--defaults-file=" + layout.my_cnf(), "--backup", target, "--user=" + options.user,
                       "--socket=" + layout.socket(), fmt::format("--parallel={}", options.parallel)},
                      progress));
  RETURN_IF_ERROR(run(options, {"--prepare", target}, progress));
  OnlineCopy out;
  ASSIGN_OR_RETURN(const std::string info, base::read_file(folder_of(layout) + "/xtrabackup_binlog_info", 1 << 16));
  ASSIGN_OR_RETURN(out.position, parse_binlog_info(info));
  ASSIGN_OR_RETURN(out.files, list_copied(folder_of(layout)));
  return out;
}

}  // namespace vitrail::backup
