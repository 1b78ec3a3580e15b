#include "backup/scratch_server.h"

#include <fmt/core.h>
#include <signal.h>

#include <algorithm>

#include "backup/server_files.h"
#include "base/file.h"
#include "base/process.h"
#include "base/random.h"
#include "base/text.h"
#include "mysqld/installation.h"

namespace vitrail::backup {
namespace {

mysqld::Layout scratch_layout(const mysqld::Layout& own) { return {staging_of(own).root}; }

Result<mysqld::Daemon> open(const mysqld::Layout& layout) {
  mysqld::DaemonOptions options;
  options.layout = layout;
  options.supervised = false;  // One that crashes has failed.
  return mysqld::Daemon::open(std::move(options));
}

std::string end_of(const std::string& path) {
  auto text = base::read_file(path, 64 << 20);
  if (!text.ok()) return "";
  constexpr size_t kShown = 600;
  return std::string(base::trim(text->size() <= kShown ? *text : text->substr(text->size() - kShown)));
}

Result<std::string> own_options(const mysqld::Layout& own, const mysqld::Layout& scratch) {
  ASSIGN_OR_RETURN(std::string my_cnf, base::read_file(own.my_cnf(), 1 << 20));
  const auto id = static_cast<uint32_t>((1u << 20) + base::system_random().below(1u << 30));
  return scratch_my_cnf(std::move(my_cnf), own, scratch, id);
}

}  // namespace

std::string scratch_my_cnf(std::string my_cnf, const mysqld::Layout& own, const mysqld::Layout& scratch,
                           uint32_t server_id) {
  for (size_t at = 0; (at = my_cnf.find(own.root + "/", at)) != std::string::npos; at += scratch.root.size()) {
    my_cnf.replace(at, own.root.size(), scratch.root);
  }
  my_cnf = mysqld::with_server_id(my_cnf, server_id);
  // What it wrote is durable once it has stopped, and counts for nothing before.
  return my_cnf +
         "\n[mysqld]\nskip-networking\nskip-slave-start\nread_only = OFF\nloose_super_read_only = OFF\n"
         "sync_binlog = 0\ninnodb_flush_log_at_trx_commit = 0\nloose_event_scheduler = OFF\n"
         "loose_rpl_semi_sync_master_enabled = OFF\nloose_rpl_semi_sync_source_enabled = OFF\n";
}

Result<ScratchServer> ScratchServer::start(const mysqld::Layout& own) {
  const mysqld::Layout layout = scratch_layout(own);
  RETURN_IF_ERROR(layout.check());
  ASSIGN_OR_RETURN(const std::string my_cnf, own_options(own, layout));
  RETURN_IF_ERROR(base::write_file_atomically(layout.my_cnf(), my_cnf));
  for (const std::string& folder : layout.folders()) RETURN_IF_ERROR(base::make_directories(folder));
  ASSIGN_OR_RETURN(auto daemon, open(layout));
  Status started = daemon.start();
  if (!started.ok()) return std::move(started).error().with_context("a server on the restored files");
  return ScratchServer(layout, std::move(daemon));
}

Result<ScratchServer> ScratchServer::make(const mysqld::Layout& own) {
  mysqld::DaemonOptions options;
  options.layout = scratch_layout(own);
  options.supervised = false;
  options.config.networking = false;
  ASSIGN_OR_RETURN(options.config.extra, own_options(own, options.layout));  // What counts for how data is laid out.
  RETURN_IF_ERROR(options.layout.check());
  for (const std::string& folder : {options.layout.data(), options.layout.innodb()}) {
    RETURN_IF_ERROR(base::remove_tree(folder));
  }
  ASSIGN_OR_RETURN(auto daemon, mysqld::Daemon::open(options));
  Status made = daemon.init();
  if (!made.ok()) return std::move(made).error().with_context("a new server beside the tablet's");
  return ScratchServer(options.layout, std::move(daemon));
}

Status ScratchServer::stop() {
  RETURN_IF_ERROR(daemon_.shutdown());
  // Its logs are not those of the restored server.
  for (const std::string& folder : {layout_.bin_logs(), layout_.relay_logs(), layout_.tmp()}) {
    RETURN_IF_ERROR(base::remove_tree(folder));
  }
  return {};
}

Status end_scratch_server(const mysqld::Layout& own) {
  const mysqld::Layout layout = scratch_layout(own);
  if (!base::file_exists(layout.my_cnf())) return {};
  mysqld::DaemonOptions options;
  options.layout = layout;
  options.shutdown_wait_max = base::Duration(0);  // Nobody wants its data.
  ASSIGN_OR_RETURN(auto daemon, mysqld::Daemon::open(std::move(options)));
  return daemon.shutdown();
}

std::vector<std::string> print_command(const Replay& replay, const std::string& client) {
  const std::string folder = client.substr(0, client.rfind('/') + 1);
  const auto flavor = replay.to.flavor();
  std::vector<std::string> out;
  if (flavor == mysql::GtidFlavor::kMysql) {
    const auto wanted = replay.to.difference(replay.from);
    out = {folder + "mysqlbinlog", "--no-defaults", "--disable-log-bin",
           "--include-gtids=" + (wanted.ok() ? wanted->to_string() : "")};
  } else {
    out = {folder + "mariadb-binlog", "--no-defaults", "--disable-log-bin"};
    if (!replay.from.empty()) out.push_back("--start-position=" + replay.from.to_string());
    out.push_back("--stop-position=" + replay.to.to_string());
  }
  out.insert(out.end(), replay.logs.begin(), replay.logs.end());
  return out;
}

Status replay_logs(const Replay& replay, Progress& progress) {
  ASSIGN_OR_RETURN(const bool there, replay.from.at_least(replay.to));
  if (there) return {};
  ASSIGN_OR_RETURN(const auto installation, mysqld::find_installation());
  ASSIGN_OR_RETURN(const std::string client, installation.require_client());
  const std::string code = replay.work + "/replay.exit", log = replay.work + "/replay.log";
  RETURN_IF_ERROR(base::write_file_atomically(log, ""));
  RETURN_IF_ERROR(base::write_file_atomically(code, ""));
  base::SpawnOptions spawn;
  // A shell tells of a pipe's last program only.
  spawn.argv = {
      "/bin/sh",
      "-c",
      "code=$1 client=$2 socket=$3 user=$4; shift 4; { \"$@\"; echo $? >\"$code\"; } | \"$client\" --no-defaults "
      "--socket=\"$socket\" --user=\"$user\" --binary-mode --max-allowed-packet=1073741824",
      "sh",
      code,
      client,
      replay.socket,
      replay.user};
  for (auto& word : print_command(replay, client)) spawn.argv.push_back(std::move(word));
  if (!replay.password.empty()) spawn.environment.push_back("MYSQL_PWD=" + replay.password);
  spawn.stdout_path = spawn.stderr_path = log;
  spawn.new_session = true;  // So that all of it can be ended.
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(spawn));
  for (;;) {
    const auto ended = child.wait(std::chrono::milliseconds(100));
    if (ended.ok()) {
      const auto printed = base::read_file(code, 64);
      if (ended->success() && printed.ok() && base::trim(*printed) == "0") return {};
      return fail(
          Code::kInternal,
          fmt::format("the binary logs cannot be applied up to {} (the client ended with {}, {} with code {}): {}",
                      replay.to.prefixed_string(), ended->to_string(), "the program that reads them",
                      printed.ok() ? std::string(base::trim(*printed)) : "?", end_of(log)));
    }
    if (ended.error().code() != Code::kDeadlineExceeded) return Error(ended.error());
    if (!progress.stop) continue;
    ::kill(-child.pid(), SIGKILL);  // Its session.
    (void)child.stop(std::chrono::seconds(1));
    return fail(Code::kCanceled, "the restore was told to stop");
  }
}

}  // namespace vitrail::backup
