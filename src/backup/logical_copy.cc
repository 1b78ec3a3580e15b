#include "backup/logical_copy.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "backup/copier.h"
#include "backup/scratch_server.h"
#include "base/file.h"
#include "base/text.h"
#include "mysqld/installation.h"

namespace vitrail::backup {
namespace {

constexpr std::string_view kDump = "dump.sql";
constexpr std::string_view kAccounts = "accounts.sql";
constexpr std::streamoff kTail = 64 << 10;  // The position is told behind the last table.
// Loads the dump, and is gone behind it: the accounts of the dump take the place of all others.
constexpr std::string_view kLoader = "vitrail_restore";

std::string dump_folder(const mysqld::Layout& own) { return staging_of(own).root + "/logical"; }

// Beside the client of the installation, so that both are of one version.
Result<std::pair<std::string, std::string>> find_programs() {
  ASSIGN_OR_RETURN(const auto installation, mysqld::find_installation());
  ASSIGN_OR_RETURN(const std::string client, installation.require_client());
  return std::pair(client.substr(0, client.rfind('/') + 1) + "mariadb-dump", client);
}

Result<std::string> read_tail(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = file ? static_cast<std::streamoff>(file.tellg()) : std::streamoff(-1);
  if (size < 0) return base::system_error(errno, "read " + path);
  std::string tail(static_cast<size_t>(std::min<std::streamoff>(size, kTail)), '\0');
  file.seekg(size - static_cast<std::streamoff>(tail.size()));
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  if (!file) return base::system_error(errno, "read " + path);
  return tail;
}

// Rights to act for others: only who has them can give them, and nobody has them on a new server.
Status leave_out_proxies(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, base::read_file(path));
  std::string kept;
  for (const std::string_view line : base::split(text, '\n')) {
    if (!line.starts_with("GRANT PROXY ON ")) kept.append(line).append("\n");
  }
  return base::write_file_atomically(path, kept);
}

// One client, one script.
Status load(const std::string& client, const std::string& socket, const std::string& user, const std::string& file,
            const std::string& output, Progress& progress) {
  return run_copier({.argv = {"/bin/sh", "-c",
                              "exec \"$1\" --no-defaults --socket=\"$2\" --user=\"$3\" --binary-mode "
                              "--max-allowed-packet=1073741824 --init-command='SET SESSION sql_log_bin = 0' <\"$4\"",
                              "sh", client, socket, user, file},
                     .password = "",
                     .output = output,
                     .package = "mariadb-client"},
                    progress);
}

}  // namespace

Result<std::string> parse_dump_position(std::string_view tail) {
  constexpr std::string_view kBefore = "\n-- SET GLOBAL gtid_slave_pos='";
  const size_t at = tail.rfind(kBefore);
  const size_t end = at == std::string_view::npos ? at : tail.find('\'', at + kBefore.size());
  if (end == std::string_view::npos || end == at + kBefore.size()) {
    return fail(Code::kDataLoss, "mariadb-dump tells no GTID: is the server's binary log on?");
  }
  return std::string(tail.substr(at + kBefore.size(), end - at - kBefore.size()));
}

Result<OnlineCopy> dump_running_server(const OnlineCopyOptions& options, const std::vector<std::string>& databases,
                                       Progress& progress) {
  const mysqld::Layout& layout = options.layout;
  ASSIGN_OR_RETURN(const auto programs, find_programs());
  RETURN_IF_ERROR(discard_online_copy(layout));
  const std::string folder = layout.root + "/backup";
  RETURN_IF_ERROR(base::make_directories(folder));
  const std::string output = layout.root + "/mariadb-dump.log";
  RETURN_IF_ERROR(base::write_file_atomically(output, ""));
  const auto dump = [&](std::string_view file, std::vector<std::string> what) {
    std::vector<std::string> argv = {programs.first, "--no-defaults", "--socket=" + layout.socket(),
                                     "--user=" + options.user, fmt::format("--result-file={}/{}", folder, file)};
    argv.insert(argv.end(), what.begin(), what.end());
    return run_copier(
        {.argv = std::move(argv), .password = options.password, .output = output, .package = "mariadb-client"},
        progress);
  };
  std::vector<std::string> what = {"--single-transaction",
                                   "--master-data=2",  // Its position, as a comment.
                                   "--gtid",
                                   "--routines",
                                   "--events",
                                   "--triggers",
                                   "--hex-blob",
                                   "--dump-history",
                                   "--default-character-set=utf8mb4",
                                   "--max-allowed-packet=1073741824",
                                   "--databases"};
  what.insert(what.end(), databases.begin(), databases.end());
  RETURN_IF_ERROR(dump(kDump, std::move(what)));
  // They take the place of those that the new server has.
  RETURN_IF_ERROR(dump(kAccounts, {"--system=users", "--replace"}));
  RETURN_IF_ERROR(leave_out_proxies(folder + "/" + std::string(kAccounts)));
  ASSIGN_OR_RETURN(const std::string tail, read_tail(folder + "/" + std::string(kDump)));
  OnlineCopy out;
  ASSIGN_OR_RETURN(out.position, parse_dump_position(tail));
  for (const std::string_view file : {kDump, kAccounts}) {
    const std::string path = fmt::format("{}/{}", folder, file);
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error) return fail(Code::kInternal, fmt::format("look at {}: {}", path, error.message()));
    out.files.files.push_back({std::string(kLogicalBase), std::string(file), path, size});
  }
  return out;
}

std::map<std::string, std::string> staging_folders(const mysqld::Layout& own) {
  const Staging staging = staging_of(own);
  auto folders = base_folders(staging.data(), staging.innodb());
  folders.emplace(kLogicalBase, dump_folder(own));
  return folders;
}

Status build_staged(const Manifest& manifest, const mysqld::Layout& own, Progress& progress) {
  if (manifest.backup_method != kLogicalEngine) return {};
  ASSIGN_OR_RETURN(const auto programs, find_programs());
  ASSIGN_OR_RETURN(auto server, ScratchServer::make(own));
  const std::string output = staging_of(own).root + "/load.log";
  RETURN_IF_ERROR(base::write_file_atomically(output, ""));
  const std::string folder = dump_folder(own) + "/";
  const std::string begin = folder + "begin.sql", end = folder + "end.sql", loader(kLoader);
  RETURN_IF_ERROR(base::write_file_atomically(
      begin,
      fmt::format("CREATE USER {0}@localhost; GRANT ALL ON *.* TO {0}@localhost WITH GRANT OPTION;\n", kLoader)));
  RETURN_IF_ERROR(base::write_file_atomically(end, fmt::format("DROP USER {}@localhost;\n", kLoader)));
  RETURN_IF_ERROR(load(programs.second, server.socket(), "vt_dba", begin, output, progress));
  for (const std::string& file : {folder + std::string(kDump), folder + std::string(kAccounts), end}) {
    RETURN_IF_ERROR(load(programs.second, server.socket(), loader, file, output, progress));
  }
  RETURN_IF_ERROR(server.stop());
  return base::remove_tree(dump_folder(own));
}

}  // namespace vitrail::backup
