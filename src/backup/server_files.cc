#include "backup/server_files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "backup/descriptor.h"
#include "backup/scratch_server.h"
#include "base/file.h"
#include "mysqlctl/notes.h"

namespace vitrail::backup {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kData = "Data";
constexpr std::string_view kInnodb = "InnoDBData";

std::string record_path(const mysqld::Layout& layout) { return mysqlctl::restore_note(layout); }
std::string aside(const mysqld::Layout& layout) { return layout.root + "/replaced"; }

Status sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return base::system_error(errno, "sync " + path);
  return {};
}

Status move(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return base::system_error(errno, "rename " + from + " to " + to);
  return {};
}

// Of the place, not of the data.
bool is_left_out(std::string_view name) {
  constexpr std::string_view kNames[] = {"auto.cnf",         "master.info", "multi-master.info", "relay-log.info",
                                         "mysql.sock",       "mysql.pid",   "ib_buffer_pool",    "ibtmp1",
                                         "ddl_recovery.log", "tc.log"};
  if (std::ranges::find(kNames, name) != std::end(kNames)) return true;
  return name.ends_with(".pid") || name.ends_with(".err") || name.starts_with("master-") ||
         name.starts_with("#innodb_temp") || name.starts_with("ibtmp");
}

Status add_folder(const std::string& root, std::string_view base, ServerFiles& out) {
  std::error_code error;
  fs::recursive_directory_iterator entry(root, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path().string();
    const std::string name = path.substr(root.size() + 1);
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0) return base::system_error(errno, "look at " + path);
    if (S_ISLNK(info.st_mode) || path.ends_with(".isl")) {
      return fail(Code::kFailedPrecondition,
                  path + " leads to files elsewhere: a server is backed up whose files are all in its own folder");
    }
    if (S_ISDIR(info.st_mode)) {
      if (is_left_out(entry->path().filename().string())) {
        entry.disable_recursion_pending();
      } else if (entry.depth() == 0 && base == kData) {
        out.directories.push_back(name);
      }
      continue;
    }
    if (!S_ISREG(info.st_mode) || (entry.depth() == 0 && is_left_out(name))) continue;
    out.files.push_back({std::string(base), name, path, static_cast<uint64_t>(info.st_size)});
  }
  if (error) return base::system_error(error.value(), "list " + root);
  return {};
}

}  // namespace

Result<ServerFiles> list_server_files(const mysqld::Layout& layout) {
  ServerFiles out;
  RETURN_IF_ERROR(add_folder(layout.innodb(), kInnodb, out));
  RETURN_IF_ERROR(add_folder(layout.data(), kData, out));
  // The longest first: they end at about the same time as the others.
  std::ranges::sort(out.files, [](const SourceFile& a, const SourceFile& b) {
    return a.size != b.size ? a.size > b.size : a.path < b.path;
  });
  std::ranges::sort(out.directories);
  return out;
}

std::map<std::string, std::string> base_folders(const std::string& data, const std::string& innodb) {
  // Vitess tells redo logs apart; they lie in one folder here.
  return {{std::string(kData), data}, {std::string(kInnodb), innodb}, {"InnoDBLog", innodb}};
}

Staging staging_of(const mysqld::Layout& layout) { return {layout.root + "/restore"}; }

Status check_room(const mysqld::Layout& layout, uint64_t bytes) {
  struct statvfs info;
  if (::statvfs(layout.root.c_str(), &info) != 0) return base::system_error(errno, "look at " + layout.root);
  const uint64_t room = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (room >= bytes) return {};
  return fail(
      Code::kResourceExhausted,
      fmt::format("the restored files need {} bytes and the disk of {} has {} (the present files are kept until "
                  "the others are whole)",
                  bytes, layout.root, room));
}

Result<std::optional<PendingRestore>> find_pending_restore(const mysqld::Layout& layout) {
  auto text = base::read_file(record_path(layout), 1 << 20);
  if (!text.ok()) {
    if (text.error().code() == Code::kNotFound) return std::optional<PendingRestore>();
    return std::move(text).error();
  }
  try {
    const auto document = nlohmann::json::parse(*text);
    return PendingRestore{document.at("backup").get<std::string>(), document.at("position").get<std::string>(),
                          document.at("backup_time").get<std::string>(), document.value("undo", false),
                          document.value("to_point", false)};
  } catch (const nlohmann::json::exception& error) {
    return fail(Code::kDataLoss, fmt::format("{} is damaged: {}", record_path(layout), error.what()));
  }
}

Status note_pending_restore(const mysqld::Layout& layout, const PendingRestore& restore) {
  const nlohmann::json document = {{"backup", restore.backup},
                                   {"position", restore.position},
                                   {"backup_time", restore.backup_time},
                                   {"undo", restore.undo},
                                   {"to_point", restore.to_point}};
  return base::write_file_atomically(record_path(layout), document.dump() + "\n");
}

Status swap_in(const mysqld::Layout& layout) {
  const Staging staging = staging_of(layout);
  RETURN_IF_ERROR(base::make_directories(aside(layout)));
  for (const std::string& folder : layout.folders()) {
    const std::string name = folder.substr(folder.rfind('/') + 1);
    const std::string old = aside(layout) + "/" + name;
    const std::string fresh = staging.root + "/" + name;
    // What is put aside says how far this came before.
    if (!base::file_exists(old) && base::file_exists(folder)) RETURN_IF_ERROR(move(folder, old));
    if (base::file_exists(folder)) continue;
    if (base::file_exists(fresh)) {
      RETURN_IF_ERROR(move(fresh, folder));
    } else {
      RETURN_IF_ERROR(base::make_directories(folder));
    }
  }
  RETURN_IF_ERROR(sync_folder(aside(layout)));
  return sync_folder(layout.root);
}

Status swap_back(const mysqld::Layout& layout, PendingRestore restore) {
  restore.undo = true;
  RETURN_IF_ERROR(note_pending_restore(layout, restore));
  for (const std::string& folder : layout.folders()) {
    const std::string old = aside(layout) + "/" + folder.substr(folder.rfind('/') + 1);
    if (!base::file_exists(old)) continue;
    RETURN_IF_ERROR(base::remove_tree(folder));
    RETURN_IF_ERROR(move(old, folder));
  }
  return finish_restore(layout);
}

Status finish_restore(const mysqld::Layout& layout) {
  if (::unlink(record_path(layout).c_str()) != 0 && errno != ENOENT) {
    return base::system_error(errno, "remove " + record_path(layout));
  }
  RETURN_IF_ERROR(sync_folder(layout.root));
  return discard_staging(layout);
}

Status discard_staging(const mysqld::Layout& layout) {
  if (base::file_exists(record_path(layout))) {
    return fail(Code::kFailedPrecondition, "a restore of " + layout.root + " is pending");
  }
  RETURN_IF_ERROR(end_scratch_server(layout));
  RETURN_IF_ERROR(base::remove_tree(staging_of(layout).root));
  return base::remove_tree(aside(layout));
}

}  // namespace vitrail::backup
