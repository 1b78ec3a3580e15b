#include "worker/instance.h"

#include <fmt/core.h>

#include "base/check.h"
#include "base/log.h"
#include "base/settings.h"
#include "base/text.h"
#include "rpc/typed.h"
#include "vtworkerdata.pb.h"
#include "worker/commands.h"

namespace vitrail::worker {
namespace {

// Within this time after its end a job is being dealt with by whoever started it: worth trying again.
constexpr auto kGracePeriod = std::chrono::minutes(1);

}  // namespace

void declare(base::Settings& settings, WorkerOptions& options) {
  settings.add("cell", &options.cell, "cell whose tablets are read and taken");
  settings.add("command_display_interval", &options.command_display_interval, "how often a job says how far it is");
  settings.add("wait_for_healthy_tablets_timeout", &options.wait_for_healthy_tablets,
               "how long to wait until there are enough healthy tablets");
  settings.add("remote_actions_timeout", &options.remote_actions_timeout, "how long a call to a tablet may take");
  settings.add("retry_duration", &options.retry_duration,
               "how long reading a chunk, or writing it, is tried again before a job gives up");
  settings.accept("use_v3_resharding_mode", false, "tables are split by the VSchema: there is no other mode")
      .one_of({"true"});
}

Status check_free(std::optional<base::TimePoint> ended, base::TimePoint now, const std::string& status) {
  if (!ended) return fail(Code::kUnavailable, "A worker job is already in progress: " + status);
  const double seconds = std::chrono::duration<double>(now - *ended).count();
  if (now - *ended <= kGracePeriod) {
    return fail(Code::kUnavailable,
                fmt::format("A worker job was recently stopped ({:.1f} seconds ago): {}. If you run commands manually, "
                            "run the 'Reset' command to clear the vtworker state",
                            seconds, status));
  }
  return fail(Code::kFailedPrecondition,
              fmt::format("The worker job was stopped {:.1f} minutes ago, but not reset. You have to reset it manually "
                          "(the 'Reset' command, or the button 'Reset Job'). Job: {}",
                          seconds / 60, status));
}

Instance::Instance(WorkerOptions options, control::TabletClient& tablets, rpc::ChannelPool& channels)
    : options_(std::move(options)), tablets_(tablets), channels_(channels) {}

Instance::~Instance() { CHECK(scope_.running() == 0); }

Result<std::shared_ptr<Instance::Run>> Instance::start(const std::vector<std::string>& words) {
  ASSIGN_OR_RETURN(auto job, make_job(words));
  if (scope_.stopping()) return fail(Code::kUnavailable, "the worker is shutting down");
  if (run_ != nullptr) {
    std::string status = run_->command + ": " + run_->progress.status_text();
    while (!status.empty() && status.back() == '\n') status.pop_back();
    RETURN_IF_ERROR(check_free(run_->ended, base::system_clock().now(), status));
  }
  auto run = std::make_shared<Run>();
  run->command = base::join(words, " ");
  run->job = std::move(job);
  {
    const std::scoped_lock lock(mutex_);
    run_ = run;
  }
  scope_.spawn(run_job(run));
  return run;
}

net::Task<void> Instance::run_job(std::shared_ptr<Run> run) {
  log_info("job: {}", run->command);
  JobContext context{.options = options_,
                     .tablets = tablets_,
                     .channels = channels_,
                     .progress = run->progress,
                     .cancel = run->cancel.token()};
  run->progress.set_state(State::kInitializing);
  Status result = co_await run->job->run(context);
  run->progress.set_state(result.ok() ? State::kDone : State::kError);
  if (result.ok()) {
    log_info("job is done: {}", run->command);
  } else {
    log_error("job has failed: {}: {}", run->command, result.error().message());
    run->progress.set_details("Error: " + result.error().message());
  }
  {
    const std::scoped_lock lock(mutex_);
    run->result = std::move(result);
    run->ended = base::system_clock().now();
  }
  run->job.reset();
  run->done.set();
  run->progress.changed().notify_all();
}

net::Task<Status> Instance::follow(std::shared_ptr<Run> run, Report report, net::CancelToken gone) {
  uint64_t next = 0;
  for (;;) {
    const bool ended = run->done.is_set();
    auto events = run->progress.events_from(&next);
    for (auto& event : events) {
      Status told = co_await report(std::move(event));
      if (told.ok()) continue;
      run->cancel.cancel();
      co_return told;
    }
    if (ended) break;
    if (!events.empty()) continue;  // Others may have come meanwhile.
    Status woken = co_await run->progress.changed().wait(net::Wait::until(base::TimePoint::max(), gone));
    if (!woken.ok()) {
      run->cancel.cancel();
      co_return woken;
    }
  }
  const std::scoped_lock lock(mutex_);
  co_return run->result;
}

net::Task<Status> Instance::execute(std::vector<std::string> words, Report report, net::CancelToken gone) {
  if (words.size() > 1 && words[0] == "--") words.erase(words.begin());
  if (words.size() == 1 && base::equals_ignoring_case(words[0], "Reset")) co_return reset();
  if (words.size() == 1 && base::equals_ignoring_case(words[0], "Cancel")) {
    cancel();
    co_return Status{};
  }
  if (words.size() == 1 && base::equals_ignoring_case(words[0], "help")) {
    ::logutil::Event event;
    event.set_level(::logutil::CONSOLE);
    event.set_value(help_text());
    co_return co_await report(std::move(event));
  }
  CO_ASSIGN_OR_RETURN(auto run, start(words));
  co_return co_await follow(std::move(run), std::move(report), std::move(gone));
}

net::Task<Status> Instance::begin(std::vector<std::string> words) {
  auto started = start(words);
  co_return started.ok() ? Status{} : Status(std::move(started).error());
}

Status Instance::reset() {
  if (run_ == nullptr) return {};
  if (!run_->done.is_set()) {
    return fail(Code::kFailedPrecondition, "worker still executing: cancel the job first");
  }
  const std::scoped_lock lock(mutex_);
  run_ = nullptr;
  return {};
}

void Instance::cancel() {
  if (run_ != nullptr) run_->cancel.cancel();
}

net::Task<void> Instance::stop() {
  cancel();
  scope_.request_stop();
  co_await scope_.join();
}

Instance::Snapshot Instance::snapshot() const {
  const std::scoped_lock lock(mutex_);
  Snapshot out;
  if (run_ == nullptr) return out;
  out.has_job = true;
  out.running = !run_->ended.has_value();
  out.command = run_->command;
  out.status = run_->progress.status_text();
  out.log = run_->progress.log_text();
  if (!out.running && !run_->result.ok()) out.error = run_->result.error().message();
  return out;
}

void Instance::register_method(rpc::Server& server, net::Loop& loop) {
  using Request = ::vtworkerdata::ExecuteVtworkerCommandRequest;
  using Response = ::vtworkerdata::ExecuteVtworkerCommandResponse;
  auto execute = [](Instance& self, rpc::CallContext context, Request request,
                    rpc::TypedWriter<Response> writer) -> net::Task<Status> {
    auto report = [](rpc::TypedWriter<Response>& to, ::logutil::Event event) -> net::Task<Status> {
      Response response;
      *response.mutable_event() = std::move(event);
      co_return co_await to.write(response);
    };
    co_return co_await self.execute(
        {request.args().begin(), request.args().end()},
        [&](::logutil::Event event) { return report(writer, std::move(event)); }, context.cancel);
  };
  rpc::handle_server_stream<Request, Response>(
      server, "/vtworkerservice.Vtworker/ExecuteVtworkerCommand", loop,
      [this, execute](rpc::CallContext context, Request request, rpc::TypedWriter<Response> writer) {
        return execute(*this, std::move(context), std::move(request), writer);
      });
}

}  // namespace vitrail::worker
