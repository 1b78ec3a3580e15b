#include "control/legacy/client.h"

#include <cstdio>
#include <ctime>

#include "control/client/tablet_text.h"
#include "rpc/typed.h"
#include "vtctldata.pb.h"

namespace vitrail::control {
namespace {

namespace vd = ::vtctldata;

// Prints what a command says, as it comes; keeps the console's part when that is a file's content.
class Terminal {
 public:
  explicit Terminal(bool keep) : keep_(keep) {}

  void show(const ::logutil::Event& event) {
    if (event.level() == ::logutil::CONSOLE) {
      console(event.value());
      return;
    }
    const std::string line = event_line(event);
    std::fflush(stdout);
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void console(const std::string& text) {
    if (keep_) {
      kept_ += text;
      return;
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  const std::string& kept() const { return kept_; }

 private:
  const bool keep_;
  std::string kept_;
};

net::Task<Status> show_here(Terminal& terminal, LegacyLevel level, std::string text) {
  if (level == LegacyLevel::kConsole) {
    terminal.console(text);
  } else {
    ::logutil::Event event;
    event.mutable_time()->set_seconds(std::time(nullptr));
    event.set_level(static_cast<::logutil::Level>(level));
    event.set_file("vtctl");
    event.set_value(std::move(text));
    terminal.show(event);
  }
  co_return Status{};
}

}  // namespace

net::Task<Status> run_legacy_remotely(rpc::Channel& channel, std::vector<std::string> words,
                                      base::Duration action_timeout) {
  CO_ASSIGN_OR_RETURN(const LegacyLine line, read_legacy_files(std::move(words)));
  vd::ExecuteVtctlCommandRequest request;
  for (const auto& word : line.words) request.add_args(word);
  request.set_action_timeout(action_timeout.count());
  const base::TimePoint deadline = base::system_clock().now() + action_timeout;
  auto stream = rpc::open_stream<vd::ExecuteVtctlCommandResponse>(channel, "/vtctlservice.Vtctl/ExecuteVtctlCommand",
                                                                  request, deadline);
  Terminal terminal(!line.output_file.empty());
  for (;;) {
    CO_ASSIGN_OR_RETURN(const auto next, co_await stream.next(net::Wait::until(deadline)));
    if (!next) break;
    terminal.show(next->event());
  }
  co_return write_legacy_output(line, terminal.kept());
}

net::Task<Status> run_legacy_here(TabletClient& tablets, rpc::Caller vtctld, StreamCaller streams,
                                  std::vector<std::string> words, base::Duration action_timeout) {
  CO_ASSIGN_OR_RETURN(const LegacyLine line, read_legacy_files(std::move(words)));
  Terminal terminal(!line.output_file.empty());
  const LegacyEnvironment environment{
      .tablets = tablets,
      .vtctld = std::move(vtctld),
      .action_timeout = action_timeout,
      .report = [&terminal](LegacyLevel level,
                            std::string text) { return show_here(terminal, level, std::move(text)); },
      .streams = std::move(streams)};
  CO_RETURN_IF_ERROR(co_await run_legacy_command(environment, line.words));
  co_return write_legacy_output(line, terminal.kept());
}

}  // namespace vitrail::control
