#include "tablet/maintenance.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "mysqlctl/client.h"
#include "mysqlctl/notes.h"

namespace vitrail::tablet {
namespace {

std::string note_path(const mysqld::Layout& layout) { return mysqlctl::stopped_note(layout); }
std::string detached_path(const mysqld::Layout& layout) { return layout.root + "/.restored-to-a-point"; }

Status remove_note(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::system_error(errno, "remove " + path);
  return {};
}

}  // namespace

Result<mysqld::Layout> server_layout(const TabletSettings& settings) {
  const std::string& socket = settings.mysqld.unix_socket;
  if (socket.empty()) {
    return fail(Code::kFailedPrecondition,
                "the tablet reaches its server by TCP (--db-host): backups of files need the server's folder on the "
                "tablet's machine");
  }
  mysqld::Layout layout{std::filesystem::absolute(socket).lexically_normal().parent_path().string()};
  auto text = base::read_file(layout.my_cnf(), 1 << 20);
  if (!text.ok()) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the server of {} was not made by mysqlctl: there is no {}", socket, layout.my_cnf()));
  }
  ASSIGN_OR_RETURN(const auto cnf, mysqld::parse_my_cnf(*text));
  if (cnf.data_directory != layout.data()) {
    return fail(Code::kFailedPrecondition, fmt::format("{} puts the data into {}; backups of files need it in {}",
                                                       layout.my_cnf(), cnf.data_directory, layout.data()));
  }
  return layout;
}

Result<mysqld::Daemon> ServerControl::daemon() const {
  mysqld::DaemonOptions options;
  options.layout = layout_;
  options.shutdown_wait_max = patience_;
  return mysqld::Daemon::open(std::move(options));
}

Status ServerControl::shutdown() {
  if (socket_.empty()) {
    ASSIGN_OR_RETURN(auto own, daemon());
    return own.shutdown();
  }
  RETURN_IF_ERROR(mysqlctl::ask_shutdown(socket_, patience_));
  // Of another server, perhaps: what answers here has its files open.
  if (mysqld::server_answers(layout_.socket(), std::chrono::milliseconds(200))) {
    return fail(Code::kFailedPrecondition,
                fmt::format("mysqlctld at {} has stopped its server, and {} still answers: they do not belong together",
                            socket_, layout_.socket()));
  }
  return {};
}

Status ServerControl::start() {
  if (!socket_.empty()) return mysqlctl::ask_start(socket_, std::chrono::minutes(6));
  ASSIGN_OR_RETURN(auto own, daemon());
  if (own.state() == mysqld::Daemon::State::kRunning) return {};
  Status started = own.start();
  // Its supervisor may have been starting it.
  if (!started.ok() && own.state() == mysqld::Daemon::State::kRunning) return {};
  return started;
}

Status ServerControl::renew_server_id() {
  ASSIGN_OR_RETURN(auto own, daemon());
  return own.renew_server_id();
}

Status note_stopped(const mysqld::Layout& layout) {
  return base::write_file_atomically(note_path(layout), "vttablet starts the server again\n");
}

bool is_noted_stopped(const mysqld::Layout& layout) { return base::file_exists(note_path(layout)); }

Status forget_stopped(const mysqld::Layout& layout) { return remove_note(note_path(layout)); }

Status note_detached(const mysqld::Layout& layout, bool detached) {
  if (!detached) return remove_note(detached_path(layout));
  return base::write_file_atomically(detached_path(layout), "StartReplication makes the tablet follow its primary\n");
}

bool is_detached(const TabletSettings& settings) {
  const auto layout = server_layout(settings);
  return layout.ok() && base::file_exists(detached_path(*layout));
}

std::string progress_text(const std::string& what, uint64_t done, uint64_t total, base::Duration since) {
  constexpr double kMib = 1 << 20;
  const double seconds = std::chrono::duration<double>(since).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string text = fmt::format("{}: {:.0f} of {:.0f} MiB, {:.1f} MiB/s", what, static_cast<double>(done) / kMib,
                                 static_cast<double>(total) / kMib, rate / kMib);
  if (rate > 0 && done < total) text += fmt::format(", {:.0f} s left", static_cast<double>(total - done) / rate);
  return text;
}

Status check_versions(const std::string& backup, const std::string& server) {
  const auto theirs = mysqld::parse_server_version(backup), ours = mysqld::parse_server_version(server);
  if (!theirs.ok() || !ours.ok()) return {};  // Then the server says whether it can.
  if (theirs->kind != ours->kind) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the backup is of {} {} and the server is {} {}", mysqld::flavor_name(theirs->kind),
                            theirs->version.to_string(), mysqld::flavor_name(ours->kind), ours->version.to_string()));
  }
  if (std::pair(theirs->version.major, theirs->version.minor) > std::pair(ours->version.major, ours->version.minor)) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the backup is of version {}, and the server's, {}, is older: it cannot open its files",
                            theirs->version.to_string(), ours->version.to_string()));
  }
  return {};
}

}  // namespace vitrail::tablet
