#include "mysqld/config.h"

#include <fmt/core.h>
#include <sys/un.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace vitrail::mysqld {

Layout Layout::for_tablet(std::string_view data_root, uint32_t uid) {
  while (data_root.size() > 1 && data_root.ends_with('/')) data_root.remove_suffix(1);
  return Layout{fmt::format("{}/vt_{:010}", data_root == "/" ? std::string_view() : data_root, uid)};
}

Status Layout::check() const {
  if (!root.starts_with('/')) return fail(Code::kInvalidArgument, fmt::format("{} is not an absolute path", root));
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+@:,=").find(c) != std::string_view::npos;
  };
  if (!std::ranges::all_of(root, plain)) {
    return fail(Code::kInvalidArgument,
                fmt::format("{}: the server's start script needs a path of letters, digits and /._-+@:,= only; choose "
                            "another VTDATAROOT",
                            root));
  }
  constexpr size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (socket().size() > kSocketPathMax) {
    return fail(Code::kInvalidArgument,
                fmt::format("the path of the socket {} has {} bytes; {} are possible. Choose a shorter VTDATAROOT",
                            socket(), socket().size(), kSocketPathMax));
  }
  return {};
}

std::string generate_my_cnf(const Layout& layout, const ConfigOptions& options, const Flavor& flavor) {
  std::string out = fmt::format("# Generated for {} {}; `mysqlctl reinit_config` writes it anew.\n[mysqld]\n",
                                flavor_name(flavor.kind()), flavor.server().version.to_string());
  auto set = [&](std::string_view name, const auto& value) { out += fmt::format("{} = {}\n", name, value); };
  auto section = [&](std::string_view title) { out += fmt::format("\n# {}\n", title); };

  section("Where");
  if (!options.os_user.empty()) set("user", options.os_user);
  set("datadir", layout.data());
  set("innodb_data_home_dir", layout.innodb());
  set("innodb_log_group_home_dir", layout.innodb());
  set("tmpdir", layout.tmp());
  set("socket", layout.socket());
  set("pid-file", layout.pid_file());
  set("log-error", layout.error_log());
  set("port", options.port);
  if (options.networking) {
    set("bind-address", options.bind_address);
  } else {
    out += "skip-networking\n";
  }
  out += "skip-name-resolve\n";
  // Or LOAD DATA and SELECT ... INTO OUTFILE reach every file of the account.
  set("secure_file_priv", layout.tmp());

  section("Sizes");
  set("max_connections", options.max_connections);
  set("max_allowed_packet", "1G");
  set("innodb_buffer_pool_size", options.buffer_pool_bytes);
  bool new_redo = flavor.kind() == FlavorKind::kMySql && flavor.server().version >= Version{8, 0, 30};
  set(new_redo ? "innodb_redo_log_capacity" : "innodb_log_file_size", options.redo_log_bytes);

  section("Behaviour");
  set("character_set_server", "utf8mb4");
  set("default_storage_engine", "InnoDB");
  set("innodb_file_per_table", "ON");
  // Safe with logged rows. Otherwise one LOAD DATA at a time goes into a table with AUTO_INCREMENT.
  set("innodb_autoinc_lock_mode", 2);
  set("innodb_flush_log_at_trx_commit", options.flush_log_at_trx_commit);
  set("sync_binlog", options.sync_binlog);
  if (options.start_read_only) {
    set(flavor.kind() == FlavorKind::kMySql ? "super_read_only" : "read_only", "ON");
  }

  section("Replication");
  std::string prefix = fmt::format("vt-{:010}", options.uid);
  set("server_id", options.server_id);
  set("log_bin", fmt::format("{}/{}-bin", layout.bin_logs(), prefix));
  set("log_bin_index", fmt::format("{}/{}-bin.index", layout.bin_logs(), prefix));
  set("relay_log", fmt::format("{}/{}-relay-bin", layout.relay_logs(), prefix));
  set("relay_log_index", fmt::format("{}/{}-relay-bin.index", layout.relay_logs(), prefix));
  // Gone in MySQL 8.4, which keeps only ROW.
  if (flavor.kind() == FlavorKind::kMariaDb || flavor.server().version < Version{8, 4, 0}) set("binlog_format", "ROW");
  // With rows in the binlog a function or trigger cannot make servers differ; applications may make them without SUPER.
  set("loose_log_bin_trust_function_creators", "ON");
  set("binlog_row_image", "FULL");
  set("binlog_expire_logs_seconds", options.binlog_keep_seconds);
  for (const std::string& line : flavor.config_lines()) out += line + "\n";

  if (!options.extra.empty()) {
    section("Extra");
    out += options.extra;
    if (!out.ends_with('\n')) out += '\n';
  }
  return out;
}

std::string with_server_id(std::string_view my_cnf, uint32_t server_id) {
  std::string out;
  bool found = false;
  while (my_cnf.ends_with('\n')) my_cnf.remove_suffix(1);
  for (const std::string_view line : base::split(my_cnf, '\n')) {
    std::string key = base::to_lower(base::trim(line.substr(0, line.find('='))));
    std::ranges::replace(key, '-', '_');
    if (key == "server_id") {
      found = true;
      out += fmt::format("{} = {}\n", base::trim(line.substr(0, line.find('='))), server_id);
    } else {
      out.append(line).append("\n");
    }
  }
  return found ? out : out + fmt::format("[mysqld]\nserver_id = {}\n", server_id);
}

Result<std::string> load_extra_my_cnf(std::string_view paths) {
  std::string out;
  for (std::string_view path : base::split_list(paths, ':')) {
    auto text = base::read_file(std::string(path), 1 << 20);
    if (!text.ok()) return std::move(text).error().with_context("EXTRA_MY_CNF");
    out += fmt::format("# From {}\n{}\n", path, base::trim(*text));
  }
  return out;
}

Result<MyCnf> parse_my_cnf(std::string_view text) {
  MyCnf cnf;
  bool ours = false;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (line.empty() || line.front() == '#' || line.front() == ';' || line.front() == '!') continue;
    if (line.front() == '[') {
      std::string group = base::to_lower(base::trim(line.substr(1, line.find(']') - 1)));
      ours = group == "mysqld" || group == "mariadb" || group == "mariadbd" || group == "server";
      continue;
    }
    if (!ours) continue;
    size_t equals = line.find('=');
    std::string key = base::to_lower(base::trim(line.substr(0, equals)));
    std::ranges::replace(key, '-', '_');
    bool has_value = equals != std::string_view::npos;
    std::string_view value = has_value ? base::trim(line.substr(equals + 1)) : std::string_view();
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    } else {
      value = base::trim(value.substr(0, value.find(" #")));
    }
    if (key == "socket") cnf.socket = value;
    if (key == "pid_file") cnf.pid_file = value;
    if (key == "log_error") cnf.error_log = value;
    if (key == "datadir") cnf.data_directory = value;
    if (key == "bind_address") cnf.bind_address = value;
    if (key == "skip_networking") cnf.networking = has_value && !to_bool(value);
    if (key == "port" || key == "server_id") {
      auto number = to_uint(value);
      if (!number || *number > (key == "port" ? UINT16_MAX : UINT32_MAX)) {
        return fail(Code::kInvalidArgument, fmt::format("{} = {} is not a number in range", key, value));
      }
      if (key == "port") cnf.port = static_cast<uint16_t>(*number);
      if (key == "server_id") cnf.server_id = static_cast<uint32_t>(*number);
    }
  }
  for (const auto& [name, value] : {std::pair{"socket", &cnf.socket}, std::pair{"pid-file", &cnf.pid_file},
                                    std::pair{"datadir", &cnf.data_directory}}) {
    if (value->empty()) return fail(Code::kInvalidArgument, fmt::format("the option file sets no {}", name));
  }
  return cnf;
}

}  // namespace vitrail::mysqld
