#include "mysqlctl/service.h"

#include <fmt/core.h>

#include "base/log.h"
#include "mysqlctl.pb.h"
#include "mysqlctl/notes.h"
#include "rpc/typed.h"

namespace vitrail::mysqlctl {
namespace {

using State = mysqld::Daemon::State;

template <typename Response>
Result<Response> answer(Status done) {
  if (!done.ok()) return std::move(done).error();
  return Response();
}

}  // namespace

Result<std::unique_ptr<Service>> Service::create(mysqld::DaemonOptions options) {
  ASSIGN_OR_RETURN(auto daemon, mysqld::Daemon::open(options));
  return std::unique_ptr<Service>(new Service(std::move(options), std::move(daemon)));
}

Status Service::open() {
  const std::scoped_lock lock(mutex_);
  const State state = daemon_.state();
  if (state == State::kRunning || state == State::kStarting) {
    log_info("the server of {} runs already", daemon_.layout().root);
  } else if (belongs_to_the_tablet(daemon_.layout())) {
    log_info("a tablet has stopped the server of {} for a backup or a restore: it starts the server again",
             daemon_.layout().root);
    return {};
  } else if (state == State::kStopped) {
    RETURN_IF_ERROR(daemon_.reinit_config());
    RETURN_IF_ERROR(daemon_.start());
    log_info("started the server in {}", daemon_.layout().root);
  } else {
    RETURN_IF_ERROR(daemon_.init());
    log_info("made the server in {}", daemon_.layout().root);
  }
  wanted_ = true;
  return {};
}

Status Service::start() {
  const std::scoped_lock lock(mutex_);
  if (daemon_.state() != State::kRunning) {
    Status started = daemon_.start();
    // Its supervisor may have been starting it.
    if (!started.ok() && daemon_.state() != State::kRunning) return started;
  }
  wanted_ = true;
  return {};
}

Status Service::shutdown(base::Duration patience) {
  const std::scoped_lock lock(mutex_);
  wanted_ = false;
  if (patience <= base::Duration(0)) return daemon_.shutdown();
  mysqld::DaemonOptions options = options_;
  options.shutdown_wait_max = patience;
  ASSIGN_OR_RETURN(auto daemon, mysqld::Daemon::open(std::move(options)));
  return daemon.shutdown();
}

Status Service::configure() {
  const std::scoped_lock lock(mutex_);
  return daemon_.reinit_config();
}

Result<std::string> Service::version() {
  const std::scoped_lock lock(mutex_);
  ASSIGN_OR_RETURN(const mysqld::Flavor* flavor, daemon_.load_flavor());
  return flavor->server().text;
}

bool Service::ended_by_itself() {
  const std::scoped_lock lock(mutex_);
  return wanted_ && daemon_.state() == State::kStopped;
}

Status Service::close() {
  const std::scoped_lock lock(mutex_);
  wanted_ = false;
  return daemon_.shutdown();
}

void Service::register_handlers(rpc::Server& server, net::Loop& loop) {
  rpc::handle_unary<::mysqlctl::StartRequest, ::mysqlctl::StartResponse>(
      server, "/mysqlctl.MysqlCtl/Start", loop,
      [this](rpc::CallContext, ::mysqlctl::StartRequest request) -> net::Task<Result<::mysqlctl::StartResponse>> {
        if (request.mysqld_args_size() != 0) {
          co_return fail(Code::kUnimplemented, "the server takes its options from my.cnf: EXTRA_MY_CNF adds others");
        }
        co_return answer<::mysqlctl::StartResponse>(co_await net::offload([this] { return start(); }));
      });
  rpc::handle_unary<::mysqlctl::ShutdownRequest, ::mysqlctl::ShutdownResponse>(
      server, "/mysqlctl.MysqlCtl/Shutdown", loop,
      [this](rpc::CallContext, ::mysqlctl::ShutdownRequest request) -> net::Task<Result<::mysqlctl::ShutdownResponse>> {
        const auto& wanted = request.mysql_shutdown_timeout();
        const base::Duration patience =
            std::chrono::seconds(wanted.seconds()) + std::chrono::nanoseconds(wanted.nanos());
        co_return answer<::mysqlctl::ShutdownResponse>(
            co_await net::offload([this, patience] { return shutdown(patience); }));
      });
  rpc::handle_unary<::mysqlctl::ReinitConfigRequest, ::mysqlctl::ReinitConfigResponse>(
      server, "/mysqlctl.MysqlCtl/ReinitConfig", loop,
      [this](rpc::CallContext, ::mysqlctl::ReinitConfigRequest) -> net::Task<Result<::mysqlctl::ReinitConfigResponse>> {
        co_return answer<::mysqlctl::ReinitConfigResponse>(co_await net::offload([this] { return configure(); }));
      });
  rpc::handle_unary<::mysqlctl::RefreshConfigRequest, ::mysqlctl::RefreshConfigResponse>(
      server, "/mysqlctl.MysqlCtl/RefreshConfig", loop,
      [this](rpc::CallContext,
             ::mysqlctl::RefreshConfigRequest) -> net::Task<Result<::mysqlctl::RefreshConfigResponse>> {
        co_return answer<::mysqlctl::RefreshConfigResponse>(co_await net::offload([this] { return configure(); }));
      });
  rpc::handle_unary<::mysqlctl::VersionStringRequest, ::mysqlctl::VersionStringResponse>(
      server, "/mysqlctl.MysqlCtl/VersionString", loop,
      [this](rpc::CallContext,
             ::mysqlctl::VersionStringRequest) -> net::Task<Result<::mysqlctl::VersionStringResponse>> {
        CO_ASSIGN_OR_RETURN(auto text, co_await net::offload([this] { return version(); }));
        ::mysqlctl::VersionStringResponse response;
        response.set_version(std::move(text));
        co_return response;
      });
}

}  // namespace vitrail::mysqlctl
